"""A Lightning precision plugin that trains any LightningModule in an emulated number format.

Weights, activations, activation gradients and weight gradients of every product are rounded to the
format; products accumulate in fp32; normalisation, softmax and loss, the master weights and the
optimizer's state are fp32.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from zoo.errors import UserError
from zoo.precision.casts import Casts
from zoo.precision.loss_scale import LossScale
from zoo.precision.products import RoundProducts
from zoo.precision.rounding import quantize


class EmulatedPrecision(Precision):
    """Rounds the tensors of every product, and scales the loss where asked.

    Pass it as `Trainer(plugins=[EmulatedPrecision(...)])` and leave the Trainer's `precision`
    unset: to Lightning the arithmetic is fp32.

    Args:
        casts: which kind of tensor is rounded to what.
        loss_scale: None for none.
    """

    def __init__(self, casts: Casts, loss_scale: LossScale | None = None) -> None:
        self.casts = casts
        self.loss_scale = loss_scale
        self._products = RoundProducts(casts)

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Refuse what cannot be rounded, and compile the roundings before any clock runs.

        Raises:
            UserError: a parameter is not fp32, or the model is compiled or recurrent.
        """
        for name, parameter in module.named_parameters():
            if parameter.is_floating_point() and parameter.dtype != torch.float32:
                raise UserError(
                    f"precision: {name} is {parameter.dtype}, and master weights are fp32; "
                    "build the model in fp32"
                )
        for name, child in module.named_modules():
            if isinstance(child, torch._dynamo.OptimizedModule):
                raise UserError(
                    f"precision: {name or 'the model'} is compiled, and products inside it cannot be "
                    "rounded; type trainer.compile=false"
                )
            if isinstance(child, nn.RNNBase | torch.jit.ScriptModule):
                raise UserError(
                    f"precision: {name or 'the model'} computes products inside one kernel, where they cannot be "
                    "rounded; type precision=fp32 or precision=bf16"
                )
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        for fmt in {f for f in self.casts.formats.values() if f is not None}:
            with torch._C.DisableTorchFunction():
                for mode in (torch.no_grad, torch.inference_mode):
                    with mode():
                        quantize(torch.ones(64, device=device), fmt)
        return module

    def connect(
        self, model: nn.Module, optimizers: list[Optimizer], lr_schedulers: list[Any]
    ) -> tuple[nn.Module, list[Optimizer], list[Any]]:
        """Refuse several optimizers under one loss scale, which one of them may change.

        Raises:
            UserError: there are several.
        """
        if self.loss_scale is not None and len(optimizers) > 1:
            raise UserError(
                f"precision.loss_scale: there are {len(optimizers)} optimizers, and one scale cannot "
                "follow them all; type precision.loss_scale=none"
            )
        return super().connect(model, optimizers, lr_schedulers)

    @contextlib.contextmanager
    def forward_context(self) -> Generator[None, None, None]:
        """Round the products of training, validation and test steps."""
        with self._products, _full_fp32():
            yield

    def backward(  # type: ignore[override]
        self, tensor: Tensor, model: LightningModule, optimizer: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Go backward; what activation checkpointing computes again is rounded again."""
        with self._products, _full_fp32():
            super().backward(tensor, model, optimizer, *args, **kwargs)

    def pre_backward(self, tensor: Tensor, module: LightningModule) -> Tensor:  # type: ignore[override]
        """Scale the loss."""
        if self.loss_scale is not None:
            tensor = tensor * self.loss_scale.value
        return super().pre_backward(tensor, module)

    def optimizer_step(  # type: ignore[override]
        self, optimizer: Any, model: LightningModule, closure: Callable[[], Any], **kwargs: Any
    ) -> Any:
        """Divide the gradients by the loss scale, clip them, and update.

        Where a gradient is not finite there is no update: no clipping, no
        `on_before_optimizer_step`, no change of the optimizer's state. The step counts all the same.
        """
        if self.loss_scale is None:
            return super().optimizer_step(optimizer, model=model, closure=closure, **kwargs)
        if isinstance(getattr(optimizer, "optimizer", optimizer), LBFGS):
            raise UserError(
                "precision.loss_scale: LBFGS computes its own losses; type precision.loss_scale=none"
            )
        result = closure()
        if result is None and model.automatic_optimization:  # the training step said: no backward
            return result
        finite = self.loss_scale.unscale(_gradients(optimizer))
        if finite:
            self._after_closure(model, optimizer)
            optimizer.step(**kwargs)
        self.loss_scale.update(finite)
        return result

    def follow_weights(self, on: bool) -> None:
        """Let a backward pass see the weights as they are then; see `Casts.follow_weights`."""
        self.casts.follow_weights(on)

    def measures(self) -> dict[str, float]:
        """Return what is logged beside the loss."""
        if self.loss_scale is None:
            return {}
        return {
            "num/loss_scale": self.loss_scale.value,
            "num/skipped_steps": float(self.loss_scale.skipped_steps),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the loss scale's state for the checkpoint."""
        return self.loss_scale.state_dict() if self.loss_scale is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the loss scale of a checkpoint."""
        if self.loss_scale is not None:
            self.loss_scale.load_state_dict(state_dict)


def _gradients(optimizer: Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter.grad


@contextlib.contextmanager
def _full_fp32() -> Iterator[None]:
    """Keep GPUs from multiplying in TF32 what is meant to be fp32."""
    if not torch.cuda.is_available():
        yield
        return
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
