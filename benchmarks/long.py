"""Long runs: is memory flat, are files closed, and what share of the time is not training?

The real command in a process of its own, watched from outside: its memory (RSS) and its open files, ten
times a second. What a run fills once (its caches, curves of at most a thousand points, the first evaluation)
is in the first fifth, and its end, where it reads the records of others for its rank, in the last seconds; both
are left out, and a line through the rest has the slope.

    python -m benchmarks long            # some 25 minutes on two cores
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from scipy import stats

from zoo.overrides import ROOT

STEPS = 100_000
COMMON = [
    "trainer.max_epochs=null", "trainer.eval_every_steps=1000", "logger=csv",
]  # fmt: skip
CASES = {
    "images": ["model=resnet8", "model.width=1", "model.norm=none", "data.batch_size=2"],
    # Rows of many lengths, packed: every step has tensors of another size.
    "text": [
        "model=mosaicbert", "data.max_length=24", "data.vocab_size=300", "data.batch_size=2",
        "data.eval_samples=64", "trainer.log_every_steps=10",
    ],
}  # fmt: skip
FLAT_MB = 10.0  # over the whole run: less than a hundred bytes a step
LEFT_OUT = 0.2  # of the time
END_S = 15.0  # of a run


def watched(words: list[str], folder: Path) -> tuple[list[tuple[float, int, int]], float]:
    """Run a command of train.py; return its (seconds, bytes, open files) and how long it took."""
    environment = {**os.environ, "ZOO_OUTPUT": str(folder), "OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    with open(folder / "said", "w") as said:
        child = subprocess.Popen(
            [sys.executable, "train.py", *words],
            cwd=ROOT,
            env=environment,
            stdout=said,
            stderr=said,
        )
        process, seen = psutil.Process(child.pid), []
        while child.poll() is None:
            try:
                sample = (process.memory_info().rss, process.num_fds())
            except psutil.Error:  # it has just ended
                break
            seen.append((time.perf_counter() - begin, *sample))
            time.sleep(0.1)
    took = time.perf_counter() - begin
    if child.wait() != 0:
        sys.exit((folder / "said").read_text())
    return seen, took


def rows(steps: int = STEPS) -> Iterator[tuple[str, str, str, str]]:
    """Yield (what, measured, limit, details) of each case.

    Args:
        steps: of each run.
    """
    for name, words in CASES.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            seen, took = watched([*COMMON, *words, f"trainer.max_steps={steps}"], folder)
            path = next(folder.glob("*/record.json"))
            metrics = json.loads(path.read_text())["metrics"]
            logged = sum(p.stat().st_size for p in folder.rglob("metrics.csv"))
            size = path.stat().st_size
        later = [s for s in seen if LEFT_OUT * took < s[0] < took - END_S]
        if len(later) < 100:
            sys.exit(f"long: {steps:,} steps took {took:.0f} s, too short to tell")
        seconds = [s[0] for s in later]
        per_step = took / steps  # steps take the same time, so a second is as many everywhere
        memory = stats.linregress(seconds, [s[1] for s in later])
        files = stats.linregress(seconds, [s[2] for s in later])
        grown = memory.slope * per_step * steps / 2**20
        margin = 1.96 * memory.stderr * per_step * steps / 2**20
        first, last = later[0][1] / 2**20, later[-1][1] / 2**20
        yield (
            f"memory, {name}, {steps:,} steps",
            f"{grown:+.2f} MB",
            f"{FLAT_MB:.2f} MB",
            f"slope over the run, +- {margin:.2f}; RSS {first:.1f} to {last:.1f} MB, {took:.0f} s",
        )
        yield (
            f"open files, {name}",
            f"{files.slope * per_step * steps:+.2f}",
            "1.00",
            f"{later[0][2]} at first, {later[-1][2]} at last",
        )
        train, evaluated = metrics["time/train_s"], metrics["time/eval_s"]
        yield (
            f"not training, {name}",
            f"{1 - train / took:.1%}",
            "",
            f"evaluation every 1,000 steps {evaluated / took:.1%}, start, checkpoints every 30 s and end "
            f"{1 - (train + evaluated) / took:.1%}; record {size:,} bytes, metrics.csv {logged:,}",
        )
