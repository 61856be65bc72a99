"""Every command of the README is run; what it says of files and verbs is there."""

import os
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests import processes
from tests.conftest import ROOT
from tests.data.test_sets import write_cifar
from tests.factories import make_record
from zoo.leaderboard.boards import load_board, view
from zoo.leaderboard.page.figure import frontier_svg
from zoo.leaderboard.record import identity
from zoo.leaderboard.store import scan, write_record
from zoo.precision.exponents import Exponents
from zoo.precision.formats import FORMATS
from zoo.precision.kinds import KINDS

README = (ROOT / "README.md").read_text()


def commands(text: str) -> list[str]:
    """Return the commands of a document's bash blocks, in order, without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


COMMANDS = commands(README)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command(command: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    words = shlex.split(command)
    environment = {**os.environ, "ZOO_OUTPUT": str(tmp_path / "outputs")}
    if words[:2] == ["python", "train.py"]:
        if "model.name=resnet18" in words:  # 50 of the test images, of which it takes minutes
            write_cifar(tmp_path / "few", "cifar10", "label")
            environment["ZOO_DATA"] = str(tmp_path / "few")
        elif "data=cifar10" in words:
            request.getfixturevalue("data_root")
        # As typed, but for few steps: the whole default run is in test_train.
        steps = 10 if "delay=constant" in words else 2  # more than gradients are late
        short = [f"trainer.max_steps={steps}", "data.eval_batch_size=5000"]
        if "model=resnet20" in words:  # a minute of evaluating 15,000 images
            short.append("model.width=2")
        if {"model=mosaicbert", "model=biomedlm"} & set(words):
            short.append("data.eval_samples=8")
        short = [] if "--help" in words else short
        words = ["train.py", *words[2:], *short]
    else:
        assert words[0] == "zoo", f"no test runs {command}"
        record = make_record()
        own = identity(record.config, record.data.sha256, record.zoo_version)
        record = record.model_copy(update={"id": own})
        write_record(record, tmp_path / "outputs" / record.id / "record.json")
    done = processes.run(words, environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_two_set_up_commands_are_the_makefiles_and_cis() -> None:
    verbs = re.findall(r"^    make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    ci = (ROOT / ".ci" / "run").read_text()
    assert verbs == ["demo", "test"]
    for verb in verbs:
        assert re.search(rf"^{verb}: \$\(READY\)", makefile, re.MULTILINE)
        assert f"make {verb}" in ci


def test_every_option_in_the_table_exists_and_none_is_missing() -> None:
    from zoo.overrides import groups

    known = groups()
    for group in ("model", "data", "precision", "optimizer", "scheduler", "delay"):
        row = next(line for line in README.splitlines() if line.startswith(f"| `{group}` |"))
        words = set(re.findall(r"`([\w.=]+)`", row.split("|")[2]))
        named = {{"169": "fp169"}.get(w, w) for w in words} & {*known[group], "fp169"}
        unnamed = set(known[group]) - named - {"resnet", "vgg"}  # those take a depth
        assert not unnamed, f"{group}: {unnamed}"


def test_every_link_and_picture_is_there() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_figure_is_drawn_from_the_committed_records() -> None:
    """Made by: zoo figure digits --out docs/digits.svg --output-dir none"""
    stored, problems = scan(None, ROOT / "leaderboards" / "records")
    assert problems == []
    drawn = frontier_svg(
        view(load_board(ROOT / "leaderboards" / "digits.yaml"), [s.record for s in stored])
    )
    assert (ROOT / "docs" / "digits.svg").read_text() == drawn


def test_every_committed_records_command_composes() -> None:
    from zoo.config import check, compose

    stored, _ = scan(None, ROOT / "leaderboards" / "records")
    assert stored
    commands = [shlex.split(item.record.command) for item in stored]
    assert all(words[:2] == ["python", "train.py"] for words in commands)
    # Seeds and rates go with everything: one of each is enough, in any order.
    swept = ("seed=", "optimizer.lr=")
    alike = {frozenset(w for w in c if not w.startswith(swept)): c for c in commands}
    for words in alike.values():
        check(compose(words[2:]))


def test_the_docs_list_every_metric_of_a_real_record() -> None:
    table = (ROOT / "docs" / "record.md").read_text()
    keys = {
        k
        for group in re.findall(r"^\| (`\w+/.*?) \|", table, re.MULTILINE)
        for k in re.findall(r"`([^`]+)`", group)
    }
    stored, _ = scan(None, ROOT / "leaderboards" / "records")
    monitored = re.compile(rf"^num/({'|'.join(KINDS)})/[^/]+/")
    for item in stored:
        found = set(item.record.metrics) | set(item.record.curve)
        found = {
            re.sub(r"^(num/pipeline/distance|test/length)/\d+", r"\1/NNN", key) for key in found
        }
        assert {monitored.sub("num/KIND/FORMAT/", key) for key in found} <= keys
    # What no committed record needs to have.
    monitor = Exponents().lost("fp16", FORMATS["fp16"])
    assert {f"num/KIND/FORMAT/{loss}" for loss in monitor} <= keys
    assert {"cost/bit_flops", "cost/bytes_moved", "num/loss_scale", "num/skipped_steps"} <= keys


def test_the_example_board_of_the_docs_is_valid(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "boards.md").read_text(), re.DOTALL)
    assert example
    (tmp_path / "digits.yaml").write_text(example[1])
    assert load_board(tmp_path / "digits.yaml").quality.key == "test/acc"
    assert yaml.safe_load(example[1])["columns"] == ["model.name"]
