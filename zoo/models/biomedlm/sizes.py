"""The sizes of BioMedLM: the paper's, those of its sibling configurations, and two for a laptop.

parameters = V d + P d + L (12 d^2 + 13 d) + 2 d        V words, P positions, L layers, width d
"""

from dataclasses import dataclass

from zoo.processes import say

POSITIONS = 1024  # rows of the table of positions: n_ctx


@dataclass(frozen=True, slots=True)
class Size:
    """Width d, layers and heads; the feed-forward layers are 4 d wide inside."""

    hidden_size: int
    layers: int
    heads: int


SIZES = {
    "nano": Size(128, 2, 2),
    "mini": Size(256, 4, 4),
    "125m": Size(768, 12, 12),
    "1b": Size(2048, 24, 16),
    "2.7b": Size(2560, 32, 20),
    "5b": Size(4096, 24, 32),
    "7b": Size(4096, 32, 32),
}


def print_size(size: str, layers: int | None, parameters: int) -> None:
    """Say which size is built, and how to have the paper's."""
    shape = f"size {size}" if layers is None else f"size {size} with {layers} layers"
    papers = "" if size == "2.7b" else "; the paper's: model.size=2.7b"
    say(f"BioMedLM of {shape}: {parameters / 1e6:.1f}M parameters{papers}")
