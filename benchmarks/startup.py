"""(b) From the command to the end of the first training step, against importing the libraries."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5

IMPORTS = "import torch, lightning, hydra"
# train.py itself, with a stop behind the first step.
FIRST_STEP = """
import os, runpy, sys
import zoo.callbacks.recorder as recorder
step_end = recorder.Recorder.on_train_batch_end
def stop(*arguments):
    step_end(*arguments)
    os._exit(0)
recorder.Recorder.on_train_batch_end = stop
sys.argv = ["train.py"]
sys.path.insert(0, "")
runpy.run_path("train.py", run_name="__main__")
sys.exit("no step was trained")
"""


def seconds(code: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            check=True,
            env={**os.environ, "ZOO_OUTPUT": folder},
        )
        return time.perf_counter() - began


def rows() -> Iterator[tuple[str, str, str, str]]:
    seconds(IMPORTS), seconds(FIRST_STEP)  # fill the page cache
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(seconds(IMPORTS))
        ours.append(seconds(FIRST_STEP))
    ratio = statistics.median(o / t for o, t in zip(ours, theirs, strict=True))
    yield (
        "command to first step, against importing torch, lightning, hydra",
        f"{ratio:.2f}",
        "2.00",
        f"{statistics.median(ours):.1f} s against {statistics.median(theirs):.1f} s, {ROUNDS} rounds in turns",
    )
