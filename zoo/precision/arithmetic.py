"""What `precision=` builds: native formats by Lightning's plugins, the others emulated in fp32."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import UserError, suggest
from zoo.hardware import multiplies_bf16
from zoo.precision.casts import Casts
from zoo.precision.kinds import KINDS, Kind, formats_by_kind, static_scale
from zoo.precision.loss_scale import WINDOW, LossScale
from zoo.precision.plugin import EmulatedPrecision

# Lightning's word -> bits of the operands and results of products.
LIGHTNING = {
    "32-true": 32,
    "bf16-mixed": 16,
    "16-mixed": 16,
    "bf16-true": 16,
    "16-true": 16,
    "64-true": 64,
}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a run computes.

    `trainer` holds arguments of Lightning's Trainer; `emulated` says that the format's rounding
    is computed in another one, so that its wall clock says nothing about the format; `bits` is
    the width of each kind of tensor in a product.
    """

    trainer: dict[str, Any] = field(default_factory=dict)
    emulated: bool = False
    bits: Mapping[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 32))


def native(lightning: str, *, device: str) -> Arithmetic:
    """Return a format that the device computes in.

    A CPU multiplies fp16 about 100 times slower than fp32: there, 16-mixed is emulated, with the
    dynamic loss scale that it has everywhere.

    Args:
        lightning: Lightning's word: 32-true, bf16-mixed or 16-mixed.
        device: cpu, cuda or mps.

    Raises:
        UserError: there is no such word.
    """
    if lightning not in LIGHTNING:
        raise UserError(
            f"precision.lightning={lightning}: no such format{suggest(lightning, LIGHTNING)}"
        )
    if lightning == "16-mixed" and device == "cpu":
        return emulated(5, 10, loss_scale="dynamic", device=device)
    if lightning == "16-true" and device == "cpu":
        raise UserError(
            "precision.lightning=16-true: a CPU multiplies fp16 about 100 times slower than fp32; "
            "type precision=fp16, which is emulated there, or precision=bf16"
        )
    if lightning.startswith("bf16") and device == "cpu" and not multiplies_bf16():
        warnings.warn(
            "precision=bf16: this processor has no instructions for bf16 and takes some 50 times as long "
            "as for precision=fp32",
            stacklevel=2,
        )
    return Arithmetic({"precision": lightning}, bits=dict.fromkeys(KINDS, LIGHTNING[lightning]))


def emulated(
    exponent_bits: int,
    mantissa_bits: int,
    *,
    subnormals: bool = True,
    overflow: str = "infinity",
    rounding: str = "nearest_even",
    specials: str = "ieee",
    flush: str = "after_rounding",
    quantize: Mapping[str, str | None] | None = None,
    loss_scale: str | float = "none",
    loss_scale_window: int = WINDOW,
    device: str,
) -> Arithmetic:
    """Return a format whose values are held in fp32 and rounded after every product.

    Args:
        exponent_bits: with what follows up to `flush`, see `FloatFormat`.
        mantissa_bits: explicit ones.
        subnormals: whether there are any.
        overflow: to infinity, or saturate.
        rounding: of values between two neighbours.
        specials: what the top codes stand for.
        flush: when a result counts as subnormal.
        quantize: for each kind of tensor `own`, the name of another format, or `none`.
        loss_scale: none, dynamic, or a number.
        loss_scale_window: clean updates before a dynamic scale doubles.
        device: cpu, cuda or mps.

    Raises:
        UserError: a width, a word or a format that there is not, or a device that rounds otherwise.
    """
    formats = formats_by_kind(
        {
            "exponent_bits": exponent_bits,
            "mantissa_bits": mantissa_bits,
            "subnormals": subnormals,
            "overflow": overflow,
            "rounding": rounding,
            "specials": specials,
            "flush": flush,
            "quantize": quantize,
        }
    )
    number = static_scale(loss_scale)
    if device == "mps":
        raise UserError(
            "precision: Apple's GPUs flush fp32's own subnormals, so no format can be emulated on "
            "them bit by bit; type trainer.accelerator=cpu"
        )
    scale = None
    if loss_scale == "dynamic":
        gradients = formats["gradients"] or formats["weight_gradients"]
        top = gradients.emax if gradients else 15
        scale = LossScale(2.0**top, dynamic=True, window=loss_scale_window)
    elif number is not None and number != 1.0:
        scale = LossScale(number)
    bits = {kind: fmt.bits if fmt else 32 for kind, fmt in formats.items()}
    plugin = EmulatedPrecision(Casts(formats), scale)
    return Arithmetic({"plugins": [plugin]}, emulated=True, bits=bits)
