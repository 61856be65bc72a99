"""Loss scaling: the loss is multiplied before the backward pass, the gradients divided after it.

Dynamic (Cerebras' rule): start at 2^emax of the gradients' format, which is also the largest;
when a gradient is not finite, skip the update and halve; after 2,000 clean updates, double; never
below 2^-14.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import Diverged

WINDOW = 2000
MINIMUM = 2.0**-14
PATIENCE = 100  # updates skipped in a row before the run counts as diverged


@dataclass
class LossScale:
    """A scale, and what it has lived through.

    Args:
        value: the scale; the first one, where it is dynamic.
        dynamic: whether it moves.
        window: clean updates before it doubles.
    """

    value: float
    dynamic: bool = False
    window: int = WINDOW
    clean_steps: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0

    def __post_init__(self) -> None:
        self._maximum = self.value

    def unscale(self, gradients: Iterable[Tensor]) -> bool:
        """Divide the gradients in place; return whether all of them are finite."""
        found = list(gradients)
        for gradient in found:
            gradient.div_(self.value)
        # The largest magnitude: the sum of squares would overflow where no gradient does.
        return not found or math.isfinite(torch.nn.utils.get_total_norm(found, math.inf))

    def update(self, finite: bool) -> None:
        """Move on after an update that was made (finite) or skipped.

        Raises:
            Diverged: gradients overflow at the smallest scale, or were skipped too often in a row.
        """
        if finite:
            self.skipped_in_a_row = 0
            self.clean_steps += 1
            if self.dynamic and self.clean_steps >= self.window:
                self.value = min(2 * self.value, self._maximum)
                self.clean_steps = 0
            return
        self.clean_steps = 0
        self.skipped_steps += 1
        self.skipped_in_a_row += 1
        at_the_end = self.dynamic and self.value <= MINIMUM
        if at_the_end or self.skipped_in_a_row >= PATIENCE:
            raise Diverged(
                f"gradients overflow at a loss scale of {self.value:g}; "
                f"{self.skipped_in_a_row} updates were skipped in a row"
            )
        if self.dynamic:
            self.value = max(self.value / 2, MINIMUM)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as plain numbers."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        for key, value in state.items():
            setattr(self, key, value)
