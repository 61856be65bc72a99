"""Python and the libraries, held against what pyproject.toml asks for."""

import importlib.metadata
import platform
from collections.abc import Iterator

from packaging.requirements import Requirement

from zoo.doctor.check import Check

SHOWN = (
    *("torch", "torchvision", "lightning", "hydra-core", "torchmetrics"),
    *("timm", "transformers", "wandb"),
)


def versions() -> Iterator[Check]:
    """Yield a line for Python and for each library: broken where it is absent or does not fit."""
    yield Check("Python", "ok", platform.python_version())  # pip refuses one that is too old
    asked = {r.name: r for r in map(Requirement, importlib.metadata.requires("zoo") or [])}
    for name in SHOWN:
        yield _library(asked[name])
    try:
        yield Check("flash-attn", "ok", importlib.metadata.version("flash-attn"))
    except importlib.metadata.PackageNotFoundError:
        yield Check(
            "flash-attn", "missing", "optional: attention on NVIDIA GPUs", "pip install -e '.[flash]'"
        )  # fmt: skip


def _library(asked: Requirement) -> Check:
    todo = f"pip install '{asked.name}{asked.specifier}'"
    try:
        found = importlib.metadata.version(asked.name)
    except importlib.metadata.PackageNotFoundError:
        return Check(asked.name, "broken", f"not installed; {asked.specifier} is needed", todo)
    if not asked.specifier.contains(found, prereleases=True):
        return Check(asked.name, "broken", f"{found}; {asked.specifier} is needed", todo)
    return Check(asked.name, "ok", found)
