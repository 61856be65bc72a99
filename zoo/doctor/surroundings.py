"""What a run leaves and where: folders, W&B, the page's browser, extensions, records."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zoo.doctor.check import Check, private
from zoo.errors import UserError
from zoo.extensions import extensions
from zoo.leaderboard.store import scan
from zoo.network import wandb_key_is_configured
from zoo.verbs.merge import QUARANTINE

LITTLE = 1_000_000_000  # bytes; checkpoints of a larger model fill it in one run


def folder(what: str, path: Path, variable: str) -> Check:
    """Say whether a folder can be written, or made, and how much room there is.

    Args:
        what: it holds.
        path: it may not be there yet.
        variable: of the environment, that names another one.
    """
    shown, todo = private(str(path)), f"export {variable}=FOLDER"
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(what, "broken", f"{shown} cannot be written ({error.strerror})", todo)
    detail = f"{shown}, {free / 1e9:,.1f} GB free"
    return Check(what, "slow", detail, todo) if free < LITTLE else Check(what, "ok", detail)


def wandb() -> Check:
    """Say whether W&B has a key and where runs would go; the key is not read out, nor is it sent."""
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in ("offline", "disabled"):
        return Check("W&B", "ok", f"WANDB_MODE={mode}: runs stay here")
    if wandb_key_is_configured():
        return Check("W&B", "ok", "online: a key is configured")
    return Check("W&B", "missing", "no key: runs stay here", "wandb login")


def browser() -> Check:
    """Say whether the tests of the page can drive a browser."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if not absent:
        return Check("browser", "ok", "chromium and chromedriver")
    return Check("browser", "missing", f"no {' and no '.join(absent)}: tests of the page are skipped",
                 "apt install chromium chromium-driver")  # fmt: skip


def added() -> Check:
    """Name the packages that add to the zoo."""
    try:
        found = extensions()
    except UserError as error:
        return Check("extensions", "broken", private(str(error)))
    names = ", ".join(f"{e.package} {e.version}" for e in found)
    return Check("extensions", "ok", names or "none")


def records(output_dir: Path, leaderboards: Path) -> Iterator[Check]:
    """Count the records, those that are not valid, and those that were set aside."""
    stored, problems = scan(output_dir, leaderboards / "records", curves=False)
    curated = sum(s.curated for s in stored)
    detail = f"{curated:,} curated, {len(stored) - curated:,} local"
    if problems:
        detail += f", {len(problems):,} not valid"
        yield Check("records", "broken", detail, "zoo records --quarantine")
    else:
        yield Check("records", "ok", detail)
    aside = output_dir / QUARANTINE
    count = sum(path.suffix == ".refused" for path in aside.iterdir()) if aside.is_dir() else 0
    yield Check("quarantine", "ok", f"{count:,} files")
