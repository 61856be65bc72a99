"""From a command line to a checked configuration, and from its sections to objects.

`launch` wraps Hydra for train.py, `compose` is the same for tests and tools. `check` refuses what
does not go together, before anything is trained. `build` is the only place that turns a
`_target_` into an object.
"""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from zoo import plugins
from zoo.errors import Diverged, Interrupted, UserError, suggest
from zoo.leaderboard.boards import flatten
from zoo.leaderboard.record import decides_result
from zoo.overrides import CONF, canonical, explain

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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class TrainerSection(_Section):
    """The types and ranges of `trainer.*`; conf/trainer/default.yaml says what each key means."""

    max_epochs: float | None = Field(gt=0, le=1e9)
    max_steps: int | None = Field(gt=0, le=10**12)
    max_samples: int | None = Field(gt=0, le=10**15)
    budget_s: float | None = Field(gt=0)
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int = Field(ge=1)
    strategy: Literal["auto", "ddp"]
    accumulate: int = Field(ge=1)
    gradient_clip: float | None = Field(gt=0)
    compile: bool
    channels_last: bool
    peak_flops: float | None = Field(gt=0)
    eval_every_epochs: float = Field(gt=0)
    eval_every_steps: int | None = Field(gt=0)
    log_every_steps: int = Field(ge=1)


