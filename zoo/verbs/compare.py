"""`zoo compare`: two sides in turns, each step time from a process of its own."""

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.errors import UserError
from zoo.leaderboard.compare import Ratio, ratio_of
from zoo.leaderboard.store import read_record, scan
from zoo.overrides import ROOT
from zoo.verbs.options import LEADERBOARDS, AsJson, Leaderboards, OutputDir
from zoo.verbs.verify import overrides_of

STEP = "perf/step_median_s"  # the median leaves out the first steps, which are slower


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="overrides in quotes, or a run's id")],
    second: Annotated[str, typer.Argument(metavar="B", help="likewise")],
    rounds: Annotated[int, typer.Option(min=1, help="processes of each side, in turns")] = 7,
    steps: Annotated[int, typer.Option(min=3, help="of training in each process")] = 30,
    common: Annotated[str, typer.Option(help="overrides of both sides, in quotes")] = "",
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Time two sides' training steps: the ratio, with an interval.

    They take turns, in fresh processes:

    zoo compare "precision=fp32" "precision=169" --common "model=resnet8"
    """
    place = (output_dir, leaderboards / "records")
    sides = [_overrides(typed, common, steps, *place) for typed in (first, second)]
    console = Console(stderr=True)
    times: list[list[float]] = [[], []]
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            times[side].append(_step_time(sides[side]))
        said = " ".join(f"{1e3 * t[-1]:.2f}" for t in times)
        console.print(f"round {number + 1} of {rounds}: {said} ms", highlight=False)
    ratio = ratio_of(*times)
    if as_json:
        interval = [ratio.interval.low, ratio.interval.high] if ratio.interval else None
        rows = [{"overrides": s, "step_s": t} for s, t in zip(sides, times, strict=True)]
        print(json.dumps({"sides": rows, "ratio": ratio.value, "interval": interval,
                          "rounds": rounds, "verdict": ratio.verdict}, indent=1))  # fmt: skip
        return
    _print(Console(), [first, second], times, ratio)


def _overrides(typed: str, common: str, steps: int, output_dir: Path, curated: Path) -> list[str]:
    """Return what is typed behind train.py for a side; checked, so that no run starts in vain."""
    from zoo.config import check, compose

    try:
        shared, words = shlex.split(common), shlex.split(typed)
    except ValueError as error:
        raise UserError(f"{typed or common}: cannot be read ({error}); close the quotes") from None
    if len(words) == 1 and "=" not in words[0]:
        stored, _ = scan(output_dir, curated, curves=False)
        found = [s.record for s in stored if s.record.id == words[0]]
        if not found:
            raise UserError(
                f"{words[0]}: is no override, and no run has this id; type overrides in quotes, such as "
                '"precision=169"'
            )
        words = overrides_of(found[0])
    words = [*shared, *words]
    # Nothing else ends a run, and nothing but its steps takes time.
    words += [
        "trainer.max_epochs=null", "trainer.max_samples=null", "trainer.budget_s=null",
        f"trainer.max_steps={steps}", f"trainer.eval_every_steps={10 * steps}",
    ]  # fmt: skip
    check(compose(words))
    return words


def _step_time(overrides: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, str(ROOT / "train.py"), *overrides, "hydra.mode=RUN", "logger=none",
            f"paths.output_dir={folder}",
        ]  # fmt: skip
        ended = subprocess.run(
            command, env=dict(os.environ), capture_output=True, text=True, check=False
        )
        for path in Path(folder).glob("*/record.json"):
            step = read_record(path, curves=False).metrics.get(STEP)
            if step:
                return step
    said = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
    raise UserError(f"{shlex.join(overrides)}: {said[-1].removeprefix('train.py: ')}")


def _print(console: Console, names: list[str], times: list[list[float]], ratio: Ratio) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("side", overflow="fold")
    for heading in ("median step (ms)", "least", "most"):
        table.add_column(heading, justify="right")
    for letter, name, each in zip("AB", names, times, strict=True):
        figures = (statistics.median(each), min(each), max(each))
        table.add_row(Text(f"{letter}  {name}"), *(f"{1e3 * f:.3f}" for f in figures))
    console.print(table)
    interval = ""
    if ratio.interval is not None:
        interval = f" [{ratio.interval.low:.3f}, {ratio.interval.high:.3f}]"
    console.print(
        f"B / A: {ratio.value:.3f}{interval} over {ratio.rounds} rounds: {ratio.verdict}",
        highlight=False,
    )
