"""Sizes of models, by their names."""

from collections.abc import Mapping
from typing import TypeVar

from zoo.errors import UserError, suggest

Size = TypeVar("Size")


def size_of(name: str, sizes: Mapping[str, Size]) -> Size:
    """Return a size by its name.

    Raises:
        UserError: there is none of this name.
    """
    if name not in sizes:
        raise UserError(f"model.size={name}: no such size{suggest(name, sizes)}")
    return sizes[name]
