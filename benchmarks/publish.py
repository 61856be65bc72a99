"""`zoo publish` of 200 runs with a board and a report to a server on this machine: runs a second."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from benchmarks.board import curve
from tests import standin
from tests.publishing.conftest import bundle_of, record_of

COUNT = 200
POINTS = 57  # of a curve, as a default run has


def rows() -> Iterator[tuple[str, str, str, str]]:
    try:
        with standin.serve() as server, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with mock.patch.dict(os.environ, standin.environment(server.url, folder)):
                yield from _measured(server, folder)
    except pytest.skip.Exception as reason:
        yield (f"zoo publish, {COUNT} runs", "not measured", "", str(reason))


def _measured(server: object, folder: Path) -> Iterator[tuple[str, str, str, str]]:
    from zoo.publishing.deliver import deliver
    from zoo.publishing.server import Patience, Server

    keys = ("train/loss", "train/acc", "val/acc", "val/loss")
    curves = {key: curve(POINTS) for key in keys}
    records = [record_of(i % 5, width=i // 5, curve=curves) for i in range(COUNT)]
    bundle = bundle_of(folder, *records)
    took = []
    for _ in range(2):
        at = Server("zoo", None, Patience())
        began = time.perf_counter()
        deliver(bundle, at, folder / "journal.jsonl")
        took.append(time.perf_counter() - began)
        at.close()
    sent = len(standin.state(server)["runs"]) - 1
    yield (
        f"zoo publish, {sent} runs of {POINTS} points, {len(bundle.boards.files)} files, a report",
        f"{sent / took[0]:.1f} runs/s",
        "",
        f"{took[0]:.1f} s the first time, {took[1]:.1f} s again",
    )
