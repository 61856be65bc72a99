"""From a command line to a configuration: `launch` for train.py, `compose` for tests and tools.

Both are Hydra with our folders, our `precision=169` and our one sentence for a mistake. What the
configuration may hold is in zoo.schema, what is made of it in zoo.build; both are offered here
too, so that a script needs one import.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo import plugins
from zoo.build import build, factory
from zoo.errors import Diverged, Interrupted, UserError, first_line
from zoo.leaderboard.boards import flatten
from zoo.overrides import (
    CONF,
    DRY_RUN,
    ROOT,
    canonical,
    explain,
    groups,
    refuse_flags,
    take_config_dir,
)
from zoo.schema import check, check_plain

LOCAL = CONF / "local" / "default.yaml"  # a user's own defaults
MULTIRUN = ("-m", "--multirun")

if TYPE_CHECKING:
    from zoo.sweeps.plan import Plan

__all__ = ["build", "check", "check_plain", "compose", "factory", "launch"]


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Have Hydra look into conf/ and sweeps/ as long as the block lasts."""
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
    with session():
        try:
            return hydra.compose("train", typed, return_hydra_config=with_hydra)
        except Exception as error:
            raise _explained(error, typed) from error


def _explained(error: Exception, overrides: list[str]) -> UserError:
    """Say in one sentence which override, or which file, Hydra did not understand."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, yaml.YAMLError):  # it has the file and the line
        return UserError(f"not valid YAML ({' '.join(str(error).split())})")
    known = groups()  # that of sweeps among them, which brings keys, too
    with session():
        try:
            plain = hydra.compose("train")
        except Exception as itself:  # without anything typed
            mend = (
                f"mend {LOCAL.relative_to(ROOT)}" if LOCAL.exists() else "mend the files of conf/"
            )
            return UserError(f"{first_line(itself)}; {mend}")
        keys = flatten(OmegaConf.to_container(plain, resolve=False))  # type: ignore[arg-type]
        picks = [o for o in overrides if "=" in o and o.partition("=")[0] in known]
        firsts = [re.sub(r"=(?:choice\()?\s*([^,()]+).*", r"=\1", o) for o in picks]
        with contextlib.suppress(Exception):  # an option that is not there is said below
            keys = flatten(OmegaConf.to_container(hydra.compose("train", firsts), resolve=False))  # type: ignore[arg-type]
    sections = {key.rsplit(".", n)[0]: None for key in keys for n in range(1, key.count(".") + 1)}
    found = explain(overrides, {**sections, **keys})
    several = re.search(r"Ambiguous value for argument '(.*?)'\n", f"{error}\n")
    if found is None and several is not None and not _is_swept(overrides, several.group(1)):
        return UserError(
            f"{several.group(1)}: several values are a sweep of train.py; type -m before them"
        )
    if found is None:
        swept = {o.partition("=")[0] for o, first in zip(picks, firsts, strict=True) if o != first}
        for override in overrides:
            group = override.partition(".")[0]
            if group in swept:  # Hydra looks for the key in the group's default option
                return UserError(
                    f"{override}: while {group} is swept, a key of its options is typed with two "
                    f"plus signs; type ++{override}"
                )
    return found or UserError(first_line(error))


def _is_swept(overrides: list[str], word: str) -> bool:
    """Whether keys of a group with several options are typed: the sweep itself was meant."""
    group = word.partition("=")[0]
    return any(o.startswith(f"{group}.") for o in overrides)


def launch(task: Callable[[DictConfig], Any], show: Callable[["Plan"], None] | None = None) -> None:
    """Run `task` on what the command line composes; a user's mistake ends in one sentence.

    In a sweep a job that fails is named and the others go on. Exit codes: 0 done; 1 a run
    diverged or the machine failed; 2 the command is wrong; 130 interrupted. Set HYDRA_FULL_ERROR=1
    to see tracebacks.

    Args:
        task: what a configuration is given to.
        show: takes the plan of what would be run instead, as with --dry-run: nothing is trained.
    """
    tracebacks = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come through to us, whole
    try:
        others = take_config_dir(sys.argv[1:])
        refuse_flags(others)
        typed = [canonical(argument) for argument in sys.argv[1:]]
    except UserError as error:
        _say(error)
        sys.exit(2)
    if DRY_RUN in typed:
        typed, show = [a for a in typed if a != DRY_RUN], show or _dry_run
    # argparse takes overrides on one side of a flag alone.
    sys.argv[1:] = sorted(typed, key=lambda a: a not in MULTIRUN)
    plugins.register()
    job = _Job(task, tracebacks, show)
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(job)()
    except Exception as error:
        composing = isinstance(error, HydraException)  # some of them are OSErrors, too
        if isinstance(error, EXPECTED) and not composing:
            # Of a sweep's job: it has said so itself. Else Hydra could not make its folder.
            if not job.started:
                _say(error)
            sys.exit(_exit_code(error))
        ours = not composing and not isinstance(
            error, ValueError | OmegaConfBaseException | yaml.YAMLError
        )
        if job.started or tracebacks or ours:
            raise
        _say(_explained(error, [canonical(a) for a in others if not a.startswith("-")]))
        sys.exit(2)


EXPECTED = (UserError, Diverged, OSError)


def _dry_run(plan: "Plan") -> None:
    from rich.console import Console

    from zoo.sweeps.screen import screen

    Console().print(screen(plan))
    print("a dry run: nothing was trained")


class _Job:
    """The task with its errors in one sentence; a class, so that launchers can pickle it."""

    def __init__(
        self,
        task: Callable[[DictConfig], Any],
        tracebacks: bool,
        show: Callable[["Plan"], None] | None,
    ) -> None:
        self.task = task
        self.tracebacks = tracebacks
        self.show = show
        self.started = False

    def __call__(self, config: DictConfig) -> Any:
        self.started = True
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            return self._run(config)
        from zoo.sweeps.status import forget_failure, note_failure

        settings = check(config)
        forget_failure(settings)
        try:
            return self._run(config)
        except Exception as error:
            note_failure(settings, first_line(error))
            raise

    def _trained(self, config: DictConfig) -> Any:
        try:
            return self.task(config)
        except Exception as error:
            # By its name: Lightning's callbacks raise it on what does not go together.
            if type(error).__name__ != "MisconfigurationException":
                raise
            raise UserError(f"Lightning cannot do that: {first_line(error)}") from error

    def _run(self, config: DictConfig) -> Any:
        try:
            if self.show is not None:
                self.show(_plan_of_one(config))
                return None
            return self._trained(config)
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


def _plan_of_one(config: DictConfig) -> "Plan":
    from zoo.sweeps.jobs import Job
    from zoo.sweeps.plan import Plan

    return Plan("", [Job(tuple(HydraConfig.get().overrides.task), check(config))])


def _say(error: BaseException) -> None:
    text = str(error)
    if isinstance(error, BrokenPipeError):
        return  # whoever read our output has gone
    if isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    print(f"train.py: {text or type(error).__name__}", file=sys.stderr)


def _exit_code(error: BaseException) -> int:
    return 2 if isinstance(error, UserError) else 1
