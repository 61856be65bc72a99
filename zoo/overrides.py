"""The command line before Hydra reads it: `precision=169`, and mistakes in one sentence.

Hydra's grammar reads `169` as a number and refuses a number as the choice of a group. The file
is called fp169.yaml; `canonical` turns a purely numeric choice N of a group into fpN where that
file exists, alone (`precision=169`), in a list (`precision=169,32`) and in `choice(169, bf16)`.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import UserError, nearest, suggest
from zoo.extensions import extensions

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
SWEEPS = ROOT / "sweeps"

_NUMERIC = re.compile(r"^['\"]?(\d+(?:_\d+)*)['\"]?$")
_GROUP_OVERRIDE = re.compile(
    r"^(?P<prefix>[+~]{0,2})(?P<group>[a-z_/]+)(?P<at>@[\w.:]+)?=(?P<value>.+)$"
)


DRY_RUN = "--dry-run"

# The folder of this process's --config-dir; Hydra keeps it to itself until it composes.
_typed: list[Path] = []


def take_config_dir(arguments: Sequence[str]) -> list[str]:
    """Have options looked for in the folder of --config-dir, too; return the other arguments.

    Raises:
        UserError: there is no such folder.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    try:
        found, others = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        raise UserError("--config-dir: names no folder; type --config-dir FOLDER") from None
    _typed.clear()
    if found.config_dir is not None:
        if not found.config_dir.is_dir():
            raise UserError(
                f"--config-dir {found.config_dir}: no such folder; type one with a folder for each "
                "group, as in FOLDER/precision/mine.yaml"
            )
        _typed.append(found.config_dir.resolve())
    return others


def refuse_flags(arguments: Sequence[str]) -> None:
    """Refuse a flag that Hydra does not have: options are typed without dashes here.

    Raises:
        UserError: there is one.
    """
    from hydra._internal.utils import get_args_parser

    known = get_args_parser()._option_string_actions
    for word in arguments:
        name, _, value = word.partition("=")
        if len(name) < 3 or not word.startswith("--"):
            continue
        if name != DRY_RUN and not any(flag.startswith(name) for flag in known):
            typed = name[2:].replace("-", "_")
            option = typed if typed in groups() or "." in typed else ELSEWHERE.get(typed)
            example = (
                f"{option}={value or 'VALUE'}" if option else "KEY=VALUE, as in model=resnet20"
            )
            raise UserError(
                f"{word}: there is no such flag; options have no dashes: type {example}"
            )


def config_folders() -> list[Path]:
    """Return the folders of config groups: ours, those of extensions and the one that was typed.

    Raises:
        UserError: two of them have an option of one name, of which Hydra would take the first.
    """
    folders = [CONF]
    for folder in [*(e.conf for e in extensions()), *_typed]:
        for path in sorted(folder.rglob("*.yaml")):
            option = path.relative_to(folder)
            if any((known / option).exists() for known in (*folders, ROOT)):
                raise UserError(
                    f"{path}: there is {option.parent}={option.stem} already; rename this one"
                )
        folders.append(folder)
    return folders


def groups() -> dict[str, list[str]]:
    """Return every config group with its options, as the folders of conf/ and sweeps/ stand."""
    found: dict[str, list[str]] = {}
    for conf in config_folders():
        for folder in sorted(conf.rglob("*")):
            if folder.is_dir() and folder.name != "local":
                group = str(folder.relative_to(conf))
                found[group] = sorted({*found.get(group, []), *_options(folder)})
    return {**found, "sweeps": sorted({*found.get("sweeps", []), *_options(SWEEPS)})}


def _options(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml"))


def _canonical_choice(group: str, choice: str) -> str:
    match = _NUMERIC.match(choice.strip())
    if match is None:
        return choice
    name = "fp" + match.group(1).replace("_", "")
    there = any((conf / group / f"{name}.yaml").exists() for conf in config_folders())
    return name if there else choice


def canonical(override: str) -> str:
    """Return the override with numeric choices of a group by their file's name.

    >>> canonical("precision=169")
    'precision=fp169'
    >>> canonical("precision=choice(169, bf16)")
    'precision=choice(fp169, bf16)'
    >>> canonical("seed=169")
    'seed=169'
    """
    match = _GROUP_OVERRIDE.match(override)
    if match is None or not (CONF / match["group"]).is_dir():
        return override
    value = re.sub(
        r"[^,()\[\]\s]+", lambda m: _canonical_choice(match["group"], m.group()), match["value"]
    )
    return f"{match['prefix']}{match['group']}{match['at'] or ''}={value}"


def explain(overrides: list[str], config_keys: dict[str, object]) -> UserError | None:
    """Find the override that names a group option or a key which does not exist.

    Args:
        overrides: the command line's overrides, canonical.
        config_keys: every dotted key of the composed configuration, with its value.

    Returns:
        The error to show, or None where the overrides are not to blame.
    """
    known = groups()
    for override in overrides:
        key, equals, value = override.partition("=")
        bare = key.lstrip("+~").split("@")[0]
        if bare in known:
            for choice in re.findall(r"[\w./-]+", re.sub(r"^(choice|glob)\(", "", value)):
                if choice not in known[bare] and choice != "null" and "glob(" not in value:
                    hint = (
                        f"; any of timm's: {bare}=timm {bare}.name={choice}"
                        if "timm" in known[bare]
                        else ""
                    )
                    one = "sweep" if bare == "sweeps" else bare
                    return UserError(
                        f"{bare}={choice}: no such {one}{suggest(choice, known[bare])}{hint}"
                    )
        elif not equals:
            return UserError(f"{override}: is no override; type KEY=VALUE, for example seed=1")
        elif (
            key[:1] not in ("+", "~")
            and bare not in config_keys
            and not bare.startswith(("hydra.", "hydra/"))
        ):
            if "." not in bare:
                return UserError(
                    f"{bare}: no such group or key{_nearest(bare, [*known, *config_keys])}"
                )
            return UserError(f"{bare}: no such key{suggest(bare, config_keys)}")
    return None


# What other programs call it.
ELSEWHERE = {
    "learning_rate": "optimizer.lr", "momentum": "optimizer.momentum", "weight_decay": "optimizer.weight_decay",
    "max_epochs": "trainer.max_epochs", "max_steps": "trainer.max_steps", "epochs": "trainer.max_epochs", "num_epochs": "trainer.max_epochs", "steps": "trainer.max_steps",
    "batch_size": "data.batch_size", "bs": "data.batch_size", "dataset": "data", "lr": "optimizer.lr",
    "gpus": "trainer.devices", "dtype": "precision", "output_dir": "paths.output_dir",
}  # fmt: skip


def _nearest(word: str, names: Sequence[str]) -> str:
    """Return what was meant, or where all names stand: there are too many for a sentence."""
    if word in ELSEWHERE:
        return f"; did you mean {ELSEWHERE[word]}?"
    return suggest(word, names) if nearest(word, names) else "; python train.py --help has them all"
