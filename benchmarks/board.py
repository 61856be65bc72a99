"""(c) `zoo board` and `zoo claims` over thousands of records: seconds, and whether they grow with the number."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.factories import make_config, make_record
from zoo.leaderboard.record import Curve
from zoo.leaderboard.store import write_record

ROOT = Path(__file__).resolve().parent.parent
PAPERS = sorted((ROOT / "leaderboards" / "claims").glob("*.yaml"))
COUNTS = (2_500, 5_000, 10_000)
SEEDS = 5


def curve(points: int) -> Curve:
    return Curve(
        step=list(range(points)),
        samples=[64 * i for i in range(points)],
        train_s=[0.0123 * i for i in range(points)],
        value=[1.0 / (1 + i) for i in range(points)],
    )


def fill(folder: Path, first: int, last: int) -> int:
    """Write records first..last, with curves as long as a default run's; return their bytes."""
    curves = {"train/loss": curve(57), "train/acc": curve(57), "train/lr": curve(57),
              "val/acc": curve(30), "val/acc5": curve(30), "val/loss": curve(30)}  # fmt: skip
    size = 0
    for i in range(first, last):
        group, seed = divmod(i, SEEDS)
        record = make_record(
            seed,
            accuracy=0.5 + (group * 37 % 499) / 1000 + seed / 1e4,
            train_s=1.0 + group * 7919 % 1999,
            config=make_config(seed, model={"width": group}),
            curve=curves,
        )
        path = folder / f"{record.id}.json"
        write_record(record, path)
        size += path.stat().st_size
    return size


def seconds(*verb: str) -> float:
    """Return the least of three times that a verb takes, in processes of its own."""
    tries = []
    for _ in range(3):
        began = time.perf_counter()
        command = [sys.executable, "-m", "zoo", *verb]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        tries.append(time.perf_counter() - began)
    return min(tries)


def rows() -> Iterator[tuple[str, str, str, str]]:
    took: dict[int, float] = {}
    claims = 0.0
    size = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = 0
        for count in COUNTS:
            size += fill(folder, done, count)
            done = count
            took[count] = seconds("board", "digits", "--output-dir", name)
        claims = seconds("claims", "--output-dir", name)
    yield (
        f"zoo board, {COUNTS[-1]:,} records ({size / 1e6:.0f} MB), {COUNTS[-1] // SEEDS:,} groups",
        f"{took[COUNTS[-1]]:.2f} s",
        "3 s",
        ", ".join(f"{n:,}: {s:.2f} s" for n, s in took.items()) + ", best of 3",
    )
    yield (
        f"zoo claims, the same records beside the curated ones, {len(PAPERS)} papers",
        f"{claims:.2f} s",
        "5 s",
        "best of 3",
    )
