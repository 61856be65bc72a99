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
from typer.testing import CliRunner

from tests.conftest import ROOT, TINY
from zoo.cli import app
from zoo.config import compose
from zoo.errors import UserError
from zoo.extensions import GROUP, extensions, version_with
from zoo.leaderboard.boards import load_boards, view
from zoo.overrides import canonical, config_folders, groups, take_config_dir

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


def test_a_record_of_it_is_one_to_publish_where_it_is_installed(
    mine: Path, train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.leaderboard.admission import objection

    record = train_here(*TINY[1:], "model=tiny_conv", "optimizer=signum")
    assert record.config["model"]["_target_"] == "zoo_mine.nets.TinyConv"
    assert objection(record) is None
    monkeypatch.setattr("zoo.build.extensions", list)
    assert "is nothing that a run builds" in (objection(record) or "")


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


def test_an_option_of_a_name_that_is_taken(mine: Path) -> None:
    conf = mine / "zoo_mine" / "conf"
    (conf / "model" / "resnet8.yaml").write_text(FILES["zoo_mine/conf/model/tiny_conv.yaml"])
    with pytest.raises(UserError, match=r"resnet8.yaml: there is model=resnet8 already; rename"):
        compose(["model=resnet8"])


NET = FILES["zoo_mine/nets.py"]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("nets.py", "import nowhere", "zoo_mine.nets cannot be imported: ModuleNotFoundError: No"),
        ("nets.py", "def (", "zoo_mine.nets cannot be imported: SyntaxError: invalid syntax"),
        ("nets.py", NET.replace("TinyConv", "TinyCon"), "has no TinyConv; did you mean TinyCon?"),
        ("nets.py", "TinyConv = lambda **_: 'net'", "TinyConv: gives str, not a Module"),
        (
            "nets.py",
            NET.replace("mean((2, 3)))", "mean((2, 3)))[:, :3]"),
            "has given (8, 3) where logits of (batch, num_classes) (8, 10) are needed",
        ),
        ("signum.py", "Signum = lambda *_, **__: 3", "gives int, not a torch.optim.Optimizer"),
        (
            "conf/optimizer/signum.yaml",
            FILES["zoo_mine/conf/optimizer/signum.yaml"].replace("momentum:", "momentom:"),
            "signum: Signum.__init__() got an unexpected keyword argument 'momentom'; did you mean",
        ),
        ("conf/precision/fp156.yaml", "name: fp156", "fp156: this option says not what to build"),
        ("conf/precision/fp156.yaml", "name: [a", "not valid YAML (while parsing"),
    ],
)
def test_mistakes_in_a_package_are_one_sentence(
    mine: Path, train_here: Callable[..., Any], file: str, content: str, said: str
) -> None:
    (mine / "zoo_mine" / file).write_text(content)
    with pytest.raises(UserError) as error:
        train_here(*TYPED, "data.batch_size=8")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_zoo_version_names_extensions(mine: Path) -> None:
    shown = CliRunner().invoke(app, ["--version"]).output
    assert f"zoo_mine 0.1, from {mine / 'zoo_mine'}" in shown


def test_a_broken_entry_point_ends_train_in_one_sentence(run_train: Any, on_path: Path) -> None:
    install(on_path, "zoo_nowhere")
    done = run_train("precision=156", *TINY, PYTHONPATH=str(on_path))
    assert done.returncode == 2
    assert done.stderr.startswith("train.py: the extension mine names zoo_nowhere")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def options(tmp_path: Path) -> Path:
    place = tmp_path / "options" / "precision"
    place.mkdir(parents=True)
    (place / "fp156.yaml").write_text(FILES["zoo_mine/conf/precision/fp156.yaml"])
    return place.parent


@pytest.mark.parametrize("flag", ["--config-dir {}", "--config-dir={}", "-cd {}"])
def test_a_format_in_a_typed_folder_is_a_number(options: Path, run_train: Any, flag: str) -> None:
    done = run_train(*flag.format(options).split(), "precision=156", *TINY)
    assert done.returncode == 0, done.stderr
    assert "fp156" in done.stdout


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["precision=fp165"], "did you mean fp16 or fp169 or fp156?"),
        (
            ["precision=156", "precision.mantissa_bit=3"],
            "precision.mantissa_bit: no such key; did you mean precision.mantissa_bits",
        ),
    ],
)
def test_a_mistake_beside_a_typed_folder(
    options: Path, run_train: Any, typed: list[str], said: str
) -> None:
    done = run_train("--config-dir", str(options), *typed)
    assert (done.returncode, done.stderr[:9]) == (2, "train.py:")
    assert said in done.stderr


def test_a_typed_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder; type one with a folder for"):
        take_config_dir(["--config-dir", str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match="names no folder; type --config-dir FOLDER"):
        take_config_dir(["--config-dir"])


def test_a_typed_folder_is_that_of_one_command(options: Path) -> None:
    (options / "precision" / "fp32.yaml").write_text("name: mine")
    try:
        assert take_config_dir(["-cd", str(options), "-m", "seed=1"]) == ["-m", "seed=1"]
        with pytest.raises(UserError, match=r"there is precision=fp32 already; rename this one"):
            config_folders()
        (options / "precision" / "fp32.yaml").unlink()
        (options / "sweeps").mkdir()
        (options / "sweeps" / "mine.yaml").touch()
        assert {"mine", "demo"} <= set(groups()["sweeps"])
        (options / "sweeps" / "demo.yaml").touch()
        with pytest.raises(UserError, match=r"there is sweeps=demo already; rename this one"):
            config_folders()
    finally:
        take_config_dir([])
    assert options not in config_folders()


def test_a_folder_of_options_needs_no_package(run_train: Any, tmp_path: Path) -> None:
    place = tmp_path / "options" / "precision"
    place.mkdir(parents=True)
    (place / "mine.yaml").write_text(FILES["zoo_mine/conf/precision/fp156.yaml"])
    done = run_train("--config-dir", str(place.parent), "precision=mine", *TINY)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(FILES["zoo_mine/conf/precision/fp156.yaml"])["name"] in done.stdout
    assert os.sep not in done.stderr
