"""Fine-grained pipelined backpropagation: every layer a stage, no stage ever waits.

Kosson et al. 2020 (arXiv 2003.11666). Of S stages, stage s has the delay D_s = 2(S - s): it meets a
sample's gradient D_s updates after it met the sample. In sample-index time, one sample (or
micro-batch) a step, this is the pipeline exactly:

    forward of sample t at stage s      on w_s(t - D_s), or on what is predicted from it
    backward                            on w_s(t): other weights than the forward pass saw
    update of all stages                w_s(t + 1)

With `stash_weights` the backward pass sees the weights of the forward pass (PipeDream): the gradient
is consistent, and late. Before the first update all weights are w(0), as while the pipe fills;
after the last sample all updates are made, as when it has drained.
"""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from zoo.delay.callback import Delay
from zoo.delay.prediction import Prediction, has_velocity
from zoo.delay.stages import Stage, pipeline_stages
from zoo.errors import UserError


class PipelineDelay(Delay):
    """Trains as a pipeline of the model's layers would, on one device.

    Args:
        stages: so many stages, balanced by FLOPs; None: each layer is one.
        prediction: velocity, weight or spectrain: what the forward pass sees (zoo.delay.prediction);
            None: what the optimizer's own `prediction` says, or the old weights as they are.
        horizon: of the prediction, in updates, or a multiple of the delay such as "2D"; None: D.
        stash_weights: the backward pass sees what the forward pass saw.

    Raises:
        UserError: when training starts: the model cannot be cut, or the optimizer has no velocity.
    """

    name = "pipeline"

    def __init__(
        self,
        stages: int | None = None,
        *,
        prediction: str | None = None,
        horizon: float | str | None = None,
        stash_weights: bool = False,
    ) -> None:
        super().__init__()
        self.stages = stages
        self.prediction = prediction
        self.horizon = horizon
        self.consistent = stash_weights
        self.cut: list[Stage] = []
        self._ahead: Prediction | None = None
        self._loaded_ahead: dict[str, Any] | None = None

    def delays_of(
        self, pl_module: LightningModule, optimizer: Optimizer, parameters: list[Tensor]
    ) -> list[int]:
        example: Any = getattr(pl_module, "example", None)
        net = getattr(pl_module, "net", pl_module)
        self.cut = pipeline_stages(net, example(2) if example else None, self.stages)
        of: dict[Tensor, int] = {
            p: stage.delay for stage in self.cut for p in stage.parameters.values()
        }
        for name, p in pl_module.named_parameters():
            if p.requires_grad and p not in of:
                raise UserError(
                    f"delay=pipeline: {name} is in no stage of the model; put it into the model, or "
                    "type delay=constant"
                )
        delays = [of[p] for p in parameters]
        kind = self.prediction or getattr(optimizer, "prediction", None)
        horizon = self.horizon if self.horizon is not None else getattr(optimizer, "horizon", None)
        if kind == "spectrain" and self.consistent:
            raise UserError(
                "delay.stash_weights=True: SpecTrain predicts the weights of both passes; "
                "type delay.stash_weights=false"
            )
        if horizon is not None and kind is None:
            raise UserError(
                f"delay.horizon={horizon}: is of a prediction, and there is none; "
                "type delay.prediction=velocity or delay.horizon=null"
            )
        if kind is not None:
            if not has_velocity(optimizer):
                raise UserError(
                    f"delay.prediction={kind}: {type(optimizer).__name__} has no velocity to predict "
                    "along; type optimizer=sgd with optimizer.momentum=0.9, or delay.prediction=null"
                )
            self._ahead = Prediction(kind, horizon, delays, len(self.cut))
            if self._loaded_ahead is not None:
                self._ahead.load_state_dict(self._loaded_ahead, parameters)
        return delays

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.accumulate_grad_batches != 1:
            raise UserError(
                f"trainer.accumulate={trainer.accumulate_grad_batches}: a stage of delay=pipeline "
                "updates after every batch; type trainer.accumulate=1"
            )
        super().on_train_start(trainer, pl_module)

    def reset(self) -> None:
        super().reset()
        self._ahead = None

    @property
    def history_bytes(self) -> int:
        return super().history_bytes + (self._ahead.bytes if self._ahead is not None else 0)

    def sends(self, optimizer: Optimizer) -> bool:
        return self._ahead is not None or super().sends(optimizer)

    def sent_weights(self, optimizer: Any, parameters: list[Tensor]) -> list[Tensor]:
        if self._ahead is None:
            return super().sent_weights(optimizer, parameters)
        return self._ahead.sent(optimizer, parameters)

    def returned_weights(self, optimizer: Any, parameters: list[Tensor]) -> list[Tensor] | None:
        if self._ahead is None:
            return None
        return self._ahead.returned(optimizer, parameters, self.history.present())

    @torch.no_grad()
    def measure_lent(self) -> None:
        """Measure |forward - backward weights| / |backward weights|, by stage and over all.

        With a prediction this is its error.
        """
        norms = dict(zip(self.history.parameters, self.history.distances(), strict=True))
        self._measured = {"num/pipeline/distance": _relative(list(norms.values()))}
        for stage in self.cut:
            if stage.parameters:
                held = [norms[p] for p in stage.parameters.values()]
                self._measured[f"num/pipeline/distance/{stage.number:03d}"] = _relative(held)

    def state_dict(self) -> dict[str, Any]:
        ahead = self._ahead.state_dict() if self._ahead is not None else None
        return {**super().state_dict(), "ahead": ahead}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._loaded_ahead = state["ahead"]


def _relative(norms: list[tuple[float, float]]) -> float:
    """Return |difference| / |weights| of some parameters together, from those of each."""
    far, size = (math.hypot(*side) for side in zip(*norms, strict=True))
    return far / size if size else 0.0
