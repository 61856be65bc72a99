"""From a section of a configuration to an object: the only place that follows a `_target_`."""

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from hydra.errors import InstantiationException

from zoo.errors import UserError, first_line, suggest
from zoo.extensions import extensions

ALLOWED_PACKAGES = (
    "zoo",
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "torchmetrics",
    "transformers",
)
# Of the zoo itself, the packages whose functions and classes a configuration may name.
BUILDERS = tuple(
    f"zoo.{name}."
    for name in ("models", "data", "tasks", "precision", "optim", "delay", "callbacks")
)

# What the constructors of other packages raise on arguments that do not fit.
MISFITS = (
    TypeError, ValueError, RuntimeError, AssertionError, LookupError, ImportError, AttributeError,
    ArithmeticError,
)  # fmt: skip


def factory(section: dict[str, Any]) -> Callable[..., Any]:
    """Turn a section with a `_target_` into a function that makes the object.

    `name` is the section's label in tables and is not passed on.

    Args:
        section: plain data with a `_target_`; may hold further ones inside.

    Raises:
        UserError: no target, or one outside the allowed packages; and, when the function is
            called, arguments that the target does not take.
    """
    from hydra.utils import instantiate

    _check_targets(section)
    if "_target_" not in section:
        raise UserError(
            f"{section.get('name')}: this option says not what to build; write a _target_ into its "
            "file, or begin it with the option that has one, as in defaults: [custom, _self_]"
        )
    label = section.get("name", section["_target_"])
    arguments = {k: v for k, v in section.items() if k != "name"}

    def make(*positional: Any, **extra: Any) -> Any:
        try:
            make_object = instantiate(arguments, _partial_=True, _convert_="all")
            return make_object(*positional, **extra)
        except InstantiationException as error:
            if isinstance(error.__cause__, UserError):
                raise error.__cause__ from None
            raise _misfit(label, section["_target_"], error.__cause__ or error) from error
        except MISFITS as error:
            raise _misfit(label, section["_target_"], error) from error

    return make


def build(section: dict[str, Any], **extra: Any) -> Any:
    """Make the object of a section; `extra` are arguments that only the caller knows.

    Raises:
        UserError: see `factory`.
    """
    return factory(section)(**extra)


def expect(made: Any, kind: type, key: str, section: dict[str, Any]) -> None:
    """Refuse what a target gave that is not of its section's kind.

    Raises:
        UserError: it is not.
    """
    if not isinstance(made, kind):
        raise UserError(
            f"{key}._target_={section['_target_']}: gives {type(made).__name__}, not a {kind.__name__}; type a "
            "class, or a function that gives one"
        )


def _misfit(label: str, target: str, error: BaseException) -> UserError:
    """Say what a target says of its arguments, and which it takes instead of an unknown one."""
    said, hint = first_line(error), ""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", said)
    if unknown and isinstance(error, TypeError):
        known = inspect.signature(_locate(target)).parameters
        hint = suggest(unknown[1], known)
    return UserError(f"{label}: {said}{hint}")


def _locate(name: str) -> Any:
    """Return what a dotted name stands for: modules are imported, what is in them is got.

    Raises:
        UserError: there is no such thing, or its module cannot be imported.
    """
    found: Any = None
    parts = name.split(".")
    for place, part in enumerate(parts):
        before, here = ".".join(parts[:place]), ".".join(parts[: place + 1])
        if found is not None and hasattr(found, part):
            found = getattr(found, part)
            continue
        try:
            if found is not None and not hasattr(found, "__path__"):
                raise ModuleNotFoundError(name=here)
            found = importlib.import_module(here)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == here:
                near = suggest(part, [n for n in dir(found) if not n.startswith("_")])
                said = f"{before or 'Python'} has no {part}{near if found is not None else ''}"
            else:
                said = f"{here} cannot be imported: {type(error).__name__}: {first_line(error)}"
            raise UserError(f"_target_={name}: cannot be found ({said})") from error
    return found


def _check_targets(node: Any) -> None:
    if isinstance(node, dict):
        if "_target_" in node:
            _check_target(node["_target_"])
        for value in node.values():
            _check_targets(value)
    elif isinstance(node, list):
        for value in node:
            _check_targets(value)


def allowed_packages() -> tuple[str, ...]:
    """Return the packages of which a configuration or a record may name something to build."""
    return (*ALLOWED_PACKAGES, *(e.package for e in extensions()))


def _check_target(target: Any) -> None:
    """Let through what a configuration may build.

    Classes of models, layers, optimizers, schedules, callbacks and metrics, from the allowed
    packages; the zoo's own builders; timm's and torchvision's models; what is in extensions. Nothing
    private, and no other function: allowed packages hold ways to run source code and to unpickle.
    """
    name = str(target)
    allowed = allowed_packages()
    refusal = UserError(
        f"_target_={name}: not allowed; what is built are models, layers, optimizers, callbacks "
        f"and metrics of {', '.join(allowed)}; type one of those"
    )
    parts = name.split(".")
    if parts[0] not in allowed or any(part.startswith("_") for part in parts):
        raise refusal
    found = _locate(name)
    # `torch.os.system` starts with torch and is not torch's: ask the object where it is from.
    home = str(getattr(found, "__module__", None) or "")
    if home.split(".", maxsplit=1)[0] not in allowed or not _is_buildable(found, home):
        raise refusal


def _is_buildable(found: Any, home: str) -> bool:
    builders = (*BUILDERS, *(f"{e.package}." for e in extensions()))
    if isinstance(found, type):
        from lightning.pytorch import Callback
        from torch import nn
        from torch.optim import Optimizer
        from torch.optim.lr_scheduler import LRScheduler

        kinds = (nn.Module, Optimizer, LRScheduler, Callback)  # a metric is a module
        return f"{home}.".startswith(builders) or issubclass(found, kinds)
    functions = (*builders, "timm.models.", "torchvision.models.")
    return callable(found) and f"{home}.".startswith(functions)
