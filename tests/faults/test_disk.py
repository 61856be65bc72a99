"""A disk that fills up, an output folder that cannot be written, and SIGTERM: nothing is half there."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.conftest import TINY, Runner
from tests.end_to_end.test_train import KILLABLE, arithmetic, start, wait_for
from zoo.callbacks import checkpoint
from zoo.errors import Interrupted
from zoo.leaderboard import load_records, store
from zoo.tasks.classification import ClassificationTask

Train = Callable[..., Any]
SHORT = [*TINY, "logger=none", "callbacks.checkpoint.every_steps=2"]


class Full:
    """A disk without room for the files of one name, from the n-th on."""

    def __init__(self, name: str, after: int) -> None:
        self.name, self.after, self.seen = name, after, 0
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        if f".{self.name}." in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            self.seen += 1
            if self.seen > self.after:
                raise OSError(errno.ENOSPC, "No space left on device")
        self._fsync(descriptor)


@pytest.mark.parametrize(
    ("name", "after", "kept"),
    [
        ("last.ckpt", 0, set()),
        ("last.ckpt", 1, {"last.ckpt"}),
        ("last.ckpt", 2, {"last.ckpt", "previous.ckpt"}),
        ("record.json", 0, {"last.ckpt", "previous.ckpt"}),
    ],
)
def test_a_full_disk_keeps_what_was_there(
    name: str, after: int, kept: set[str], train_here: Train, tmp_path: Path, tiny: Any
) -> None:
    disk = Full(name, after)
    with (
        mock.patch.object(store.os, "fsync", disk.fsync),
        pytest.raises(OSError, match="No space left") as full,
    ):
        train_here(*SHORT)
    assert Path(full.value.filename).name == name  # which is what the sentence begins with
    left = {p.name for p in (tmp_path / "outputs").rglob("*") if p.is_file()} - {".lock"}
    assert left == kept
    assert arithmetic(train_here(*SHORT)) == arithmetic(tiny)
    assert not list((tmp_path / "outputs").glob("*/previous.ckpt"))


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "read only"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):  # to root every folder is open
        folder.chmod(0o700)
        folder = Path("/proc/zoo")  # where nobody can make one
    yield folder
    if folder.parent == tmp_path:
        folder.chmod(0o700)


def test_an_output_folder_that_is_read_only_is_one_sentence(
    read_only: Path, run_train: Runner
) -> None:
    done = run_train(*TINY, ZOO_OUTPUT=str(read_only))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"train.py: {read_only}")


@pytest.mark.xdist_group("undisturbed")
def test_sigterm_keeps_the_checkpoint_and_no_bit_is_lost(tmp_path: Path) -> None:
    """As a cluster's scheduler ends a job: a signal first, and the kill behind a time of grace."""
    whole = start(tmp_path / "whole", *KILLABLE)
    assert whole.communicate()[1] == ""
    process = start(tmp_path / "cut", *KILLABLE)
    wait_for(lambda: any((tmp_path / "cut").glob("*/last.ckpt")), process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "stopped by SIGTERM at step" in err
    assert "type the same command to go on" in err
    assert not any((tmp_path / "cut").glob("*/record.json"))
    again = start(tmp_path / "cut", *KILLABLE)
    assert again.communicate()[1] == ""
    want, got = (load_records(tmp_path / name)[0] for name in ("whole", "cut"))
    assert arithmetic(got) == arithmetic(want)


@pytest.mark.parametrize("moment", ["as a checkpoint is written", "as the test split is read"])
def test_sigterm_is_no_success_whenever_it_comes(
    moment: str, train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning has its own handler, which would end the process with exit code 0."""
    typed = [*SHORT, "data.eval_batch_size=100"]  # several batches of a split
    whole = train_here(*typed, output="whole")
    save, evaluate = checkpoint.save, ClassificationTask.evaluate

    def saved(*arguments: Any) -> None:
        save(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    def evaluated(self: Any, batch: Any, split: str) -> None:
        evaluate(self, batch, split)
        if split == "test":
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        if moment == "as a checkpoint is written":
            patch.setattr(checkpoint, "save", saved)
        else:
            patch.setattr(ClassificationTask, "evaluate", evaluated)
        with pytest.raises(
            Interrupted, match="stopped by SIGTERM .* type the same command to go on"
        ):
            train_here(*typed)
    assert not any((tmp_path / "outputs").glob("*/record.json"))
    assert any((tmp_path / "outputs").glob("*/last.ckpt"))
    assert arithmetic(train_here(*typed)) == arithmetic(whole)


def test_data_that_change_under_a_run_are_another_run(
    train_here: Train, run_train: Runner, tmp_path: Path
) -> None:
    """The data's fingerprint is in the id: no checkpoint goes on with other data."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        (folder / f"{split}.txt").write_text("a cat sees a dog and a dog sees a cat\n" * 40)
    words = [
        "model=biomedlm", "data=folder", f"data.folder={os.path.relpath(folder)}", "data.max_length=16",
        "data.vocab_size=300", "data.eval_samples=4", "trainer.max_steps=4", "logger=none",
        "data.batch_size=4", "trainer.max_epochs=null",
    ]  # fmt: skip
    first = train_here(*words)
    (tmp_path / "outputs" / first.id / "record.json").unlink()  # as if cut off at its last step
    with open(folder / "train.txt", "a") as file:
        file.write("and a bird\n")
    second = train_here(*words)
    assert second.id != first.id
    assert second.data.sha256 != first.data.sha256
    assert second.metrics["train/steps"] == 4
    assert (tmp_path / "outputs" / first.id / "last.ckpt").exists()
