"""Kill commands at random and print what became of them: `python -m tests.faults --tries 60 --seed 1`.

The exit code is 1 where anything was lost: an end that is not that of the undisturbed command, to the
bit; a record that is missing, torn or made twice; a file that is left over.
"""

import argparse
import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import standin
from tests.faults.kill import Trial, Whole, trial, undisturbed
from tests.faults.kinds import Kind, answering, kinds, publishing


def campaign(
    chosen: list[Kind], tries: int, seed: int, minutes: float, place: Path, cold: bool
) -> dict[str, list[Trial]]:
    """Try the kinds in turn until there were so many tries, or the time is over."""
    until = time.monotonic() + 60 * minutes
    wholes: dict[str, Whole] = {}
    found: dict[str, list[Trial]] = {kind.name: [] for kind in chosen}
    # Cold ones take many times as long: in every fourth round.
    turns = (
        k for r in itertools.count() for k in chosen if not (k.cold and r % 4 and len(chosen) > 1)
    )
    for number, kind in zip(range(tries), turns, strict=False):
        if time.monotonic() > until:
            break
        if kind.name not in wholes:
            wholes[kind.name] = undisturbed(
                kind, place / "whole" / kind.name, place / "cache", cold
            )
        here = place / f"try {number}"
        one = trial(kind, wholes[kind.name], seed + number, here, place / "cache", cold)
        found[kind.name].append(one)
        for lost in one.lost:
            print(f"LOST {kind.name}, seed {seed + number}: {lost}", file=sys.stderr, flush=True)
        if not one.lost:
            shutil.rmtree(here)
    return found


def table(found: dict[str, list[Trial]]) -> str:
    """The table in Markdown; `tried` are the kills that met a command that was running."""
    rows = ["| kind | tried | damaged | survived | lost | seconds |", "|---|--:|--:|--:|--:|--:|"]
    for name, trials in [*found.items(), ("all", [t for ts in found.values() for t in ts])]:
        kills = sum(t.kills for t in trials)
        lost = sum(t.kills or 1 for t in trials if t.lost)
        damaged, seconds = sum(t.damaged for t in trials), sum(t.seconds for t in trials)
        survived = sum(t.kills for t in trials if not t.lost)
        rows.append(f"| {name} | {kills} | {damaged} | {survived} | {lost} | {seconds:.0f} |")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--tries",
        type=int,
        default=40,
        help="commands that are killed, in turn of the kinds; each up to 3 times",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no try after so many")
    parser.add_argument("--kind", default="", help="kinds whose name holds this")
    parser.add_argument(
        "--cold",
        action="store_true",
        help="processes that import torch themselves; several times as slow",
    )
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    place = Path(tempfile.mkdtemp(prefix="zoo-faults-"))
    with contextlib.ExitStack() as stack:
        known = kinds(place)
        chosen = [kind for kind in known if asked.kind in kind.name]
        if asked.kind in "zoo answer --file":
            chosen.append(answering(place))
        if asked.kind in "zoo publish":
            server: Any = None
            try:
                server = stack.enter_context(standin.serve())
            except BaseException as skipped:  # pytest's, which is no Exception
                print(f"zoo publish: left out: {skipped}", file=sys.stderr)
            if server is not None:
                chosen.append(publishing(place / "publish", server))
        if not chosen:
            parser.error(f"--kind {asked.kind}: there are {', '.join(k.name for k in known)}")
        found = campaign(chosen, asked.tries, asked.seed, asked.minutes, place, asked.cold)
    print(table(found))
    lost = any(t.lost for trials in found.values() for t in trials)
    if lost:
        print(f"what is lost is kept in {place}", file=sys.stderr)
    else:
        shutil.rmtree(place, ignore_errors=True)
    return int(lost)


if __name__ == "__main__":
    sys.exit(main())
