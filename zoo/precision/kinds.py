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


EMULATION_KEYS = (*FORMAT_KEYS, "quantize", "loss_scale", "loss_scale_window")


def canonical_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """Check a precision section, and give each of its meanings one spelling.

    Two spellings of one meaning (`1024` and `1024.0`, `none` and null, `own` and its name) would
    else be two runs.

    Raises:
        UserError: a width, a word or a name that there is not, or a key of the other kind of format.
    """
    name, checked = section.get("name"), dict(section)
    given = [key for key in EMULATION_KEYS if key in section]
    if "exponent_bits" in section and str(section.get("_target_", "")).endswith(".native"):
        raise UserError(
            f"precision.exponent_bits={section['exponent_bits']}: precision={name} would be native "
            "and emulated at once; type precision=custom precision.exponent_bits=..."
        )
    if "exponent_bits" not in section:
        if given:
            raise UserError(
                f"precision.{given[0]}: precision={name} is the device's own arithmetic and has no "
                f"such key; type precision=custom precision.{given[0]}=..."
            )
        return checked
    if "lightning" in section:
        raise UserError(
            f"precision.lightning={section['lightning']}: precision={name} is emulated; type "
            "precision=bf16 or precision=fp16 for a format of the device"
        )
    own = _own(section)
    if "quantize" in section:
        words = section["quantize"]
        if not isinstance(words, Mapping) or not set(words) <= set(KINDS):
            raise UserError(
                f"precision.quantize={words}: is set for each of {', '.join(KINDS)}; "
                "type precision.quantize.weights=none"
            )
        checked["quantize"] = {kind: _word(kind, words[kind], own) for kind in words}
    if "loss_scale" in section:
        scale = static_scale(section["loss_scale"])
        word = "dynamic" if section["loss_scale"] == "dynamic" else "none"
        checked["loss_scale"] = word if scale in (None, 1.0) else scale
    return checked


def formats_by_kind(section: Mapping[str, Any]) -> dict[Kind, FloatFormat | None]:
    """Return what each kind of tensor is rounded to.

    Args:
        section: `exponent_bits` and the other words of a format, and `quantize`, which maps kinds
            to `own` (that format, and what is left out), the name of another one, or `none`.

    Raises:
        UserError: a width, a word or a name that there is not.
    """
    own = _own(section)
    found: dict[Kind, FloatFormat | None] = {}
    for kind in KINDS:
        word = _word(kind, (section.get("quantize") or {}).get(kind, "own"), own)
        found[kind] = own if word == "own" else FORMATS.get(word)
    return found


def _own(section: Mapping[str, Any]) -> FloatFormat:
    try:
        return FloatFormat(**{key: section[key] for key in FORMAT_KEYS if key in section})
    except (ValueError, TypeError) as error:
        raise UserError(f"precision.{error}") from None


def _word(kind: Kind, word: Any, own: FloatFormat) -> str:
    """Return `own`, `none`, or the name of another format."""
    if word in (None, "none", "fp32", 32):
        return "none"
    name = f"fp{word}" if isinstance(word, int) else str(word)
    if name == "own" or FORMATS.get(name) == own:
        return "own"
    if name not in FORMATS:
        known = ["own", "none", *FORMATS]
        raise UserError(f"precision.quantize.{kind}={word}: no such format{suggest(name, known)}")
    return name


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
            "; type precision.loss_scale=dynamic"
        )
    return value