class _Open(BaseModel):
    """A section whose further keys belong to its `_target_`, which checks them itself."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    name: str


class ModelSection(_Open):
    depth: int | None = None
    width: int | None = None
    group_size: int | None = None
    pretrained: bool | None = None


class DataSection(_Open):
    batch_size: int = Field(ge=1)
    eval_batch_size: int = Field(ge=1)
    train_samples: int | None = Field(None, gt=0)
    image_size: int = Field(32, gt=0)
    crop_padding: int = Field(0, ge=0)
    flip: bool = False
    num_workers: int = Field(0, ge=0)


class OptimizerSection(_Open):
    lr: float = Field(ge=0)
    momentum: float | None = Field(None, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    nesterov: bool | None = None
    betas: list[Annotated[float, Field(ge=0, lt=1)]] | None = Field(
        None, min_length=2, max_length=2
    )
    eps: float | None = Field(None, ge=0)


class SchedulerSection(_Open):
    warmup_fraction: float = Field(ge=0, lt=1)
    floor: float = Field(0.0, ge=0, le=1)
    factor: float = Field(0.1, gt=0, le=1)
    fractions: list[Annotated[float, Field(gt=0, lt=1)]] | None = None


class TaskSection(_Open):
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)


class PathsSection(_Section):
    output_dir: str
    cache_dir: str


class LoggerSection(_Section):
    name: str
    project: str | None = Field(None, pattern=r"^[\w.-]{1,128}$")
    entity: str | None = None
    group: str | None = None


class Schema(_Section):
    """Types and ranges of a whole configuration."""

    seed: int = Field(ge=0, lt=2**32)
    force: bool
    paths: PathsSection
    data: DataSection
    task: TaskSection
    model: ModelSection
    precision: _Open
    optimizer: OptimizerSection
    scheduler: SchedulerSection
    delay: _Open
    trainer: TrainerSection
    callbacks: dict[str, Any] = Field(default_factory=dict)
    logger: LoggerSection


def check(config: DictConfig) -> dict[str, Any]:
    """Check types, ranges and combinations.

    Returns:
        The resolved configuration as plain data, numbers in the types of the schema (so that
        `lr=1` and `lr=1.0` are one configuration).

    Raises:
        UserError: the first thing that is wrong, in one sentence.
    """
    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key or 'config'}: {_first_line(error)}") from None
    plain.pop("hydra", None)
    return check_plain(plain)


def check_plain(plain: dict[str, Any]) -> dict[str, Any]:
    """Do what `check` does, for a configuration that is plain data already."""
    try:
        checked = Schema.model_validate(plain).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(p) for p in first["loc"])
        if first["type"] == "extra_forbidden":
            known = flatten({name: _keys_of(field) for name, field in Schema.model_fields.items()})
            raise UserError(f"{key}: no such key{suggest(key, known)}") from None
        if first["type"] == "missing":
            raise UserError(f"{key}: is missing; leave it as the group has it") from None
        value = "null" if first["input"] is None else first["input"]
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UserError(f"{key}={value}: {message}") from None
    for key, value in flatten(checked).items():
        _check_leaf(key, value)
    _refuse(checked)
    return checked


def _keys_of(field: FieldInfo) -> Any:
    section = field.annotation
    if isinstance(section, type) and issubclass(section, BaseModel):
        return dict.fromkeys(section.model_fields)
    return None


def _check_leaf(key: str, value: Any) -> None:
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, float) and not math.isfinite(item):
            raise UserError(f"{key}={value}: must be a finite number")
        is_path = isinstance(item, str) and item.startswith(("/", "~", "file:"))
        if is_path and decides_result(key):
            raise UserError(
                f"{key}={item}: a path would enter the record, and decides nothing elsewhere; "
                "type one that is relative to this folder"
            )


def _refuse(config: dict[str, Any]) -> None:
    """Refuse combinations of options that do not go together."""
    trainer, data, model = config["trainer"], config["data"], config["model"]
    if all(trainer[k] is None for k in ("max_epochs", "max_steps", "max_samples", "budget_s")):
        raise UserError(
            "trainer: no budget is set, so training would never end; type trainer.max_epochs=10, "
            "trainer.max_steps=1000, trainer.max_samples=100000 or trainer.budget_s=60"
        )
    if data["batch_size"] % trainer["devices"]:
        raise UserError(
            f"data.batch_size={data['batch_size']}: is shared among trainer.devices="
            f"{trainer['devices']}; type a multiple of it"
        )
    if data["batch_size"] == trainer["devices"] and model.get("norm") == "batch":
        raise UserError(
            "model.norm=batch: batch norm has no variance to take at one sample a device; "
            "type model.norm=group or a larger data.batch_size"
        )
    if trainer["devices"] > 1 and trainer["budget_s"] is not None:
        raise UserError(
            f"trainer.budget_s={trainer['budget_s']}: the clocks of trainer.devices="
            f"{trainer['devices']} differ; type trainer.max_steps=1000 or trainer.devices=1"
        )
    extra = [k for k in config["delay"] if k != "name"]
    if config["delay"]["name"] == "none" and extra:
        raise UserError(f"delay.{extra[0]}: delay=none has no such key; type delay=none alone")
    task = config["task"]
    if (task.get("mixup") or task.get("cutmix")) and (data["batch_size"] // trainer["devices"]) % 2:
        raise UserError(
            f"data.batch_size={data['batch_size']}: mixup pairs the samples of a batch; "
            "type an even number, or task.mixup=0 task.cutmix=0"
        )
    if data["name"] == "digits" and model["name"].startswith("vgg") and data["image_size"] < 32:
        raise UserError(
            f"data.image_size={data['image_size']}: {model['name']} halves the image five times; "
            "type data.image_size=32"
        )


# What the constructors of other packages raise on arguments that do not fit.
MISFITS = (TypeError, ValueError, RuntimeError, AssertionError, KeyError, ImportError)


def factory(section: dict[str, Any]) -> Callable[..., Any]:
    """Turn a section with a `_target_` into a function that makes the object.

    `name` is the section's label in tables and is not passed on.

    Args:
        section: plain data with a `_target_`; may hold further ones inside.

    Raises:
        UserError: a target outside the allowed packages; and, when the function is called,
            arguments that the target does not take.
    """
    from hydra.utils import instantiate

    _check_targets(section)
    label = section.get("name", section["_target_"])
    arguments = {k: v for k, v in section.items() if k != "name"}

    def make(*positional: Any, **extra: Any) -> Any:
        try:
            make_object = instantiate(arguments, _partial_=True, _convert_="all")
            return make_object(*positional, **extra)
        except InstantiationException as error:
            if isinstance(error.__cause__, UserError):
                raise error.__cause__ from None
            raise UserError(f"{label}: {_first_line(error.__cause__ or error)}") from error
        except MISFITS as error:
            raise UserError(f"{label}: {_first_line(error)}") from error

    return make


def build(section: dict[str, Any], **extra: Any) -> Any:
    """Make the object of a section; `extra` are arguments that only the caller knows.

    Raises:
        UserError: see `factory`.
    """
    return factory(section)(**extra)


def _check_targets(node: Any) -> None:
    if isinstance(node, dict):
        if "_target_" in node:
            _check_target(node["_target_"])
        for value in node.values():
            _check_targets(value)
    elif isinstance(node, list):
        for value in node:
            _check_targets(value)


def _check_target(target: Any) -> None:
    """Let through what a configuration may build.

    Classes of models, layers, optimizers, schedules, callbacks and metrics, from the allowed
    packages; the zoo's own builders; timm's and torchvision's models. Nothing private, and no
    other function: allowed packages hold ways to run source code and to unpickle.
    """
    from hydra.utils import get_object

    name = str(target)
    refusal = UserError(
        f"_target_={name}: not allowed; what is built are models, layers, optimizers, callbacks "
        f"and metrics of {', '.join(ALLOWED_PACKAGES)}"
    )
    parts = name.split(".")
    if parts[0] not in ALLOWED_PACKAGES or any(part.startswith("_") for part in parts):
        raise refusal
    try:
        found = get_object(name)
    except Exception as error:
        raise UserError(f"_target_={name}: cannot be found ({_first_line(error)})") from None
    # `torch.os.system` starts with torch and is not torch's: ask the object where it is from.
    home = str(getattr(found, "__module__", None) or "")
    if home.split(".", maxsplit=1)[0] not in ALLOWED_PACKAGES or not _is_buildable(found, home):
        raise refusal


def _is_buildable(found: Any, home: str) -> bool:
    if isinstance(found, type):
        from lightning.pytorch import Callback
        from torch import nn
        from torch.optim import Optimizer
        from torch.optim.lr_scheduler import LRScheduler

        kinds = (nn.Module, Optimizer, LRScheduler, Callback)  # a metric is a module
        return f"{home}.".startswith(BUILDERS) or issubclass(found, kinds)
    functions = (*BUILDERS, "timm.models.", "torchvision.models.")
    return callable(found) and f"{home}.".startswith(functions)


@contextlib.contextmanager
def _session() -> Iterator[None]:
    GlobalHydra.instance().clear()
    plugins.register()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def compose(overrides: list[str] | None = None, *, with_hydra: bool = False) -> DictConfig:
    """Compose a configuration as train.py does.

    Args:
        overrides: as typed, `precision=169` included.
        with_hydra: keep Hydra's own section (a sweep's axes are in it).

    Raises:
        UserError: an option or a key does not exist.
    """
    typed = [canonical(o) for o in overrides or []]
    with _session():
        try:
            return hydra.compose("train", typed, return_hydra_config=with_hydra)
        except Exception as error:
            raise _explained(error, typed) from error


def _explained(error: Exception, overrides: list[str]) -> UserError:
    """Say in one sentence which override Hydra did not understand."""
    with _session():
        keys = flatten(OmegaConf.to_container(hydra.compose("train"), resolve=False))  # type: ignore[arg-type]
        picks = [o for o in overrides if "=" in o and (CONF / o.partition("=")[0]).is_dir()]
        with contextlib.suppress(Exception):  # an option that is not there is said below
            keys = flatten(OmegaConf.to_container(hydra.compose("train", picks), resolve=False))  # type: ignore[arg-type]
    sections = {key.rsplit(".", n)[0]: None for key in keys for n in range(1, key.count(".") + 1)}
    return explain(overrides, {**sections, **keys}) or UserError(_first_line(error))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def launch(task: Callable[[DictConfig], Any]) -> None:
    """Run `task` on what the command line composes; a user's mistake ends in one sentence.

    In a sweep a job that fails is named and the others go on. Exit codes: 0 done; 1 a run
    diverged or the machine failed; 2 the command is wrong; 130 interrupted. Set HYDRA_FULL_ERROR=1
    to see tracebacks.
    """
    tracebacks = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come through to us, whole
    typed = [canonical(argument) for argument in sys.argv[1:]]
    sys.argv[1:] = typed
    plugins.register()
    job = _Job(task, tracebacks)
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(job)()
    except Exception as error:
        composing = isinstance(error, HydraException)  # some of them are OSErrors, too
        if isinstance(error, EXPECTED) and not composing:
            # Of a sweep's job: it has said so itself. Else Hydra could not make its folder.
            if not job.started:
                _say(error)
            sys.exit(_exit_code(error))
        ours = not composing and not isinstance(error, ValueError | OmegaConfBaseException)
        if job.started or tracebacks or ours:
            raise
        _say(_explained(error, [a for a in typed if not a.startswith("-")]))
        sys.exit(2)


EXPECTED = (UserError, Diverged, OSError)


class _Job:
    """The task with its errors in one sentence; a class, so that launchers can pickle it."""

    def __init__(self, task: Callable[[DictConfig], Any], tracebacks: bool) -> None:
        self.task = task
        self.tracebacks = tracebacks
        self.started = False

    def __call__(self, config: DictConfig) -> Any:
        self.started = True
        try:
            return self.task(config)
        except (Interrupted, KeyboardInterrupt) as stop:
            _say(stop if str(stop) else Interrupted("stopped; type the same command to go on"))
            sys.exit(130)  # also the rest of a sweep
        except SystemExit as ended:
            if isinstance(ended.__context__, KeyboardInterrupt):  # Lightning's way to end at once
                _say(Interrupted("stopped at once; a checkpoint from before is kept"))
                sys.exit(130)
            raise
        except EXPECTED as error:
            if self.tracebacks:
                raise
            _say(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            sys.exit(_exit_code(error))


def _say(error: BaseException) -> None:
    text = str(error)
    if isinstance(error, BrokenPipeError):
        return  # whoever read our output has gone
    if isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    print(f"train.py: {text or type(error).__name__}", file=sys.stderr)


def _exit_code(error: BaseException) -> int:
    return 2 if isinstance(error, UserError) else 1
