"""`zoo analyse delay` and `zoo analyse pipeline`."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from zoo.errors import UserError

analyse = typer.Typer(
    help="Say what delay does to momentum, on quadratics.",
    no_args_is_help=True,
)

Number = TypeVar("Number", int, float)
# The largest delays: what a simulation remembers, and a degree whose roots take their time.
MOST_SIMULATED, MOST_SOLVED = 128, 64

Out = Annotated[Path | None, typer.Option(help="also draw the figures (SVG) in this folder")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]


@analyse.command()
def delay(
    momentum: Annotated[float, typer.Option(help="m, in [0, 1)")] = 0.9,
    delays: Annotated[str, typer.Option(help="D, in steps, with commas")] = "0,4,8,16,32",
    rho: Annotated[
        str, typer.Option(help="braking, with commas; below 0 it pushes instead")
    ] = "0,0.5,1,2,-1,-2",
    blocks: Annotated[int, typer.Option(help="parts of the vector, each with its cosine")] = 8,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Adaptive Braking: which learning rates are stable at which delay (arXiv 2007.01397)."""
    if not 0 <= momentum < 1:
        raise UserError(f"--momentum {momentum:g}: must be in [0, 1); type e.g. --momentum 0.9")
    steps = _delays(delays, MOST_SIMULATED, "0,4,8,16,32")
    rhos = _list("--rho", rho, float, math.isfinite, "finite numbers", "0,1,2")
    if blocks < 1 or 64 % blocks:
        raise UserError(f"--blocks {blocks}: must divide the 64 directions; type e.g. --blocks 8")
    from zoo.delay.analysis import figures, tables
    from zoo.delay.analysis.studies import delay_study

    study = delay_study(momentum, steps, rhos, blocks)
    drawn = {
        "delay_stability.svg": lambda: figures.stability_svg(study),
        "delay_regions.svg": lambda: figures.regions_svg(study),
    }
    written = _write(out, drawn)
    if as_json:
        print(json.dumps({**study.as_json(), "written": written}, indent=1))
    else:
        tables.print_delay(study)
        _say(written)


@analyse.command()
def pipeline(
    kappa: Annotated[float, typer.Option(help="condition number of the spectrum")] = 1000.0,
    delays: Annotated[str, typer.Option(help="D, in steps, with commas")] = "0,1,2,4,8,16",
    stages: Annotated[str, typer.Option(help="S, with commas")] = "8,34,88,169",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Pipelined backpropagation: how fast each method can be, and what a pipeline costs (arXiv 2003.11666)."""
    if not 1 <= kappa <= 1e6:
        raise UserError(f"--kappa {kappa:g}: must be from 1 to 1e6; type e.g. --kappa 1000")
    steps = _delays(delays, MOST_SOLVED, "0,1,4,16")
    counts = _list("--stages", stages, int, lambda s: 1 <= s <= 10**6, "from 1 to 1000000", "8,34")
    from zoo.delay.analysis import figures, tables
    from zoo.delay.analysis.studies import pipeline_study

    study = pipeline_study(kappa, steps, counts)
    drawn = {
        "pipeline_half_life.svg": lambda: figures.half_life_svg(study),
        "pipeline_roots.svg": figures.loci_svg,
    }
    written = _write(out, drawn)
    if as_json:
        print(json.dumps({**study.as_json(), "written": written}, indent=1))
    else:
        tables.print_pipeline(study)
        _say(written)


def _delays(typed: str, most: int, example: str) -> list[int]:
    return _list("--delays", typed, int, lambda d: 0 <= d <= most, f"from 0 to {most}", example)


def _list(
    option: str,
    typed: str,
    kind: Callable[[str], Number],
    good: Callable[[Number], bool],
    which: str,
    example: str,
) -> list[Number]:
    """Read numbers with commas between them; each once, in the order typed."""
    what = "whole numbers" if kind is int else "numbers"
    which = which if which.endswith("numbers") else f"{what} {which}"
    try:
        found = [kind(word) for word in typed.split(",")]
    except ValueError:
        found = []
    if not found or not all(good(n) for n in found):
        raise UserError(f"{option} {typed}: must be {which}; type e.g. {option} {example}")
    return list(dict.fromkeys(found))


def _write(out: Path | None, drawn: dict[str, Callable[[], str]]) -> list[str]:
    if out is None:
        return []
    from zoo.leaderboard.store import write_atomically

    for name, draw in drawn.items():
        write_atomically(out / name, draw().encode())
    return [str(out / name) for name in drawn]


def _say(written: list[str]) -> None:
    if written:
        print(f"figures: {', '.join(written)}")
