"""The range that training needs: exponents of every tensor kind, by layer and over training.

The paper's own analysis (Popescu et al. 2021): which share of the weights, activations, activation
gradients and weight gradients lies below the normal range of a format, vanishes, or overflows. It
watches products as they are computed, in any precision, and changes nothing.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from zoo.errors import UserError, suggest
from zoo.leaderboard.ranges import MAX_LAYERS, MAX_STEPS, ByLayer, FormatRange, OverTraining, Ranges
from zoo.precision.casts import Casts
from zoo.precision.exponents import BINS, LOWEST, Exponents
from zoo.precision.formats import FORMATS, FloatFormat
from zoo.precision.kinds import KINDS, Kind
from zoo.precision.plugin import EmulatedPrecision
from zoo.precision.products import RoundProducts


class RangeMonitor(Callback):
    """Counts the exponents of what goes into and comes out of products, at some steps.

    In an emulated format the values are those before rounding. Under a loss scale, gradients are
    the scaled ones, which are what the format has to hold.

    Args:
        every_steps: updates between two that are watched.
        formats: names of formats whose losses are measured.

    Raises:
        UserError: there is no such format.
    """

    def __init__(
        self,
        every_steps: int = 100,
        formats: Sequence[str] | str | None = ("fp169", "fp16", "bf16"),
    ) -> None:
        formats = (formats,) if isinstance(formats, str) else tuple(formats or ())
        for name in formats:
            if name not in FORMATS:
                raise UserError(
                    f"callbacks.ranges.formats={name}: no such format{suggest(str(name), FORMATS)}"
                )
        if not isinstance(every_steps, int) or every_steps < 1:
            raise UserError(
                f"callbacks.ranges.every_steps={every_steps}: must be a whole number, 1 or more; type callbacks.ranges.every_steps=100"
            )
        self.every_steps = every_steps
        self.formats: dict[str, FloatFormat] = {name: FORMATS[name] for name in formats}
        self.over_training: dict[int, dict[Kind, Exponents]] = {}
        self.by_layer: dict[str, dict[Kind, Exponents]] = {}
        self._spacing = 1  # watched steps that a column holds
        self._watched = 0
        self._new: dict[Kind, Exponents] = {}  # of the last watched step, until it is logged
        self._names: dict[nn.Module, str] = {}
        self._stack: list[str] = []
        self._step: dict[Kind, Exponents] | None = None
        self._open = contextlib.ExitStack()

    # -- what a cast asks and tells ------------------------------------------------------------

    def site(self) -> str:
        """Return the name of the module whose forward pass runs now."""
        return self._stack[-1] if self._stack else "model"

    def see(self, kind: Kind, site: str, x: Tensor) -> None:
        """Count a tensor's exponents."""
        if self._step is None or x.device.type == "meta":
            return
        found = Exponents.of(x, self.formats)
        self._step.setdefault(kind, Exponents()).add(found)
        self.by_layer.setdefault(site, {}).setdefault(kind, Exponents()).add(found)

    # -- when ----------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learn the layers' names."""
        for module in pl_module.modules():
            if isinstance(module, torch._dynamo.OptimizedModule):
                raise UserError(
                    "callbacks.ranges: products inside a compiled model cannot be watched; "
                    "type trainer.compile=false"
                )
        self._names = {m: name.removeprefix("net.") for name, m in pl_module.named_modules()}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin to watch where an update is due."""
        if self._step is None and trainer.global_step % self.every_steps == 0:
            self._step = {}
            self._watch(trainer)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching once the update's last gradient is there, and keep what was seen."""
        if self._step is None or trainer.fit_loop._should_accumulate():
            return
        self._open.close()
        self._keep(trainer.global_step + 1, self._step)
        self._new, self._step = self._step, None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave no hook behind, whatever happened."""
        self._open.close()
        self._step = None

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave no hook behind."""
        self._open.close()
        self._step = None

    def _watch(self, trainer: Trainer) -> None:
        self._stack = []

        def enter(module: nn.Module, _: Any) -> None:
            self._stack.append(self._names.get(module) or self.site())

        def leave(*_: Any) -> None:
            self._stack.pop()

        before = register_module_forward_pre_hook(enter)
        after = register_module_forward_hook(leave, always_call=True)
        self._open.callback(before.remove)
        self._open.callback(after.remove)
        plugin = trainer.precision_plugin
        if isinstance(plugin, EmulatedPrecision):
            casts = plugin.casts
        else:
            casts = Casts({})
            self._open.enter_context(RoundProducts(casts))
        casts.observer = self
        self._open.callback(setattr, casts, "observer", None)

    def _keep(self, step: int, seen: dict[Kind, Exponents]) -> None:
        if self._watched % self._spacing == 0:
            self.over_training[step] = {}
        self._watched += 1
        column = self.over_training[max(self.over_training)]
        for kind, found in seen.items():
            column.setdefault(kind, Exponents()).add(found)
        if len(self.over_training) > MAX_STEPS:
            self._spacing *= 2
            steps = sorted(self.over_training)
            for kept, gone in zip(steps[::2], steps[1::2], strict=False):
                for kind, found in self.over_training.pop(gone).items():
                    self.over_training[kept].setdefault(kind, Exponents()).add(found)

    # -- what comes of it ----------------------------------------------------------------------

    def measures(self) -> dict[str, float]:
        """Return `num/KIND/FORMAT/LOSS` of the update just made, once, where it was watched."""
        found = {}
        for kind, exponents in self._new.items():
            for name, fmt in self.formats.items():
                for loss, share in exponents.lost(name, fmt).items():
                    found[f"num/{kind}/{name}/{loss}"] = share
        self._new = {}
        return found

    def ranges(self) -> Ranges:
        """Return both maps as the record holds them; beyond `MAX_STEPS` columns share steps."""
        order = {name: place for place, name in enumerate(self._names.values())}
        layers = sorted(self.by_layer, key=lambda name: order.get(name, -1))[:MAX_LAYERS]
        over_training, by_layer = {}, {}
        for kind in KINDS:
            steps = [s for s, kinds in sorted(self.over_training.items()) if kind in kinds]
            if steps:
                rows = _rows([self.over_training[s][kind] for s in steps])
                over_training[kind] = OverTraining(step=steps, **rows)
            names = [name for name in layers if kind in self.by_layer[name]]
            if names:
                rows = _rows([self.by_layer[name][kind] for name in names])
                by_layer[kind] = ByLayer(layer=names, **rows)
        formats = {
            name: FormatRange(
                emin=f.emin, emax=f.emax, mantissa_bits=f.mantissa_bits, subnormals=f.subnormals
            )
            for name, f in self.formats.items()
        }
        return Ranges(formats=formats, over_training=over_training, by_layer=by_layer)

    def state_dict(self) -> dict[str, Any]:
        """Return all counts, as tensors and plain numbers."""
        return {
            "over_training": {s: _state(kinds) for s, kinds in self.over_training.items()},
            "by_layer": {layer: _state(kinds) for layer, kinds in self.by_layer.items()},
            "spacing": self._spacing,
            "watched": self._watched,
            "new": _state(self._new),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where `state_dict` was taken."""
        self.over_training = {s: _restored(k) for s, k in state_dict["over_training"].items()}
        self.by_layer = {layer: _restored(k) for layer, k in state_dict["by_layer"].items()}
        self._spacing, self._watched = state_dict["spacing"], state_dict["watched"]
        self._new = _restored(state_dict["new"])


def _rows(columns: list[Exponents]) -> dict[str, Any]:
    """Return shares by exponent, from the lowest to the highest that occurs in any."""
    counts = torch.stack([c.counts[: BINS - 1] for c in columns])
    found = counts.sum(0).nonzero().flatten().tolist() or [-LOWEST]
    low, high = found[0], found[-1] + 1
    share = [
        [_short(n / max(c.total, 1)) for n in row]
        for c, row in zip(columns, counts[:, low:high].tolist(), strict=True)
    ]
    zero = [_short(c.zeros / max(c.total, 1)) for c in columns]
    return {"low": LOWEST + low, "share": share, "zero": zero}


def _short(share: float) -> float:
    return float(f"{share:.4g}")


def _state(kinds: dict[Kind, Exponents]) -> dict[Kind, Any]:
    return {k: (e.counts.clone(), e.zeros, dict(e.beyond)) for k, e in kinds.items()}


def _restored(state: dict[Kind, Any]) -> dict[Kind, Exponents]:
    return {kind: Exponents(*parts) for kind, parts in state.items()}
