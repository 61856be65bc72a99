"""A YAML file in leaderboards/ as what it defines: a board, a paper's claims, a method's card."""

from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from zoo.errors import UserError, suggest

Kind = TypeVar("Kind", bound=BaseModel)

# A few lines that repeat what repeats something can stand for more values than there is memory for.
MAX_VALUES = 20_000
# What PyYAML raises of a date or a number that is none, and of text that nests too deeply.
ODD_VALUES = (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError)

# Every run reads all boards for its rank: libyaml is ten times as fast as Python, where it is there.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_definition(path: Path, kind: type[Kind], wanted: str, **given: Any) -> Kind:
    """Read one file.

    Args:
        path: of the file.
        kind: what it defines.
        wanted: said where it holds no mapping, as in "a board is a mapping with title".
        given: keys that are not in the file.

    Raises:
        UserError: the file is none; the sentence names it and the key.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 -- a safe one
    except (yaml.YAMLError, *ODD_VALUES) as error:
        raise UserError(f"{path.name}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path.name}: {wanted}")
    if _holds_more(content, MAX_VALUES):
        raise UserError(
            f"{path.name}: holds more than {MAX_VALUES:,} values; write what it repeats (&, *) less often"
        )
    content = {str(key): value for key, value in content.items()}
    for key in given.keys() & content.keys():
        raise UserError(
            f"{path.name}: {key}: is not written into the file, whose own {key} it has; leave it out"
        )
    try:
        return kind.model_validate({**given, **content})
    except ValidationError as error:
        raise UserError(f"{path.name}: {_sentence(error, kind)}") from None


def _holds_more(content: Any, limit: int) -> bool:
    """Whether there are more values than that; one that is repeated by its name counts each time."""
    left = [content]
    for _ in range(limit):
        if not left:
            return False
        node = left.pop()
        inside = node.values() if isinstance(node, dict) else node
        if isinstance(node, dict | list | tuple | set):
            left.extend(inside)
    return bool(left)


def _sentence(error: ValidationError, kind: type[BaseModel]) -> str:
    """Return the first mistake: its key, what is wrong and what there is instead."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(p) for p in first["loc"])  # empty where keys do not go together
    if first["type"] == "extra_forbidden":
        return f"{where}: no such key{suggest(str(first['loc'][-1]), _keys(kind, first['loc']))}"
    if first["type"] == "missing":
        return f"{where}: is missing; write it into the file"
    if first["type"] == "literal_error":
        return f"{where}={first['input']}: must be {first['ctx']['expected']}"
    return ": ".join(part for part in (where, first["msg"].removeprefix("Value error, ")) if part)


def _keys(kind: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand where an unknown one stood."""
    section: Any = kind
    for name in place[:-1]:
        if isinstance(name, str):
            field = section.model_fields.get(name)
            section = _model_in(field.annotation) if field is not None else None
        if section is None:
            return []
    return [name for name in section.model_fields if name != "name" or section is not kind]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in `Model`, `list[Model]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)
