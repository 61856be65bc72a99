"""`zoo doctor`: what is here to run with, what is missing, and what to type."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from zoo.verbs.options import LEADERBOARDS, AsJson, Leaderboards, OutputDir

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.doctor.check import Check

STYLES = {"ok": "green", "missing": "yellow", "slow": "yellow", "broken": "bold red"}


def doctor(
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Say what is here, what is missing, and what to type.

    Names no person and no machine, so that it can be shown to others. Exit code 1: something is broken.
    """
    checks = list(_checks(output_dir, leaderboards))
    broken = sum(check.state == "broken" for check in checks)
    if as_json:
        listed = [dataclasses.asdict(check) for check in checks]
        print(json.dumps({"checks": listed, "broken": broken}, indent=1))
    else:
        from rich.console import Console

        _print(Console(), checks)
    if broken:
        raise typer.Exit(1)


def _checks(output_dir: Path, leaderboards: Path) -> Iterator["Check"]:
    from zoo.config import compose
    from zoo.doctor.check import Check, private
    from zoo.doctor.data import data
    from zoo.doctor.device import device
    from zoo.doctor.surroundings import added, browser, folder, records, wandb
    from zoo.doctor.versions import versions
    from zoo.errors import UserError

    yield from versions()
    yield from device()
    try:  # conf/local may name other folders than the environment
        config = compose(["data=cifar10"])
    except UserError as error:
        yield Check("configuration", "broken", private(str(error)))
    else:
        yield from data(Path(config.data.root).expanduser())
        yield folder("cache", Path(config.paths.cache_dir).expanduser(), "ZOO_CACHE")
    yield folder("outputs", output_dir, "ZOO_OUTPUT")
    yield from records(output_dir, leaderboards)
    yield wandb()
    yield browser()
    yield added()


def _print(console: "Console", checks: list["Check"]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("what", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("found, and what to type", overflow="fold")
    for check in checks:
        said = Text(check.detail)
        if check.todo:
            said.append(f"\n> {check.todo}", style="bold")
        table.add_row(Text(check.what), Text(check.state, style=STYLES[check.state]), said)
    console.print(table)
    bad = [check.what for check in checks if check.state == "broken"]
    console.print(
        f"broken: {', '.join(bad)}"
        if bad
        else "nothing is broken; data=digits needs nothing that is missing",
        markup=False,
    )
