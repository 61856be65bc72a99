"""Give readers what nobody meant, for minutes: `python -m tests.faults.fuzz --minutes 5`.

Each target runs in a process of its own, so that a crash of the interpreter is one row of the table.
The exit code is 1 where anything crashed, hung or was executed.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import StopTest, UnsatisfiedAssumption

from tests.faults.targets import TARGETS, Target, attack
from tests.warm import warm

PATIENCE_S = 5.0  # of computing for one input; a busy machine's clock says nothing
MEMORY = 4 << 30  # bytes beyond what a process has at its start


class Hung(BaseException):
    """An input took too long."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise Hung(f"more than {seconds:g} s of computing")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def tried(target: Target, number: int, count: int, place: Path) -> tuple[int, int, dict[str, str]]:
    """Give a target so many inputs of one seed.

    Returns:
        How many inputs there were, how many were refused, and crashes: by the place in the code, the
        input.
    """
    tries = refusals = 0
    crashes: dict[str, str] = {}
    folder = place / "input"

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(target.inputs())
    def attacked(given: Any) -> None:
        nonlocal tries, refusals
        tries += 1
        folder.mkdir()
        (place / "last").write_text(repr(given)[:5000])
        try:
            with within(PATIENCE_S), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                refusals += attack(target, given, folder)
        except (KeyboardInterrupt, StopTest, UnsatisfiedAssumption):
            raise
        except BaseException as error:  # a panic of a library in Rust is no Exception
            frames = [f for f in traceback.extract_tb(error.__traceback__) if "/zoo/" in f.filename]
            at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
            first = (str(error).splitlines() or [""])[0][:150]
            crashes.setdefault(f"{type(error).__name__} at {at}", f"{first} | {repr(given)[:600]}")
        finally:
            shutil.rmtree(folder)

    attacked()
    return tries, refusals, crashes


def fuzz(target: Target, minutes: float, first: int, place: Path) -> dict[str, Any]:
    """Give a target inputs for so many minutes, in a child."""
    place.mkdir()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open("/proc/self/statm") as file:
                size = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
            code = _child(target, minutes, first, place)
        except BaseException:
            (place / "trace").write_text(traceback.format_exc()[-1000:])
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(FileNotFoundError):
        told = json.loads((place / "told").read_text())
    if status != 0:
        traces = [p.read_text() for p in (place / "trace", place / "last") if p.exists()]
        told["crashes"][f"the process ended with {status}"] = " | ".join(traces)[-2000:]
    return {**told, "minutes": (time.monotonic() - began) / 60}


def _child(target: Target, minutes: float, first: int, place: Path) -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries' own words
    found: dict[str, Any] = {"tries": 0, "refusals": 0, "crashes": {}}
    (place / "told").write_text(json.dumps(found))
    until, number = time.monotonic() + 60 * minutes, first
    with warm():
        while time.monotonic() < until:
            tries, refusals, crashes = tried(target, number, 50, place)
            found["tries"] += tries
            found["refusals"] += refusals
            found["crashes"] = {**crashes, **found["crashes"]}
            (place / "told").write_text(json.dumps(found))
            number += 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    parser.add_argument("--target", default="", help="targets whose name holds this")
    asked = parser.parse_args()
    chosen = [target for target in TARGETS if asked.target in target.name]
    place = Path(tempfile.mkdtemp(prefix="zoo-fuzz-"))
    print("| target | inputs | refused | crashes | minutes |\n|---|--:|--:|--:|--:|", flush=True)
    crashed = False
    for number, target in enumerate(chosen):
        found = fuzz(target, asked.minutes / len(chosen), asked.seed, place / str(number))
        numbers = f"{found['tries']} | {found['refusals']} | {len(found['crashes'])}"
        print(f"| {target.name} | {numbers} | {found['minutes']:.1f} |", flush=True)
        for where, given_ in found["crashes"].items():
            crashed = True
            print(f"CRASH {target.name}: {where}: {given_}", file=sys.stderr, flush=True)
    shutil.rmtree(place)
    return int(crashed)


if __name__ == "__main__":
    sys.exit(main())
