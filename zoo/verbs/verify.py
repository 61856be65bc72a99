"""`zoo verify`: make runs again, each in a clean process, and compare them with their records."""

import dataclasses
import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.errors import UserError
from zoo.leaderboard.frontier import group_by_seed
from zoo.leaderboard.record import BY_CONTENT, Record, deciding_config, identity
from zoo.leaderboard.store import read_record, scan
from zoo.leaderboard.verify import Judgement, judge
from zoo.overrides import ROOT
from zoo.verbs.options import LEADERBOARDS, AsJson, Leaderboards, OutputDir

FOLDER = "verify"  # in the output folder: what is made again, apart from what was made first


@dataclass(frozen=True, slots=True)
class Verified:
    """A record and how it compares; `failed` says why it could not be made again."""

    record: Record
    judgement: Judgement | None
    failed: str
    seconds: float


def verify(
    records: Annotated[list[str] | None, typer.Argument(help="run ids, or files")] = None,
    sample: Annotated[
        float | None,
        typer.Option(min=0, help="so many curated records, at random; below 1: that share of them"),
    ] = None,
    seed: Annotated[int, typer.Option(help="of the random choice")] = 0,
    under: Annotated[
        float | None, typer.Option(help="choose only runs that trained for so many seconds at most")
    ] = None,
    again: Annotated[
        bool, typer.Option(help="also what this very code has made again before")
    ] = False,
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Make runs again: equal to the bit, or within the interval?

    A cut-off verification goes on where it was. Exit code 1: a run disagrees with its record.
    """
    if sample is None and under is not None:
        raise UserError(f"--under {under:g}: is of a sample; type --sample 0.1 with it")
    if sample is not None and (records or not (sample < 1 or sample.is_integer())):
        raise UserError(
            f"--sample {sample:g}: is a number of records, or a share below 1, of those that are not "
            "named; type --sample 10, or ids alone"
        )
    stored, _ = scan(output_dir, leaderboards / "records")
    every = [s.record for s in stored]
    if sample is not None:
        chosen = _sample([s.record for s in stored if s.curated], sample, seed, under)
    else:
        chosen = [_find(typed, every) for typed in records or []]
    if not chosen:
        raise UserError("zoo verify: no records; type their ids, or --sample 0.1")
    console = Console(stderr=True)
    found = []
    for number, record in enumerate(chosen, start=1):
        console.print(f"{number} of {len(chosen)}: {record.command}", markup=False, highlight=False)
        found.append(make_again(record, every, output_dir / FOLDER, again=again))
    if as_json:
        print(json.dumps([_as_json(v) for v in found], indent=1))
    else:
        _print(Console(), found)
    if any(v.judgement and v.judgement.verdict == "outside" for v in found):
        raise typer.Exit(1)


def _sample(curated: list[Record], sample: float, seed: int, under: float | None) -> list[Record]:
    known = sorted(curated, key=lambda r: r.id)
    if under is not None:
        known = [r for r in known if (r.metrics.get("time/train_s") or 0) <= under]
    count = round(sample * len(known)) if sample < 1 else int(sample)
    return random.Random(seed).sample(known, min(count, len(known)))


def _find(typed: str, every: list[Record]) -> Record:
    if Path(typed).is_file():
        try:
            return read_record(Path(typed))
        except ValueError as error:
            raise UserError(f"{typed}: {error}") from None
    same = {
        r.id: r for r in reversed(every)
    }  # a run on two machines is one; the first stands for it
    found = [r for i, r in same.items() if i.startswith(typed)] if len(typed) >= 4 else []
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"run {typed}: there are {len(found)} that begin so; type more of its id")
    raise UserError(f"run {typed}: no record of it; type zoo records --list to see them")


def make_again(record: Record, every: Sequence[Record], folder: Path, *, again: bool) -> Verified:
    """Run a record's command in a process of its own and compare.

    Args:
        record: never trusted: nothing of it is executed but overrides that compose, by the rules
            for every command line, to the configuration that its id stands for.
        every: all records, among which are its other seeds.
        folder: for the new record.
        again: make it also where the code at hand has made it before.
    """
    began = time.monotonic()
    try:
        overrides = overrides_of(record)
        new = _run(record, overrides, folder, again)
    except UserError as error:
        return Verified(record, None, str(error), time.monotonic() - began)
    groups = group_by_seed([record, *(r for r in every if r.id != record.id)])
    seeds = next(g.records for g in groups if record in g.records)
    return Verified(record, judge(record, new, seeds), "", time.monotonic() - began)


def overrides_of(record: Record) -> list[str]:
    """Return what is typed behind `python train.py` to make the run again.

    Raises:
        UserError: its command is another one, or leads to another run.
    """
    from zoo.config import check, compose

    try:
        words = shlex.split(record.command)
    except ValueError as error:
        raise UserError(f"its command cannot be read: {error}") from None
    if words[:2] != ["python", "train.py"]:
        raise UserError("its command is no `python train.py`")
    overrides = words[2:]
    for word in overrides:
        key = word.lstrip("+~").partition("=")[0]
        if word.startswith("-") or key.startswith(("hydra", "paths")):
            raise UserError(f"its command has {word}, which decides no result and is not run")
    composed = deciding_config(check(compose(overrides)))
    for key in BY_CONTENT:  # the run itself will say whether what lies there is what it was
        section, _, name = key.partition(".")
        if composed[section].get(name) is not None:
            composed[section][name] = record.config[section][name]
    if identity(composed, record.data.sha256, record.zoo_version) != record.id:
        raise UserError("its command gives another configuration, or its id is not of its content")
    return overrides


def _run(record: Record, overrides: list[str], folder: Path, again: bool) -> Record:
    path = folder / record.id / "record.json"
    done = _made_by_this_code(path)
    if done is not None and not again:
        return done
    # A sweep's file asks for a sweep; this is one of its jobs.
    typed = [*overrides, "hydra.mode=RUN", f"paths.output_dir={folder}", "logger=none"]
    if path.exists():
        typed.append("force=true")
    environment = {**os.environ, "OMP_NUM_THREADS": str(record.hardware.cpu_threads)}
    command = [sys.executable, str(ROOT / "train.py"), *typed]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        return read_record(path)
    except (OSError, ValueError):
        pass
    said = ended.stderr.strip().splitlines()
    if ended.returncode == 0:
        said = ["its data or its checkpoint is not what it was: the run has another id now"]
    raise UserError(said[-1].removeprefix("train.py: ") if said else f"exit {ended.returncode}")


def _made_by_this_code(path: Path) -> Record | None:
    from zoo.hardware import git_state

    try:
        record = read_record(path)
    except (OSError, ValueError):
        return None
    return record if record.git == git_state(ROOT) and record.git.clean else None


def _as_json(verified: Verified) -> dict[str, Any]:
    judged = dataclasses.asdict(verified.judgement) if verified.judgement else None
    record = verified.record
    return {
        "id": record.id, "command": record.command, "judgement": judged,
        "failed": verified.failed or None, "seconds": verified.seconds,
    }  # fmt: skip


def _print(console: Console, found: list[Verified]) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("run", "metric", "on record", "made again", "verdict", "s", "note"):
        right = heading in ("on record", "made again", "s")
        side: Any = "right" if right else "left"
        table.add_column(heading, justify=side, overflow="fold", no_wrap=heading == "run")
    for v in found:
        j = v.judgement
        cells = ("", "", "", "not made", v.failed)
        if j is not None:
            expected = f" {j.interval.low:.4g} to {j.interval.high:.4g}" if j.interval else ""
            said = j.verdict + (expected if j.verdict in ("within", "outside") else "")
            cells = (j.metric, _number(j.old), _number(j.new), said, j.note)
        table.add_row(*(Text(c) for c in (v.record.id, *cells[:4], f"{v.seconds:.0f}", cells[4])))
    console.print(table)
    counts = {
        word: sum(1 for v in found if v.judgement and v.judgement.verdict == word)
        for word in ("bit-equal", "within", "outside", "unjudged")
    }
    failed = sum(1 for v in found if v.judgement is None)
    console.print(
        f"{len(found)} records: {counts['bit-equal']} equal to the bit, {counts['within']} within the "
        f"interval, {counts['outside']} outside, {counts['unjudged']} without an interval, "
        f"{failed} not made again",
        highlight=False,
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
