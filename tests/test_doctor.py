"""`zoo doctor`: what it finds is what is there, and it names nobody."""

import getpass
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.data.test_sets import write_cifar
from tests.factories import make_record
from zoo import places
from zoo.cli import app
from zoo.data import hub
from zoo.data.corpus import NAMES
from zoo.data.glue import SETS as GLUE
from zoo.data.questions.sets import SETS as QUESTIONS
from zoo.doctor.check import Check, private
from zoo.doctor.data import data
from zoo.doctor.device import inductor, threads
from zoo.doctor.surroundings import added, browser, folder, records, wandb
from zoo.doctor.versions import SHOWN, versions
from zoo.errors import UserError
from zoo.leaderboard.store import write_record
from zoo.overrides import groups


def by_name(checks: Any) -> dict[str, Check]:
    return {check.what: check for check in checks}


def ask(*typed: str, **environment: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["doctor", "--json", *typed], env=environment)
    return done.exit_code, json.loads(done.stdout)


# -- the command -----------------------------------------------------------------------------------


def test_it_imports_little_and_names_nobody(tmp_path: Path) -> None:
    """In a process of its own, as typed: what takes seconds to import is left out."""
    secret, home = "0123456789abcdef" * 3, tmp_path / "homes" / "somebody"
    (home / "data").mkdir(parents=True)
    environment = {
        **os.environ, "HOME": str(home), "LOGNAME": "somebody", "WANDB_API_KEY": secret,
        "ZOO_DATA": str(home / "data"), "COLUMNS": "80",
    }  # fmt: skip
    program = (
        "import sys\nsys.argv = ['zoo', 'doctor']\nimport zoo.cli\n"
        "try:\n    zoo.cli.main()\nfinally:\n"
        "    print(sorted({'timm', 'lightning', 'transformers', 'torchvision', 'wandb', 'datasets'}\n"
        "          & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"
    for name in (secret, str(home), "somebody", f" {socket.gethostname()} "):
        assert name not in done.stdout
    assert "~/data" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.rstrip().endswith("data=digits needs nothing that is missing")


def test_every_line_that_is_not_ok_says_so_in_json_and_what_is_broken_counts(
    tmp_path: Path,
) -> None:
    (tmp_path / "images" / "cifar10").mkdir(parents=True)
    for split in ("train", "test"):
        (tmp_path / "images" / "cifar10" / f"{split}.parquet").write_text("version https://git-lfs")
    code, said = ask("--output-dir", str(tmp_path / "none"), ZOO_DATA=str(tmp_path))
    checks = {check["what"]: check for check in said["checks"]}
    assert (code, said["broken"]) == (1, 1)
    assert checks["cifar10"] == {
        "what": "cifar10", "state": "broken", "detail": "train.parquet is not what its ending says",
        "todo": "download it again",
    }  # fmt: skip
    assert {check["state"] for check in said["checks"]} <= {"ok", "missing", "slow", "broken"}
    assert all(check["detail"] for check in said["checks"])
    shutil.rmtree(tmp_path / "images")
    assert ask("--output-dir", str(tmp_path / "none"), ZOO_DATA=str(tmp_path))[0] == 0


# -- data ------------------------------------------------------------------------------------------


def test_the_look_up_knows_every_set_of_the_loaders() -> None:
    assert {task: tuple(about.sizes) for task, about in GLUE.items()} == places.GLUE
    assert set(places.QUESTIONS) == set(QUESTIONS)
    assert set(NAMES) == {*places.CORPORA, "text", "folder"}
    assert {name for name in groups()["data"] if name.startswith("cifar")} == set(places.CIFAR)


def test_every_data_set_that_can_be_typed_has_a_line(tmp_path: Path) -> None:
    words = {word for check in data(tmp_path) for word in check.what.split(", ")}
    assert set(groups()["data"]) - {"folder", "pairs"} <= words  # these are one's own files


def test_what_is_said_to_be_there_is_what_a_loader_finds(
    tmp_path: Path, glue_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader asks the hub exactly where the doctor says that a set is missing."""
    from zoo.data import cifar10, cifar100
    from zoo.data.corpus import find_corpus
    from zoo.data.glue import glue
    from zoo.data.questions.sets import find_questions

    def asked(*_: Any, **__: Any) -> Any:
        raise UserError("the hub is asked")

    monkeypatch.setattr(hub, "load_from_hub", asked)
    monkeypatch.setattr(hub, "documents_from_hub", asked)
    write_cifar(tmp_path, "cifar100", "fine_label")
    (tmp_path / "text" / "c4").mkdir(parents=True)
    (tmp_path / "text" / "c4" / "train.jsonl").write_text(
        "".join(f'{{"text": "Document {i}."}}\n' for i in range(9))
    )
    for part in ("glue", "biomed_qa"):
        (tmp_path / part).symlink_to(glue_root / part)
    where: dict[str, Any] = {"root": str(tmp_path), "cache_dir": str(tmp_path / "cache")}
    shape: dict[str, Any] = {"seed": 0, "batch_size": 4, "eval_batch_size": 4}

    def documents(name: str) -> Any:
        return next(find_corpus(name, **where).documents("train"))

    loaders: dict[str, Any] = {
        "cifar10": lambda: cifar10(**where, **shape),
        "cifar100": lambda: cifar100(**where, **shape),
        **{name: lambda name=name: documents(name) for name in places.CORPORA},
    }
    found = by_name(data(tmp_path))
    for name, load in loaders.items():
        assert finds(load) == (found[name].state == "ok"), name
    assert {name for name in loaders if found[name].state == "ok"} == {"cifar100", "c4"}
    for task in places.GLUE:
        there = finds(lambda task=task: glue(task=task, **where, **shape, max_length=8))
        assert there == (places.glue(task, tmp_path) is not None)
    sets = {n: finds(lambda n=n: find_questions(n, **where)) for n in places.QUESTIONS}
    missing = found["questions"].detail.partition(";")[0].split()[1:]
    assert [name for name, there in sets.items() if not there] == missing
    assert found["glue"].state == "ok"


def finds(load: Any) -> bool:
    try:
        load()
    except UserError as error:
        # BioASQ is on no hub.
        assert "the hub is asked" in str(error) or "register" in str(error), error
        return False
    return True


def test_imagenet_is_two_folders(tmp_path: Path) -> None:
    (tmp_path / "imagenet" / "train").mkdir(parents=True)
    assert by_name(data(tmp_path))["imagenet"].state == "missing"
    (tmp_path / "imagenet" / "val").mkdir()
    assert by_name(data(tmp_path))["imagenet"].state == "ok"


# -- what computes ---------------------------------------------------------------------------------


def test_versions_are_held_against_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {c.state for c in versions() if c.what != "flash-attn"} == {"ok"}
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return {"torch": "2.5.0+cpu", "flash-attn": "2.8"}.get(name) or known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = by_name(versions())
    assert found["timm"].state == found["torch"].state == "broken"
    assert found["torch"].detail.startswith("2.5.0+cpu; >=")
    assert found["timm"].todo.startswith("pip install 'timm>=")
    assert found["flash-attn"] == Check("flash-attn", "ok", "2.8")
    assert set(SHOWN) < set(found)


@pytest.mark.parametrize(
    ("count", "cores", "variable", "state"),
    [(4, 4, None, "ok"), (4, 4, "4", "ok"), (8, 4, "8", "slow"), (8, 4, None, "slow"),
     (1, 4, "1", "slow"), (4, 8, None, "ok")],
)  # fmt: skip
def test_threads_are_as_many_as_cores(
    count: int, cores: int, variable: str | None, state: str
) -> None:
    # 4 of 8 by torch itself: hyperthreads are not counted.
    check = threads(count, cores, variable)
    assert check.state == state
    assert check.todo == (f"export OMP_NUM_THREADS={cores}" if state == "slow" else "")


@pytest.mark.parametrize("compiler", ["/nowhere/g++", "false", "sh -c 'exit 1'"])
def test_a_compiler_that_is_not_there_or_fails_is_missing(
    compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", compiler)
    assert inductor().state == "missing"
    monkeypatch.setenv("CXX", "true")
    assert inductor().state == "ok"


def test_a_machine_without_compilers_is_slow_and_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    code, said = ask("--output-dir", str(tmp_path))
    states = {check["what"]: check["state"] for check in said["checks"]}
    assert code == 0
    assert states["C compiler"] == states["torch.compile"] == states["browser"] == "missing"
    assert states["optimizer kernel"] == "slow"
    assert ask("--output-dir", str(tmp_path), ZOO_COMPILE="0")[0] == 0


# -- surroundings ----------------------------------------------------------------------------------


def test_a_folder_is_made_where_it_can_be(tmp_path: Path) -> None:
    check = folder("outputs", tmp_path / "a" / "b", "ZOO_OUTPUT")
    assert check.state in ("ok", "slow")  # slow: the disk is nearly full
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    broken = folder("outputs", tmp_path / "file" / "b", "ZOO_OUTPUT")
    assert (broken.state, broken.todo) == ("broken", "export ZOO_OUTPUT=FOLDER")


def test_wandb_with_a_key_without_and_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (wandb().state, wandb().todo) == ("missing", "wandb login")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert (wandb().state, wandb().detail) == ("ok", "online: a key is configured")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "offline" in wandb().detail


def test_records_are_counted(tmp_path: Path) -> None:
    output, curated = tmp_path / "outputs", tmp_path / "boards" / "records"
    one, other = make_record(seed=0), make_record(seed=1)
    write_record(one, output / one.id / "record.json")
    write_record(other, curated / f"{other.id}.json")
    count, aside = records(output, tmp_path / "boards")
    assert (count.state, count.detail) == ("ok", "1 curated, 1 local")
    assert aside.detail == "0 files"
    (output / "bad").mkdir()
    (output / "bad" / "record.json").write_text("{}")
    count, _ = records(output, tmp_path / "boards")
    assert (count.state, count.detail) == ("broken", "1 curated, 1 local, 1 not valid")
    CliRunner().invoke(app, ["records", "--quarantine", "--output-dir", str(output)])
    count, aside = records(output, tmp_path / "boards")
    assert (count.state, aside.detail) == ("ok", "1 files")


def test_an_extension_that_is_wrong_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert added().state == "ok"

    def wrong() -> Any:
        raise UserError("the extension mine names nothing")

    monkeypatch.setattr("zoo.doctor.surroundings.extensions", wrong)
    assert added() == Check("extensions", "broken", "the extension mine names nothing")


def test_the_browser_is_what_the_tests_look_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.browser import CHROMEDRIVER

    assert (browser().state == "ok") <= (CHROMEDRIVER is not None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert browser().detail.startswith("no chromium and no chromedriver")


def test_paths_name_no_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(socket, "gethostname", lambda: "node7.example.org")
    assert private("/home/ada/x") == "~/x"
    assert private("/home/adam/x") == "/home/adam/x"
    assert private("/scratch/ada/x on node7.example.org") == "/scratch/USER/x on HOST"
    assert private("of ada@example.org") == "of EMAIL"
    assert private("adaptive") == "adaptive"
