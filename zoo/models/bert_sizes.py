"""The sizes of BERT and of MosaicBERT, in one place."""

from dataclasses import dataclass

from zoo.processes import say


@dataclass(frozen=True, slots=True)
class Size:
    """Width d, layers, heads, and I, the width inside BERT's feed-forward layers."""

    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int


SIZES = {
    "nano": Size(128, 2, 2, 512),
    "mini": Size(256, 4, 4, 1024),
    "small": Size(512, 4, 8, 2048),
    "base": Size(768, 12, 12, 3072),
    "large": Size(1024, 24, 16, 4096),
}


def print_size(model: str, size: str, parameters: int) -> None:
    """Say which size is built, and how to have the paper's."""
    papers = "" if size in ("base", "large") else "; the paper's: model.size=base"
    say(f"{model} of size {size}: {parameters / 1e6:.1f}M parameters{papers}")
