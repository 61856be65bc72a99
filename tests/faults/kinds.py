"""What is killed: a command, what it needs, and what of its end must be the same as undisturbed.

Runs are a covering set: each task with each delay, and of number formats as many as make every pair of
task, delay and format occur.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests import standin
from tests.conftest import UNCOMPILED
from tests.end_to_end.test_train import arithmetic
from tests.glue import write_glue
from tests.processes import ROOT, run
from tests.publishing.conftest import BOARD, record_of
from tests.questions import write_folder, write_lines, yes_no_maybe
from zoo.leaderboard.admission import admit
from zoo.leaderboard.store import write_record

SHORT = [
    "trainer.max_epochs=null", "trainer.eval_every_steps=5", "trainer.log_every_steps=2",
    "callbacks.checkpoint.every_steps=2", "logger=none",
]  # fmt: skip
TEXT = ["data.max_length=16", "data.vocab_size=300", "data.batch_size=4", "trainer.max_steps=14"]
RUNNING = [*TEXT, "data.eval_samples=8"]
TASKS = {
    "classification": [
        "model.width=2", "data.batch_size=16", "model.norm=group", "trainer.max_steps=32",
    ],
    "masked_lm": ["model=mosaicbert", *RUNNING],
    "causal_lm": ["model=biomedlm", *RUNNING],
    "multiple_choice": [
        "model=biomedlm_classifier", "data=questions", "task=multiple_choice", "data.task=folder",
        "data.max_length=48", *TEXT[1:],
    ],
    "sequence_classification": ["model=bert_classifier", "data.task=rte", *TEXT],
}  # fmt: skip
DELAYS = {
    "none": [],
    "constant": ["delay=constant", "delay.steps=3", "optimizer=nesterov", "optimizer.lr=0.01"],
    "pipeline": ["delay=pipeline", "optimizer=sgd", "optimizer.lr=0.01"],
}
PRECISIONS = {
    "fp32": ["precision=fp32"],
    "169": ["precision=169"],
    # Overflows at first (weight gradients times 2^15 are beyond 448), and again every few clean steps.
    "scaled": [
        "precision=fp16_emulated", "precision.loss_scale=dynamic",
        "precision.loss_scale_window=5", "precision.quantize.weight_gradients=fp8_e4m3",
    ],
}  # fmt: skip


@dataclass
class Kind:
    """A command that is killed.

    Args:
        name: in the table.
        words: `train.py` or `zoo`, and what is typed after it; OUT stands for the output folder.
        end: of an output folder, what must be the same.
        caches: whether it fills a cache, which is sometimes empty.
        cold: runs in a process of its own, with workers that die with it.
        moments: in which it is killed.
        environment: more of it.
        begin: writes into a new output folder what is there before.
    """

    name: str
    words: list[str]
    end: Callable[[Path], Any]
    caches: bool = False
    cold: bool = False
    moments: tuple[str, ...] = ("delay", "step", "write")
    begin: Callable[[Path], None] = lambda output: None
    environment: Mapping[str, str] = field(default_factory=dict)

    def typed(self, output: Path) -> list[str]:
        return [word.replace("OUT", str(output)) for word in self.words]

    def around(self, output: Path, cache: Path) -> dict[str, str]:
        here = {"ZOO_OUTPUT": str(output), "ZOO_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        return {**os.environ, **UNCOMPILED, **here, **self.environment}


def kinds(place: Path) -> list[Kind]:
    """Return all kinds; what they need is written below `place`."""
    data = write_glue(place / "data", "rte", train=40, test=8)
    asked = write_folder(place / "questions", yes_no_maybe, train=60, test=8)
    more = {
        "multiple_choice": [f"data.folder={os.path.relpath(asked, ROOT)}"],
        "sequence_classification": [f"data.root={data}"],
    }
    found = []
    for t, (task, words) in enumerate(TASKS.items()):
        for d, (delay, late) in enumerate(DELAYS.items()):
            precision, narrow = list(PRECISIONS.items())[(t + d) % 3]
            found.append(
                Kind(
                    f"{task}, {delay}, {precision}",
                    ["train.py", *SHORT, *words, *more.get(task, []), *late, *narrow],
                    trained,
                    caches=task != "classification",
                )
            )
    sweep = ["train.py", "-m", "seed=0,1,2", *SHORT, *TASKS["classification"]]
    found.append(Kind("sweep, in turn", sweep, trained))
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    found.append(Kind("sweep, joblib, 2 jobs", [*sweep, *parallel], trained, cold=True))
    return found


def answering(place: Path) -> Kind:
    """`zoo answer --file` with a model that is trained here."""
    taught = Kind("", ["train.py", *SHORT, "model=biomedlm", *RUNNING], trained)
    done = run(taught.words, taught.around(place / "taught", place / "cache"))
    assert done.returncode == 0, done.stderr
    (model,) = (p.parent for p in (place / "taught").glob("*/record.json"))
    file = write_lines(place / "asked.jsonl", yes_no_maybe, 200)
    words = ["zoo", "answer", "--checkpoint", str(model), "--file", str(file), "--batch-size", "2"]
    words += ["--out", "OUT/answers.jsonl"]
    return Kind("zoo answer --file", words, content, moments=("delay",))


def publishing(place: Path, server: Any) -> Kind:
    """`zoo publish` to a stand-in of the server, see tests/standin.py."""
    boards = place / "boards"
    boards.mkdir(parents=True)
    (boards / "digits.yaml").write_text(BOARD)

    def begin(output: Path) -> None:
        server.standin.reset()
        for seed in range(3):
            record = record_of(seed)
            write_record(record, output / record.id / "record.json")

    folders = ["--output-dir", "OUT", "--leaderboards", str(boards)]
    (place / "home").mkdir()
    return Kind(
        "zoo publish", ["zoo", "publish", "--project", "zoo", *folders],
        lambda output: standin.state(server), moments=("delay",), begin=begin,
        environment=standin.environment(server.url, place / "home"),
    )  # fmt: skip


def trained(output: Path) -> dict[str, Any]:
    """The runs of a folder: records, weights, and all other files; what is on the clock left out.

    Raises:
        ValueError: a record is not what the zoo writes.
    """
    end: dict[str, Any] = {"files": sorted(str(p.relative_to(output)) for p in files(output))}
    for path in files(output):
        name = str(path.relative_to(output))
        if path.name == "record.json":
            record = admit(path)
            end[name] = {**arithmetic(record), "command": record.command, "ranges": record.ranges}
        elif path.suffix == ".ckpt":
            saved = torch.load(path, weights_only=True)
            end[name] = digest([saved["state_dict"], saved["optimizer_states"]])
        elif path.suffix != ".log" and path.name not in ("hydra.yaml", "multirun.yaml"):
            end[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return end


def content(output: Path) -> dict[str, str]:
    """All files of a folder, by their content."""
    return {
        str(p.relative_to(output)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files(output)
    }


def files(output: Path) -> list[Path]:
    return [p for p in output.rglob("*") if p.is_file() and p.name != ".lock"]


def digest(node: Any) -> str:
    """Return a sum of tensors, numbers and names in lists and dictionaries."""

    def lines(node: Any) -> Any:
        if isinstance(node, torch.Tensor):
            bits = node.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            yield f"{node.dtype} {tuple(node.shape)} {hashlib.sha256(bits).hexdigest()}"
        elif isinstance(node, dict):
            for key, value in node.items():
                yield str(key)
                yield from lines(value)
        elif isinstance(node, list | tuple):
            yield str(len(node))
            for value in node:
                yield from lines(value)
        else:
            yield json.dumps(node, default=repr)

    return hashlib.sha256("\n".join(lines(node)).encode()).hexdigest()
