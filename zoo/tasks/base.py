"""What every task shares: the optimizer, its schedule over the budget, and the counting."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from zoo.data.text_data import Share
from zoo.errors import UserError
from zoo.example import Example
from zoo.models.checkpointing import compute_once
from zoo.models.sharding import shard
from zoo.optim.schedules import Schedule
from zoo.precision.cost import Cost, cost_of_products
from zoo.precision.kinds import Kind
from zoo.tasks.meter import Extent, Meter, StepMeter, run_once

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]


class Task(LightningModule):
    """A model with a loss.

    `training_step` returns the `loss` and, under `metrics`, what the recorder averages: Lightning
    divides the loss itself by the batches that it accumulates.

    A loss is a mean over the batch's targets. Where an update is of several batches, of several
    ranks or accumulated, with n_i of all N targets each, its gradient is that of the mean over N,

        sum_i n_i/N grad loss_i = mean_i (s_i grad loss_i),    s_i = (number of batches) n_i/N,

    so each loss is multiplied by its batch's `share` s_i on the way to the backward pass, whatever
    the task, and Lightning takes the mean.

    Args:
        net: the model.
        make_optimizer: called with the parameters.
        schedule: multiplier of the learning rate at a share of the budget.
        progress: returns the share of the budget that is used after so many updates, in [0, 1].
    """

    def __init__(
        self,
        net: nn.Module,
        make_optimizer: MakeOptimizer,
        schedule: Schedule,
        progress: Callable[[int], float],
    ) -> None:
        super().__init__()
        self.net = net
        self._make_optimizer = make_optimizer
        self._schedule = schedule
        self._progress = progress
        self.tests: tuple[str, ...] = ("test",)  # names of the test loaders' splits
        self.share: Tensor | None = None  # s of the training batch under way; None: 1

    def configure_model(self) -> None:
        """Share the weights out, where the strategy is to (trainer=fsdp)."""
        if self.device_mesh is not None:
            shard(self.net, self.device_mesh["data_parallel"])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Take out of a batch what is not for the model, and ask all ranks for their targets."""
        self.share = None
        targets: Share | None = batch.pop("share", None) if isinstance(batch, dict) else None
        if targets is not None:
            # In a tensor, so that a GPU is not waited for.
            total = torch.tensor(float(targets.update), device=self.device)
            total = self.trainer.strategy.reduce(total, reduce_op="sum")
            batches = self.trainer.world_size * self.trainer.accumulate_grad_batches
            self.share = batches * targets.batch / total.clamp_min(1)

    def backward(self, loss: Tensor, *args: Any, **options: Any) -> None:
        """Go backward from the batch's share of the update's loss."""
        super().backward(loss if self.share is None else loss * self.share, *args, **options)

    def evaluate(self, batch: Any, split: str) -> None:
        """Add a batch to what is measured of a split."""
        raise NotImplementedError

    def publish(self, split: str) -> None:
        """Log what was measured of a split, and begin anew."""
        raise NotImplementedError

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self.publish("val")

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.evaluate(batch, self.tests[dataloader_idx])

    def on_test_epoch_end(self) -> None:
        for split in self.tests:
            self.publish(split)

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(p for p in self.parameters() if p.requires_grad)
        if not isinstance(optimizer, Optimizer):
            raise UserError(
                f"optimizer._target_: gives {type(optimizer).__name__}, not a "
                "torch.optim.Optimizer; type a class, or a function that gives one"
            )

        def factor(_: int) -> float:
            progress = self._progress(self._updates())
            if hasattr(optimizer, "at_progress"):  # it has a schedule of its own
                optimizer.at_progress(progress)
            return self._schedule(progress)

        scheduler = LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _updates(self) -> int:
        # Lightning steps the schedule before it tells the callbacks that the batch has ended.
        return 0 if self._trainer is None else self.trainer.global_step

    def count(self, batch: Any) -> tuple[int, int | None]:
        """Return the samples and the tokens (None where there are none) of a batch."""
        raise NotImplementedError

    def extent(self, batch: Any) -> Extent | None:
        """Return how much a batch of sequences holds; None where all batches are alike."""
        return None

    def example(self, samples: int) -> Example:
        """Return a model input of so many samples on the meta device, for counting FLOPs."""
        raise NotImplementedError

    def meter(self, batch_size: int, accumulate: int, bits: Mapping[Kind, int]) -> Meter | None:
        """Return what tells the FLOPs and bytes of a training; None where they cannot be counted.

        Args:
            batch_size: samples of a pass over the weights: of a batch, of one device.
            accumulate: passes of an update, of all devices.
            bits: width of each kind of tensor.
        """
        flops = flops_of_step(self, batch_size * accumulate)
        if flops is None:
            return None
        return StepMeter(flops, cost_of_step(self, batch_size, accumulate, bits))


def flops_of_step(task: Task, batch_size: int) -> tuple[int, int] | None:
    """Count the FLOPs (2 per multiply-add) of one sample's forward pass and of a training step.

    Counted operation by operation on the meta device, where nothing is computed; products,
    convolutions and attention count, elementwise work does not.

    Args:
        task: its `example` makes a batch of any size.
        batch_size: samples of an update.

    Returns:
        (forward FLOPs of a sample, forward and backward FLOPs of an update), or None where the
        model does not run on the meta device.
    """
    samples = 2  # batch norm wants two; every counted operation is linear in the batch
    try:
        ahead, back = run_once(on_meta(task.net), task.example(samples))
    except Exception:  # whatever a model raises that wants numbers: it is tried in earnest then
        return None
    return ahead // samples, (ahead + back) * batch_size // samples


def cost_of_step(
    task: Task, batch_size: int, accumulate: int, bits: Mapping[Kind, int]
) -> Cost | None:
    """Count what the products of an update cost at these widths; see `zoo.precision.cost`.

    Returns:
        The cost, or None where the model does not run on the meta device.
    """
    try:
        cost = cost_of_products(on_meta(task.net), task.example(batch_size), bits)
    except Exception:  # as above
        return None
    return Cost(cost.bit_flops * accumulate, cost.bytes_moved * accumulate, cost.escaped)


def on_meta(net: nn.Module) -> nn.Module:
    """Return a copy of a model, compiled or not, on the meta device, in training mode.

    It computes its activations once: what a training takes is what the model asks for, not what is
    done again to save memory.
    """
    return compute_once(copy.deepcopy(getattr(net, "_orig_mod", net))).to("meta").train()


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a tensor of this shape that has no memory."""
    return torch.empty(*shape, dtype=dtype, device="meta")
