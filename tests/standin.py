"""A stand-in of the W&B server on this machine, for the real client to talk to.

It is no part of the project: `wandb_standin.py` is looked for in the folder that ZOO_CHECKS names, or
beside that of ZOO_DATA; tests that need it are skipped where it is not there.
"""

import contextlib
import importlib.util
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

KEY = "0123456789abcdef" * 2 + "01234567"  # of no account


def folder() -> Path:
    """Return where the stand-in is; the test is skipped where it is not."""
    named = os.environ.get("ZOO_CHECKS")
    data = os.environ.get("ZOO_DATA")
    places = [Path(named)] if named else [Path(data).parent / "checks"] if data else []
    for place in places:
        if (place / "wandb_standin.py").is_file():
            return place
    pytest.skip("no wandb_standin.py in ZOO_CHECKS, nor beside ZOO_DATA")


def module() -> ModuleType:
    if "wandb_standin" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "wandb_standin", folder() / "wandb_standin.py"
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules["wandb_standin"] = importlib.util.module_from_spec(spec)
        kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            spec.loader.exec_module(sys.modules["wandb_standin"])
        finally:
            sys.dont_write_bytecode = kept
    return sys.modules["wandb_standin"]


@contextlib.contextmanager
def serve(**options: Any) -> Iterator[Any]:
    """Serve in a thread: `.url`, `.faults`, and `.standin` with what was received."""
    server = module().Server(**options)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environment(url: str, home: Path) -> dict[str, str]:
    """Return what a client needs to reach the stand-in and nothing else, with nobody's settings."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), url)
    return {
        **proxies, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "HOME": str(home),
        "WANDB_BASE_URL": url, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false",
        "WANDB_CONFIG_DIR": str(home / "config"), "WANDB_CACHE_DIR": str(home / "cache"),
    }  # fmt: skip


def state(server: Any) -> dict[str, Any]:
    """Return what the server holds, without clocks, random names and what was superseded."""
    dump = json.loads(json.dumps(server.standin.dump(), allow_nan=False))
    assert not dump["outside"], dump["outside"]
    # `zoo publish` asks whether anybody is there before it begins.
    strange = [u for u in dump["unknown"] if u["operation"] != "GET /"]
    assert not strange, strange
    runs = {
        run["id"]: {
            "config": run["config"], "summary": _of_ours(run["summary"]), "state": run["state"],
            "history": [_lasting(row) for row in run["history"]], "tags": run["tags"],
            "name": run["display_name"], "notes": run["notes"], "kind": run["job_type"],
        }
        for run in dump["runs"]
    }  # fmt: skip
    assert len(runs) == len(dump["runs"])
    if "boards" in runs:  # a row for each time that they were sent; the last one counts
        rows = runs["boards"]["history"]
        assert [row.pop("_step") for row in rows] == list(range(len(rows)))
        runs["boards"]["history"] = rows[-1:]
    reports = [(v["title"], v["description"], v["spec"]) for v in dump["views"] if not v["deleted"]]
    latest = [a for a in dump["artifacts"] if "latest" in a["aliases"] and a["name"] == "records"]
    assert all(f["md5_ok"] for a in latest for f in a["files"].values())
    files = {name: file["md5"] for a in latest for name, file in a["files"].items()}
    for run in dump["runs"]:
        for sent in run["summary"].values():
            if isinstance(sent, dict) and "path" in sent:
                assert sent["path"] in run["files"]
    return {"runs": runs, "reports": reports, "files": files}


def _of_ours(summary: dict[str, Any]) -> dict[str, Any]:
    """Leave out the last step, too: W&B's client adds it with rows alone, not when these had come."""
    return {k: v for k, v in _lasting(summary).items() if k != "_step"}


def _lasting(node: Any) -> Any:
    """Leave out clocks, and the random names of artifacts."""
    gone = ("_timestamp", "_runtime", "_wandb", "artifact_path", "_latest_artifact_path")
    if isinstance(node, dict):
        # A medium's file is named by the row, too, in which it came.
        kept = {k: v for k, v in node.items() if k not in gone}
        return {
            k: re.sub(r"_\d+_(?=\w+\.)", "_", v) if k == "path" else _lasting(v)
            for k, v in kept.items()
        }
    return node
