"""Kill a command at a random moment, type it again, and look at the end.

A moment is a random delay, a random number of checkpoints and a little more, or an instant in which a
file is being written. Now and then the newest checkpoint is damaged after the kill, as by a power
failure, or the cache is empty at the start.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.faults.kinds import Kind
from tests.processes import ROOT, Process
from zoo.leaderboard.admission import admit

KILLS = 3  # of one trial at most
# A command hangs that computes for so long, or not at all: a busy machine's clock says nothing.
COMPUTES_S, IDLE_S = 120.0, 60.0
PATIENCE_S = 3600.0


class Cold:
    """A command in a process of its own from the start, and in a group that dies with it."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        head = ["-m", "zoo"] if words[0] == "zoo" else [str(ROOT / words[0])]
        self._told = Path(tempfile.mkdtemp(prefix="zoo-test-"))
        with open(self._told / "out", "w") as out, open(self._told / "err", "w") as err:
            self._process = subprocess.Popen(
                [sys.executable, *head, *words[1:]], env=environment, cwd=ROOT, stdout=out,
                stderr=err, start_new_session=True,
            )  # fmt: skip

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def poll(self) -> int | None:
        return self._process.poll()

    def send_signal(self, number: int) -> None:
        os.killpg(self._process.pid, number)

    def communicate(self, timeout: float = PATIENCE_S) -> tuple[str, str]:
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.send_signal(signal.SIGKILL)
            raise
        return (self._told / "out").read_text(), (self._told / "err").read_text()


@dataclass
class Trial:
    """What became of one command that was killed a few times.

    Attributes:
        kills: that met it.
        damaged: checkpoints that were damaged after them.
        lost: what is not as it should be, in words; empty: nothing.
        seconds: of all, the last start included.
    """

    kills: int = 0
    damaged: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Whole:
    """The end of a command that nobody disturbs, and how long it takes."""

    end: Any
    seconds: float


def start(kind: Kind, output: Path, cache: Path, cold: bool = False) -> Any:
    if not output.exists():
        output.mkdir(parents=True)
        kind.begin(output)
    make = Cold if cold or kind.cold else Process
    return make(kind.typed(output), kind.around(output, cache))


def ended(process: Any) -> tuple[int, str]:
    """Wait for a command; return its exit code and what it said on stderr.

    Raises:
        TimeoutError: it hung, and was killed.
    """
    moved, computed = time.monotonic(), 0.0
    while process.poll() is None:
        now = _computed(process._process.pid)
        if now > computed:
            moved, computed = time.monotonic(), now
        if computed > COMPUTES_S or time.monotonic() - moved > IDLE_S:
            process.send_signal(signal.SIGKILL)
            process.communicate(PATIENCE_S)
            raise TimeoutError(f"hung after {computed:.0f} s of computing")
        time.sleep(0.01)
    _, err = process.communicate(PATIENCE_S)
    shutil.rmtree(process._told, ignore_errors=True)
    return process.returncode, err


def _computed(pid: int) -> float:
    """The seconds for which a process and those that it has started were computing."""
    seconds = 0.0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system
    return seconds


def undisturbed(kind: Kind, place: Path, cache: Path, cold: bool = False) -> Whole:
    began = time.monotonic()
    code, err = ended(start(kind, place, cache, cold))
    assert code == 0, f"{kind.name}: {err}"
    return Whole(kind.end(place), time.monotonic() - began)


def trial(
    kind: Kind, whole: Whole, seed: int, place: Path, cache: Path, cold: bool = False
) -> Trial:
    """Kill a command up to `KILLS` times, let it end, and compare."""
    rng = random.Random(f"{kind.name} {seed}")
    found, began = Trial(), time.monotonic()
    output = place / "outputs"
    if kind.caches and rng.random() < 0.2:
        cache = place / "cache"
    stamps: dict[Path, int] = {}
    for _ in range(rng.randint(1, KILLS)):
        process = start(kind, output, cache, cold)
        met = _strike(process, rng, output, kind, whole.seconds)
        process.communicate(PATIENCE_S)
        shutil.rmtree(process._told, ignore_errors=True)
        _note_ended(output, stamps, found.lost)
        if not met:
            break
        found.kills += 1
        if rng.random() < 0.3:
            found.damaged += _damage(output, rng)
    try:
        code, err = ended(start(kind, output, cache, cold))
    except TimeoutError as hung:
        found.lost.append(str(hung))
    else:
        if code != 0:
            found.lost.append(f"exit code {code}: {err.strip().splitlines()[-1:]}")
    _note_ended(output, stamps, found.lost)
    try:
        end = kind.end(output)
    except (ValueError, OSError) as error:
        found.lost.append(str(error))
    else:
        found.lost += _differences(whole.end, end)
    found.seconds = time.monotonic() - began
    return found


def _strike(process: Any, rng: random.Random, output: Path, kind: Kind, seconds: float) -> bool:
    """Kill a process at a random moment; whether it had not ended before."""
    how = rng.choice(kind.moments)
    until = time.monotonic() + (rng.uniform(0, 0.8 * seconds) if how == "delay" else PATIENCE_S)
    left = {"delay": 1 << 30, "step": rng.randint(1, 5), "write": rng.randint(1, 5)}[how]
    seen: set[object] = set()
    while process.poll() is None and time.monotonic() < until and len(seen) < left:
        for path in output.glob("*/.*.tmp" if how == "write" else "*/last.ckpt"):
            try:
                seen.add((path, path.stat().st_mtime_ns))
            except FileNotFoundError:
                seen.add((path, time.monotonic()))
        time.sleep(0.0005)
    if how == "step":
        time.sleep(rng.uniform(0, 0.05))
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGKILL)
    return True


def _note_ended(output: Path, stamps: dict[Path, int], lost: list[str]) -> None:
    """Look at the records that are there: none is half written, none is written twice."""
    for path in output.glob("*/record.json"):
        stamp = path.stat().st_mtime_ns
        if stamps.setdefault(path, stamp) != stamp:
            lost.append(f"{path.parent.name}: was trained twice")
        try:
            admit(path)
        except ValueError as error:
            lost.append(f"{path.parent.name}: {error}")


def _damage(output: Path, rng: random.Random) -> int:
    """Cut the newest checkpoint of a run that has not ended, or flip one of its bits."""
    paths = [p for p in output.glob("*/last.ckpt") if not (p.parent / "record.json").exists()]
    if not paths:
        return 0
    path = rng.choice(sorted(paths))
    torn = bytearray(path.read_bytes())
    place = rng.randrange(len(torn))
    if rng.random() < 0.5:
        torn = torn[:place]
    else:
        torn[place] ^= 1 << rng.randrange(8)
    path.write_bytes(torn)
    return 1


def _differences(want: Any, got: Any) -> list[str]:
    if want == got:
        return []
    if not (isinstance(want, dict) and isinstance(got, dict)):
        return [f"{str(got)[:200]} where it was {str(want)[:200]}"]
    names = [k for k in {**want, **got} if want.get(k) != got.get(k)]
    return [f"{k}: {d}" for k in names for d in _differences(want.get(k), got.get(k))][:5]
