"""The four kinds of tensors of mixed-precision training, and the format that each is rounded to.

Imports no torch: a configuration is checked with it before anything else is loaded.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from zoo.errors import UserError, suggest
from zoo.precision.formats import FORMATS, FloatFormat

Kind = Literal["weights", "activations", "gradients", "weight_gradients"]
KINDS: tuple[Kind, ...] = ("weights", "activations", "gradients", "weight_gradients")

# The keys of a precision section that describe its own format.
FORMAT_KEYS = (
    "exponent_bits",
    "mantissa_bits",
    "subnormals",
    "overflow",
    "rounding",
    "specials",
    "flush",
)


def formats_by_kind(section: Mapping[str, Any]) -> dict[Kind, FloatFormat | None]:
    """Return what each kind of tensor is rounded to.

    Args:
        section: `exponent_bits` and the other words of a format, and `quantize`, which maps kinds
            to `own` (that format, and what is left out), the name of another one, or `none`.

    Raises:
        UserError: a width, a word or a name that there is not.
    """
    words = {key: section[key] for key in FORMAT_KEYS if key in section}
    try:
        own = FloatFormat(**words)
    except ValueError as error:
        raise UserError(f"precision.{error}") from None
    chosen = dict.fromkeys(KINDS, "own") | dict(section.get("quantize") or {})
    return {kind: _format(kind, chosen[kind], own) for kind in KINDS}


def _format(kind: Kind, word: str | None, own: FloatFormat) -> FloatFormat | None:
    if word in (None, "none"):
        return None
    if word == "own":
        return own
    if word not in FORMATS:
        known = ["own", "none", *FORMATS]
        raise UserError(
            f"precision.quantize.{kind}={word}: no such format{suggest(str(word), known)}"
        )
    return FORMATS[word]


def static_scale(word: Any) -> float | None:
    """Return the number of `precision.loss_scale`, None for the words none and dynamic.

    Raises:
        UserError: neither a word nor a number that fp32 can multiply a loss by.
    """
    if word in (None, "none", "dynamic"):
        return None
    try:
        value = float(word)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(word, bool) or not 2.0**-14 <= value <= 2.0**126:
        raise UserError(
            f"precision.loss_scale={word}: must be none, dynamic, or a number from 2^-14 to 2^126 "
            "such as 1024"
        )
    return value
