"""A wall clock that is set, forward and back: runs are timed by clocks that nobody sets."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, TINY, UNCOMPILED, train_in
from tests.end_to_end.test_train import arithmetic
from zoo.leaderboard import load_records

# Before anything is imported, so that nobody holds the real one.
JUMPS = """
import atexit, random, time
draw, now, asked = random.Random(0), time.time, []
def jumping():
    asked.append(1)
    return now() + draw.uniform(-1e8, 1e8)
time.time = jumping
time.time_ns = lambda: int(jumping() * 1e9)
atexit.register(lambda: print("asked", len(asked)))
"""


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path) -> None:
    words = [
        *TINY,
        "trainer.eval_every_steps=2",
        "callbacks.checkpoint.every_steps=2",
        "logger=none",
    ]
    (tmp_path / "sitecustomize.py").write_text(JUMPS)
    output = tmp_path / "jumping"
    given = {"PYTHONPATH": str(tmp_path), "ZOO_OUTPUT": str(output), **UNCOMPILED}
    done = subprocess.run(
        [sys.executable, "train.py", *words], cwd=ROOT, env={**os.environ, **given},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.rpartition("asked ")[2]) > 0, "nobody asked the clock that jumps"
    (record,) = load_records(output)
    assert arithmetic(record) == arithmetic(train_in(tmp_path / "quiet", *words))
    for clock in ("time/train_s", "time/eval_s", "time/data_wait_s"):
        assert 0 <= record.metrics[clock] < 100, clock
