"""Other people's packages: models, formats, optimizers and boards from outside the repository.

A package that is installed names itself in the entry points `zoo.extensions`. Its folder conf/ is then
searched like ours, its leaderboards/ has boards like ours, and a configuration may build its classes
and functions. docs/extending.md makes one.
"""

import functools
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import UserError

GROUP = "zoo.extensions"


@dataclass(frozen=True)
class Extension:
    """An installed package that adds to the zoo.

    Args:
        package: as it is imported.
        version: of its distribution; it is part of the ids of runs that use it.
        folder: where it lies.
    """

    package: str
    version: str
    folder: Path

    @property
    def conf(self) -> Path:
        """Its config groups."""
        return self.folder / "conf"

    @property
    def leaderboards(self) -> Path:
        """Its boards."""
        return self.folder / "leaderboards"


@functools.cache
def extensions() -> tuple[Extension, ...]:
    """Return what is installed, by name; nothing of it is imported.

    Raises:
        UserError: an entry point names no package.
    """
    found = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        spec = importlib.util.find_spec(point.value) if "." not in point.value else None
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                f"the extension {point.name} names {point.value}, which is no package at the top; "
                f'type {point.name} = "PACKAGE" in its entry points {GROUP}, and install it again'
            )
        version = point.dist.version if point.dist is not None else "0"
        folder = Path(spec.submodule_search_locations[0])
        found[point.value] = Extension(point.value, version, folder)
    return tuple(found[name] for name in sorted(found))


def version_with(config: dict[str, Any]) -> str:
    """Return our version and those of the extensions that a configuration builds from.

    >>> version_with({"model": {"_target_": "timm.create_model"}}) == zoo.__version__
    True
    """
    roots = {target.partition(".")[0] for target in _targets(config)}
    used = [f"{e.package}.{e.version}" for e in extensions() if e.package in roots]
    return "+".join([zoo.__version__, *used])


def _targets(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {str(node["_target_"])} if "_target_" in node else set()
        return own.union(*(_targets(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_targets(value) for value in node))
    return set()
