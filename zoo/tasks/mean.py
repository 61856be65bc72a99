"""A mean over a split that what is not a number makes not a number."""

import torch
from torch import Tensor
from torchmetrics import Metric


class Mean(Metric):
    """The weighted mean of all values of all ranks.

    torchmetrics' MeanMetric leaves NaN out, so that the loss of a diverged network is the mean over the
    batches that it survived; told to keep it, it takes no weights (1.9).
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("weight", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: int) -> None:
        """Add a batch's mean.

        Args:
            value: scalar.
            weight: how many values it is the mean of.
        """
        self.total += value.float() * weight
        self.weight += weight

    def compute(self) -> Tensor:
        """Return the mean; NaN of nothing."""
        return self.total / self.weight
