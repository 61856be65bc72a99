"""Native formats, by Lightning's own precision plugins, and the slot of the emulated ones."""

from dataclasses import dataclass, field
from typing import Any

from zoo.errors import UserError, suggest

LIGHTNING = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a run computes.

    `trainer` holds arguments of Lightning's Trainer; `emulated` says that the format's rounding
    is computed in another one, so that its wall clock says nothing about the format.
    """

    trainer: dict[str, Any] = field(default_factory=dict)
    emulated: bool = False


def native(lightning: str, *, device: str) -> Arithmetic:
    """Return a format that the device computes in.

    Args:
        lightning: Lightning's word: 32-true, bf16-mixed or 16-mixed.
        device: cpu, cuda or mps.

    Raises:
        UserError: the device has no arithmetic of that format.
    """
    if lightning not in LIGHTNING:
        raise UserError(
            f"precision.lightning={lightning}: no such format{suggest(lightning, LIGHTNING)}"
        )
    if lightning == "16-mixed" and device == "cpu":
        raise UserError(
            "precision=fp16: a CPU multiplies fp16 about 100 times slower than fp32; type "
            "precision=bf16, or trainer.accelerator=gpu where there is one"
        )
    return Arithmetic({"precision": lightning})


def emulated(exponent_bits: int, mantissa_bits: int, *, device: str) -> Arithmetic:
    """Return a format that is computed in fp32 and rounded.

    Raises:
        UserError: always, in this version: the number formats are not part of it yet.
    """
    raise UserError(
        f"precision=fp1{exponent_bits}{mantissa_bits}: the 1/{exponent_bits}/{mantissa_bits} format "
        "is composed but cannot train in this version; type precision=fp32 or precision=bf16"
    )
