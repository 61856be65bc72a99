"""`python train.py` and `zoo` in processes of their own, which have imported torch before.

Most of a short run's time goes into imports. A server does them once and forks for every command,
so that a test can kill, interrupt and starve a process for a fifth of the price. What the imports
themselves say or break is not seen this way: tests/end_to_end/test_train.py has cold runs too.
"""

import contextlib
import itertools
import multiprocessing
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent

CURATED = ROOT / "leaderboards" / "records"

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    ["zoo.run", "zoo.cli", "zoo.data", "zoo.models", "zoo.leaderboard.report", "sklearn.datasets"]
)


class Process:
    """A command that runs; with the methods of subprocess.Popen that the tests use.

    Args:
        words: `train.py` or `zoo`, and what is typed after it.
        environment: all of it.
        folder: where it is typed.
        file_bytes: no file grows beyond; as on a disk that is full.
    """

    def __init__(
        self,
        words: list[str],
        environment: Mapping[str, str],
        folder: Path = ROOT,
        file_bytes: int | None = None,
    ) -> None:
        self.words = words
        self._told = Path(tempfile.mkdtemp(prefix="zoo-test-"))
        # A daemon does not outlive the tests.
        self._process = _server.Process(
            target=_run,
            args=(words, dict(environment), folder, self._told, file_bytes),
            daemon=True,
        )
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for its end and return what it said on stdout and on stderr."""
        self._process.join(timeout)
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)
            raise subprocess.TimeoutExpired(self.words, timeout)
        out, err = (self._told / name for name in ("out", "err"))
        # One that was killed at once has opened neither.
        return tuple(f.read_text() if f.exists() else "" for f in (out, err))  # type: ignore[return-value]


def run(
    words: list[str],
    environment: Mapping[str, str],
    folder: Path = ROOT,
    file_bytes: int | None = None,
    timeout: float = 300,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    process = Process(words, environment, folder, file_bytes)
    out, err = process.communicate(timeout)
    assert process.returncode is not None
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def run_ranks(
    words: list[str], environment: Mapping[str, str], ranks: int = 2, timeout: float = 300
) -> "list[subprocess.CompletedProcess[str]]":
    """Run a command in several processes that work together, told of each other as by torchrun."""
    together = start_ranks(words, environment, ranks)
    said = [process.communicate(timeout) for process in together]
    return [
        subprocess.CompletedProcess(words, process.returncode or 0, out, err)
        for process, (out, err) in zip(together, said, strict=True)
    ]


def start_ranks(words: list[str], environment: Mapping[str, str], ranks: int = 2) -> list[Process]:
    """Start what `run_ranks` runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "TORCHELASTIC_RUN_ID": "none",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
    }
    places = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
    return [Process(words, {**environment, **shared, **place}) for place in places]


@contextlib.contextmanager
def few_curated() -> Iterator[None]:
    """Let training see few of the committed records.

    It reads them all for its rank on the boards, which takes longer than a test's few steps. The
    cold run in tests/end_to_end/test_train.py ranks among all of them, and so do the `zoo` verbs.
    """
    from zoo.leaderboard import store

    files = store.record_files

    def some(folder: Path) -> Iterator[Path]:
        return itertools.islice(files(folder), 0, None, 50 if folder == CURATED else 1)

    with mock.patch.object(store, "record_files", some):
        yield


def _run(
    words: list[str],
    environment: dict[str, str],
    folder: Path,
    told: Path,
    file_bytes: int | None,
) -> None:
    """Be `python train.py ...` or `python -m zoo ...`; in the fork."""
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(told / name, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    if words[0] == "zoo":
        sys.argv = ["zoo", *words[1:]]
        runpy.run_module("zoo", run_name="__main__")
    else:
        sys.argv = [str(ROOT / words[0]), *words[1:]]
        with few_curated():
            runpy.run_path(sys.argv[0], run_name="__main__")
