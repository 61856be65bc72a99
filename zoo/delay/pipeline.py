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

from typing import Any

import torch
from lightning.pytorch import LightningModule
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
        of = {p: stage.delay for stage in self.cut for p in stage.parameters.values()}
        delays = [of[p] for p in parameters]  # type: ignore[index]
        kind = self.prediction or getattr(optimizer, "prediction", None)
        horizon = self.horizon if self.horizon is not None else getattr(optimizer, "horizon", None)
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

        With a prediction this is its error; `num/pipeline/distance` is the mean over the parameters.
        """
        far = dict(zip(self.history.parameters, self.history.distances(), strict=True))
        self._measured = {"num/pipeline/distance": sum(far.values()) / len(far)}
        for stage in self.cut:
            held = [far[p] for p in stage.parameters.values()]
            if held:
                key = f"num/pipeline/distance/{stage.number:03d}"
                self._measured[key] = sum(held) / len(held)

    def state_dict(self) -> dict[str, Any]:
        ahead = self._ahead.state_dict() if self._ahead is not None else None
        return {**super().state_dict(), "ahead": ahead}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._loaded_ahead = state["ahead"]
