"""How far a verb's long job is: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_S = 10.0


def watch(counts: Iterable[int], total: int, what: str) -> None:
    """Go through a job's counts, and show them on the standard error.

    Args:
        counts: how many things are done, whenever there are more.
        total: how many there will be.
        what: they are, in the plural.
    """
    if sys.stderr.isatty():
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            for done in counts:
                bar.update(task, completed=done)
        return
    said = time.monotonic()
    for done in counts:
        now = time.monotonic()
        if done == total or now - said > LINE_S:
            print(f"{done} of {total} {what}", file=sys.stderr, flush=True)
            said = now
