"""A YAML file in leaderboards/ as what it defines: a board, a paper's claims, a method's card."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from zoo.errors import UserError

Kind = TypeVar("Kind", bound=BaseModel)

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
        if not isinstance(content, dict):
            raise UserError(f"{path.name}: {wanted}")
        return kind.model_validate({**given, **content})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name}: not valid YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(p) for p in first["loc"])  # empty where keys do not go together
        parts = [path.name, where, first["msg"].removeprefix("Value error, ")]
        raise UserError(": ".join(part for part in parts if part)) from None
