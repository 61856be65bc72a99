"""Checkpoints whose bytes change, are cut short, or are written by a process that is killed."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import UserError
from zoo.saved import LAST, PREVIOUS, damage, newest, save

RUN = "0123456789abcdef"


def state(step: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(step)
    return {
        "step": step,
        "state_dict": {"w": torch.randn(3, 5, generator=generator), "n": torch.arange(7)},
        "optimizer_states": [{"state": {0: {"m": torch.randn(4, generator=generator)}}}],
    }


def step_of(path: Path) -> int:
    """The step of a checkpoint, after a look at whether the rest is of that step, to the bit."""
    found = torch.load(path, weights_only=True)
    wanted = state(found["step"])
    assert all(torch.equal(found["state_dict"][k], v) for k, v in wanted["state_dict"].items())
    moments = [s["optimizer_states"][0]["state"][0]["m"] for s in (found, wanted)]
    assert torch.equal(*moments)
    return int(found["step"])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("written") / LAST
    save(state(2), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


def test_two_are_kept_and_torch_reads_them(tmp_path: Path) -> None:
    for step in range(4):
        save(state(step), tmp_path / LAST)
        assert newest(tmp_path, RUN) == tmp_path / LAST
    assert {p.name: step_of(p) for p in tmp_path.iterdir()} == {LAST: 3, PREVIOUS: 2}
    assert torch.load(tmp_path / LAST, weights_only=True, mmap=True)["step"] == 3
    save(state(9), tmp_path / "of another callback.ckpt")
    assert step_of(tmp_path / PREVIOUS) == 2


def test_every_flipped_bit_is_noticed(written: bytes, folder: Path) -> None:
    """Of each byte one bit, and all of them: damage, or (in the mark) what was written."""
    path = folder / "flipped.ckpt"
    path.write_bytes(written)
    unnoticed = []
    with open(path, "r+b", buffering=0) as file:
        for place, byte in enumerate(written):
            for mask in (1 << place % 8, 255):
                os.pwrite(file.fileno(), bytes([byte ^ mask]), place)
                if damage(path) is None:
                    unnoticed.append(place)
                    assert step_of(path) == 2
            os.pwrite(file.fileno(), bytes([byte]), place)
    mark = written.rindex(b"sha256:")
    assert all(mark <= place < mark + 7 for place in unnoticed)


@given(data=st.data())
def test_what_is_cut_short_or_overwritten_is_noticed(
    data: st.DataObject, written: bytes, folder: Path
) -> None:
    path = folder / "cut.ckpt"
    length = data.draw(st.integers(0, len(written) - 1))
    rest = data.draw(st.sampled_from([b"", bytes(len(written) - length)]))
    path.write_bytes(written[:length] + rest)  # as after a power failure: zeros
    # Where only the archive's end is gone, the rest is what its own sums say.
    assert damage(path) is not None or (rest and step_of(path) == 2)


def test_one_of_an_earlier_version_is_asked_by_its_crc(tmp_path: Path) -> None:
    path = tmp_path / LAST
    torch.save(state(5), path)
    plain = path.read_bytes()
    assert newest(tmp_path, RUN) == path
    weights = state(5)["state_dict"]["w"].numpy().tobytes()
    torn = bytearray(plain)
    torn[plain.index(weights) + 17] ^= 4
    path.write_bytes(torn)
    assert torch.load(path, weights_only=True)["step"] == 5  # torch does not see it
    assert "is not what its CRC-32 says" in str(damage(path))
    path.write_bytes(plain[:-30])
    assert damage(path) == "it is no whole zip archive"


def flip(path: Path) -> None:
    torn = bytearray(path.read_bytes())
    torn[len(torn) // 2] ^= 1
    path.write_bytes(torn)


def test_the_one_before_takes_its_place_and_keeps_it(tmp_path: Path, capsys: Any) -> None:
    for step in range(3):
        save(state(step), tmp_path / LAST)
    flip(tmp_path / LAST)
    assert newest(tmp_path, RUN, is_main=False) == tmp_path / PREVIOUS
    assert capsys.readouterr().out == ""
    assert newest(tmp_path, RUN) == tmp_path / PREVIOUS
    (said,) = capsys.readouterr().out.splitlines()
    assert said == (
        f"run {RUN}: last.ckpt is damaged (its bytes are not those of its sha256); it goes on from "
        "previous.ckpt"
    )
    assert newest(tmp_path, RUN) == tmp_path / PREVIOUS
    assert capsys.readouterr().out == ""
    save(state(7), tmp_path / LAST)  # the damaged one does not take the place of the good one
    assert {p.name: step_of(p) for p in tmp_path.iterdir()} == {LAST: 7, PREVIOUS: 1}


def test_where_none_is_left_it_begins_anew(tmp_path: Path, capsys: Any) -> None:
    assert newest(tmp_path, RUN) is None
    assert capsys.readouterr().out == ""
    for step in range(2):
        save(state(step), tmp_path / LAST)
    flip(tmp_path / LAST)
    (tmp_path / PREVIOUS).write_bytes(b"")
    assert newest(tmp_path, RUN) is None
    (said,) = capsys.readouterr().out.splitlines()
    assert "last.ckpt is damaged (" in said
    assert "and previous.ckpt is damaged (it is no whole zip archive); it begins anew" in said
    assert list(tmp_path.iterdir()) == []


class Code:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_code_in_one_is_not_executed(tmp_path: Path, capsys: Any) -> None:
    save({"a": Code()}, tmp_path / LAST)
    with pytest.raises(UserError, match=r"last\.ckpt cannot be read .*; delete that file"):
        newest(tmp_path, RUN)
    assert capsys.readouterr().out == ""
    assert (tmp_path / LAST).exists()  # its bytes are right: it is the user's


def test_a_disk_that_does_not_answer_is_no_damage(tmp_path: Path) -> None:
    save(state(1), tmp_path / LAST)
    with (
        mock.patch("zoo.saved.open", create=True, side_effect=OSError(5, "Input/output error")),
        pytest.raises(OSError, match="Input/output"),
    ):
        newest(tmp_path, RUN)
    assert step_of(tmp_path / LAST) == 1


# What a process does between two instants in which it can be killed, or its machine lose power.
CALLS = ("open", "write", "fsync", "replace", "close")


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_process_that_is_killed_anywhere_leaves_one_that_is_whole(
    before: int, tmp_path: Path
) -> None:
    """Killed in front of its n-th call of the system, for every n: by a child that ends there."""
    seen = []
    for fatal in range(40):
        folder = tmp_path / str(fatal)
        folder.mkdir()
        for step in range(before):
            save(state(step), folder / LAST)
        if _save_and_die(folder, before, fatal):
            break
        found = newest(folder, RUN)
        seen.append(None if found is None else step_of(found))
        assert seen[-1] in ((before - 1, before) if before else (None, before))
    assert len(seen) >= 5
    assert {before, before - 1 if before else None} == set(seen)
    assert step_of(folder / LAST) == before


def _save_and_die(folder: Path, step: int, fatal: int) -> bool:
    """Save in a child that ends without a word in front of a call; whether there was no such call."""
    child = os.fork()
    if child == 0:
        calls = 0

        def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls > fatal:
                    os._exit(9)
                return call(*arguments, **options)

            return wrapped

        class File(io.FileIO):
            write = deadly(io.FileIO.write)

        with (
            mock.patch("zoo.leaderboard.store.open", deadly(File), create=True),
            mock.patch.multiple(
                os, **{name: deadly(getattr(os, name)) for name in ("fsync", "replace", "close")}
            ),
        ):
            save(state(step), folder / LAST)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_run_has_its_last_checkpoint_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save({"step": 1}, tmp_path / "last.ckpt")
    replace, seen = os.replace, []

    def watched(*paths: Path) -> None:
        replace(*paths)
        seen.append((tmp_path / "last.ckpt").exists())

    monkeypatch.setattr(os, "replace", watched)
    for step in (2, 3):
        save({"step": step}, tmp_path / "last.ckpt")
    assert seen == [True] * 4
    assert {p.name for p in tmp_path.iterdir()} == {"last.ckpt", "previous.ckpt"}
    assert torch.load(tmp_path / "previous.ckpt", weights_only=True) == {"step": 2}


def test_a_disk_without_second_names_keeps_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Path) -> None:
        raise PermissionError("no hard links")

    monkeypatch.setattr(os, "link", unknown)
    for step in (1, 2):
        save({"step": step}, tmp_path / "last.ckpt")
    found = [torch.load(tmp_path / f"{n}.ckpt", weights_only=True) for n in ("previous", "last")]
    assert found == [{"step": 1}, {"step": 2}]
