"""`zoo sweep`: how far a sweep is, from its runs' folders, while it runs or when it has been cut off."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.errors import UserError, suggest
from zoo.verbs.options import LEADERBOARDS, AsJson, Leaderboards

if TYPE_CHECKING:
    from zoo.sweeps.plan import Plan

EVERY_S = 5.0  # between two looks


def sweep(
    name: Annotated[str, typer.Argument(help="a file of sweeps/, e.g. demo")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="as typed behind `python train.py sweeps=NAME`")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="look again every five seconds until it has ended")
    ] = False,
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Show a sweep: done, running, failed, time left, frontier."""
    from zoo.config import launch
    from zoo.overrides import groups

    if name not in groups()["sweeps"]:
        raise UserError(f"zoo sweep {name}: no such sweep{suggest(name, groups()['sweeps'])}")
    for word in overrides or []:
        if word.startswith("-"):
            raise UserError(
                f"zoo sweep: {word}: is no override; type KEY=VALUE, for example seed=0"
            )

    def show(plan: "Plan") -> None:
        if as_json:
            from zoo.sweeps.screen import as_json as plain

            print(json.dumps(plain(plan), indent=1))
        else:
            _show(plan, leaderboards, watch)

    sys.argv = ["train.py", f"sweeps={name}", *(overrides or [])]
    launch(_nothing, show)


def _nothing(_: Any) -> None:
    raise AssertionError("a sweep that is shown runs nothing")


def _show(plan: "Plan", leaderboards: Path, watch: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from zoo.sweeps.screen import frontier_so_far, screen
    from zoo.sweeps.status import ENDED

    console = Console()
    if watch:
        with Live(screen(plan), console=console, auto_refresh=False) as live:
            while plan.count(*ENDED, "failed") < len(plan.jobs):
                time.sleep(EVERY_S)
                plan.look_again()
                live.update(screen(plan), refresh=True)
    else:
        console.print(screen(plan))
    frontier_so_far(console, plan, leaderboards)
