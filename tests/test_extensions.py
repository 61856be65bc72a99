"""docs/extending.md, done as written: a package from outside adds a model, a format, an optimizer
and a board."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, TINY
from zoo.config import compose
from zoo.errors import UserError
from zoo.extensions import GROUP, extensions, version_with
from zoo.leaderboard.boards import load_boards, view
from zoo.overrides import canonical, groups

DOCUMENT = (ROOT / "docs" / "extending.md").read_text()
# Each block is the file that the text has named last.
PARTS = re.split(r"```\w+\n(.*?)```", DOCUMENT, flags=re.DOTALL)
FILES = {
    re.findall(r"`([\w/]+\.(?:py|toml|yaml))`", before)[-1]: block
    for before, block in zip(PARTS[::2], PARTS[1::2], strict=False)
}
TYPED = ["model=tiny_conv", "optimizer=signum", "precision=156", *TINY[1:]]


def install(folder: Path, entry: str = "zoo_mine", version: str = "0.1") -> None:
    """Do what pip install -e does: the files on the path, with their entry points."""
    for name, block in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    info = folder / f"zoo_mine-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-mine\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmine = {entry}\n")


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    extensions.cache_clear()
    yield folder
    extensions.cache_clear()
    for name in [n for n in sys.modules if n.partition(".")[0] == "zoo_mine"]:
        del sys.modules[name]


@pytest.fixture
def mine(on_path: Path) -> Path:
    install(on_path)
    return on_path


def test_the_document_has_the_whole_package() -> None:
    assert set(FILES) == {
        "pyproject.toml", "zoo_mine/__init__.py", "zoo_mine/nets.py", "zoo_mine/signum.py",
        "zoo_mine/conf/model/tiny_conv.yaml", "zoo_mine/conf/optimizer/signum.yaml",
        "zoo_mine/conf/precision/fp156.yaml", "zoo_mine/leaderboards/tiny.yaml",
    }  # fmt: skip
    assert f'[project.entry-points."{GROUP}"]\nmine = "zoo_mine"' in FILES["pyproject.toml"]


def test_all_four_meet_in_one_run(mine: Path, train_here: Callable[..., Any]) -> None:
    record = train_here(*TYPED)
    assert record.zoo_version == "0.1.0+zoo_mine.0.1"
    assert record.config["precision"]["exponent_bits"] == 5
    boards = load_boards(ROOT / "leaderboards")
    (group,) = view(boards["tiny"], [record]).groups
    assert group.records == [record]


def test_they_learn_and_meet_delays_and_pipelines(
    mine: Path, train_here: Callable[..., Any]
) -> None:
    long = ["trainer.max_steps=200", "trainer.eval_every_steps=200", TINY[1], "optimizer.lr=0.01"]
    learned = train_here(*TYPED[:2], *long)
    assert learned.metrics["test/acc"] > 0.6
    train_here(*TYPED, "delay=constant", "delay.steps=2")
    train_here(TYPED[0], *TYPED[2:], "delay=pipeline", "data.batch_size=8")


def test_options_are_listed_and_found(mine: Path) -> None:
    assert "tiny_conv" in groups()["model"]
    assert "resnet8" in groups()["model"]
    assert canonical("precision=156,169") == "precision=fp156,fp169"
    with pytest.raises(UserError, match="did you mean tiny_conv"):
        compose(["model=tiny_con"])


def test_a_version_of_the_package_gives_other_ids(mine: Path) -> None:
    config = {"model": {"_target_": "zoo_mine.nets.TinyConv"}, "callbacks": [{"_target_": "zoo.x"}]}
    assert version_with(config) == "0.1.0+zoo_mine.0.1"
    assert version_with({"model": {"_target_": "zoo.models.resnet"}}) == "0.1.0"


def test_nothing_is_built_from_a_package_that_is_not_named(
    on_path: Path, train_here: Callable[..., Any]
) -> None:
    install(on_path)
    (on_path / "zoo_mine-0.1.dist-info" / "entry_points.txt").unlink()
    with pytest.raises(UserError, match="_target_=zoo_mine.nets.TinyConv: not allowed"):
        train_here("++model._target_=zoo_mine.nets.TinyConv", *TINY[1:])


@pytest.mark.parametrize("entry", ["zoo_nowhere", "zoo_mine.nets"])
def test_an_entry_point_that_names_no_package(on_path: Path, entry: str) -> None:
    install(on_path, entry)
    with pytest.raises(UserError, match=f"the extension mine names {entry}, which is no package"):
        extensions()


def test_a_board_of_a_name_that_is_taken(mine: Path) -> None:
    (mine / "zoo_mine" / "leaderboards" / "digits.yaml").write_text(
        FILES["zoo_mine/leaderboards/tiny.yaml"]
    )
    with pytest.raises(UserError, match="there is a board digits already; rename this one"):
        load_boards(ROOT / "leaderboards")


def test_a_folder_of_options_needs_no_package(run_train: Any, tmp_path: Path) -> None:
    place = tmp_path / "options" / "precision"
    place.mkdir(parents=True)
    (place / "mine.yaml").write_text(FILES["zoo_mine/conf/precision/fp156.yaml"])
    done = run_train("--config-dir", str(place.parent), "precision=mine", *TINY)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(FILES["zoo_mine/conf/precision/fp156.yaml"])["name"] in done.stdout
    assert os.sep not in done.stderr
