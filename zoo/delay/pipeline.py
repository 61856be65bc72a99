"""Fine-grained pipelined backpropagation: every layer a stage, no stage ever waits.

Kosson et al. 2020 (arXiv 2003.11666). Of S stages, stage s has the delay D_s = 2(S - s): it meets a
sample's gradient D_s updates after it met the sample. In sample-index time, one sample (or
micro-batch) a step, this is the pipeline exactly:

    forward of sample t at stage s      on w_s(t - D_s), or on what is predicted from it
    backward                            on w_s(t): other weights than the forward pass saw
    update of all stages                w_s(t + 1)

Where N samples make an update, the forward pass sees the weights after floor(max(0, t - D_s) / N)
updates and the backward pass those after floor(t / N); the gradient of an update is then D_s / N
updates late in the mean, and that is the delay for which is compensated and predicted.

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

from zoo.delay.callback import Delay, in_updates
from zoo.delay.correction import Correction
from zoo.delay.history import distances
from zoo.delay.prediction import Prediction, has_velocity
from zoo.delay.stages import Stage, pipeline_stages
from zoo.errors import UserError


class PipelineDelay(Delay):
    """Trains as a pipeline of the model's layers would, on one device.

    An optimizer with a `correction` has its backward weights corrected (zoo.delay.correction).

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
        self._correction: Correction | None = None
        self._loaded_correction: dict[str, Any] | None = None
        self._per_update = 1

    def batches_per_update(self, trainer: Trainer) -> int:
        return self._per_update

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
            self._ahead = Prediction(kind, horizon, delays, len(self.cut), self._per_update)
            if self._loaded_ahead is not None:
                self._ahead.load_state_dict(self._loaded_ahead, parameters)
        self._correct(getattr(optimizer, "correction", None), delays, parameters)
        return delays

    def _correct(self, decay: float | None, delays: list[int], parameters: list[Tensor]) -> None:
        if decay is None:
            return
        if self.consistent or self._ahead is not None:
            raise UserError(
                f"optimizer.correction={decay}: brings the backward weights to those of the forward "
                "pass, and delay.stash_weights and a prediction do the same in other ways; "
                "type optimizer.correction=null"
            )
        late = [in_updates(delay, self._per_update) for delay in delays]
        self._correction = Correction(decay, late, parameters)
        if self._loaded_correction is not None:
            self._correction.load_state_dict(self._loaded_correction)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._per_update = trainer.accumulate_grad_batches
        super().on_train_start(trainer, pl_module)

    def on_update_start(self, trainer: Trainer) -> None:
        if self._correction is not None:
            self._correction.update(self.history.parameters, self.history.newest())

    def reset(self) -> None:
        super().reset()
        self._ahead = self._correction = None

    @property
    def history_bytes(self) -> int:
        beside = (self._ahead, self._correction)
        return super().history_bytes + sum(part.bytes for part in beside if part is not None)

    def sends(self, optimizer: Optimizer) -> bool:
        return self._ahead is not None or super().sends(optimizer)

    def sent_weights(self, optimizer: Any, parameters: list[Tensor]) -> list[Tensor]:
        if self._ahead is None:
            return super().sent_weights(optimizer, parameters)
        return self._ahead.sent(optimizer, parameters)

    def returned_weights(self, optimizer: Any, parameters: list[Tensor]) -> list[Tensor] | None:
        if self._correction is not None:
            return self._correction.returned(self.history.present())
        if self._ahead is not None and self._ahead.backward is not None:
            return self._ahead.returned(optimizer, parameters, self.history.present())
        return None

    @torch.no_grad()
    def measure_lent(self) -> None:
        """Measure |forward - present weights| / |present weights|, by stage and over all.

        With a prediction this is its error.
        """
        self._note(dict(zip(self.history.parameters, self.history.distances(), strict=True)))

    @torch.no_grad()
    def measure(self, stale: dict[Tensor, Tensor]) -> None:
        """Measure the same where both passes see the weights of the forward pass."""
        held = self.history.parameters
        seen = [stale[p] if p in stale else p.detach() for p in held]
        self._note(dict(zip(held, distances(seen, [p.detach() for p in held]), strict=True)))

    def _note(self, norms: dict[Tensor, tuple[float, float]]) -> None:
        self._measured = {"num/pipeline/distance": _relative(list(norms.values()))}
        for stage in self.cut:
            if stage.parameters:
                held = [norms[p] for p in stage.parameters.values()]
                self._measured[f"num/pipeline/distance/{stage.number:03d}"] = _relative(held)

    def state_dict(self) -> dict[str, Any]:
        parts = {"ahead": self._ahead, "correction": self._correction}
        states = {k: part.state_dict() if part is not None else None for k, part in parts.items()}
        return {**super().state_dict(), **states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._loaded_ahead, self._loaded_correction = state["ahead"], state["correction"]


def _relative(norms: list[tuple[float, float]]) -> float:
    """Return |difference| / |weights| of some parameters together, from those of each."""
    far, size = (math.hypot(*side) for side in zip(*norms, strict=True))
    return far / size if size else 0.0
