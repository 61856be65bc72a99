"""The losses of short runs, as they were: what a refactor must keep.

    python -m tests.traces              # compare, and say how far each run is from the file
    python -m tests.traces --write      # after a change that means to change them, which says why

Twenty steps of each model with each kind of number format under each kind of delay.
"""

import contextlib
import io
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

FILE = Path(__file__).with_name("traces.json")
STEPS = 20
# Small enough that no run diverges, large enough that a loss shows how the weights were changed.
IMAGES = ["model.width=4", "data.batch_size=16", "optimizer.lr=0.005", "model.norm=group"]
TEXT = [
    "data.max_length=16", "data.vocab_size=300", "data.batch_size=4", "data.eval_samples=4",
    "optimizer.lr=0.01",
]  # fmt: skip
MODELS = {
    "resnet8": ["model=resnet8", *IMAGES],
    "vgg11": ["model=vgg11", "data.image_size=32", *IMAGES],
    "mosaicbert": ["model=mosaicbert", *TEXT],
    "bert": ["model=bert", *TEXT],
    "biomedlm": ["model=biomedlm", *TEXT, "optimizer.lr=0.003"],
}
PRECISIONS = {
    "fp32": ["precision=fp32"],
    "bf16": ["precision=bf16"],
    "169": ["precision=169"],
    "scaled": ["precision=fp16_emulated", "precision.loss_scale=dynamic"],
}
DELAYS = {
    "none": [],
    "constant": ["delay=constant", "delay.steps=3"],
    "pipeline": ["delay=pipeline"],
}
# Momentum, so that one gradient acts on all later losses.
RATE = ["optimizer=nesterov", "scheduler=constant"]
CASES = [", ".join(words) for words in itertools.product(MODELS, PRECISIONS, DELAYS)]


def words_of(case: str) -> list[str]:
    """Return what is typed for a case, `model, precision, delay`."""
    model, precision, delay = case.split(", ")
    # Autocast keeps copies of the weights, which a pipeline of one version of them cannot have.
    stashed = ["delay.stash_weights=true"] if (precision, delay) == ("bf16", "pipeline") else []
    return [
        *MODELS[model], *PRECISIONS[precision], *DELAYS[delay], *stashed, *RATE,
        "trainer.max_epochs=null", f"trainer.max_steps={STEPS}", "trainer.log_every_steps=1",
        "trainer.eval_every_steps=1000", "trainer.gradient_clip=null", "logger=none", "callbacks=none",
    ]  # fmt: skip


def trace(case: str, train: Callable[..., object], folder: Path) -> list[float]:
    """Train a case; return the loss of each of its steps."""
    with contextlib.redirect_stdout(io.StringIO()):
        record = train(folder, *words_of(case))
    return record.curve["train/loss"].value  # type: ignore[attr-defined]


def distance(found: list[float], kept: list[float]) -> float:
    """Return the largest difference of two traces, relative to the first loss that is kept."""
    assert len(found) == len(kept) == STEPS
    return max(abs(a - b) for a, b in zip(found, kept, strict=True)) / kept[0]


def main() -> None:
    from tests.conftest import train_in
    from tests.warm import warm

    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    found = {}
    with tempfile.TemporaryDirectory() as folder, warm():
        for case in CASES:
            found[case] = [float(f"{loss:.7g}") for loss in trace(case, train_in, Path(folder))]
            told = f"{distance(found[case], kept[case]):.1e}" if case in kept else "new"
            print(
                f"{case:32} {found[case][0]:.4f} to {found[case][-1]:.4f}  {told}", file=sys.stderr
            )
    if "--write" in sys.argv:
        lines = ",\n".join(
            f"{json.dumps(case)}: {json.dumps(losses)}" for case, losses in found.items()
        )
        FILE.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
