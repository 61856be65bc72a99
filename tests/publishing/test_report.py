"""The report's specification, without any server: as it is in report.json, of keys that records have."""

import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.publishing.conftest import bundle_of, record_of
from zoo.leaderboard.boards import load_boards, view
from zoo.leaderboard.store import scan
from zoo.publishing.report import MARK, digest, report_of, specification

GOLDEN = Path(__file__).with_name("report.json")


def golden(folder: Path) -> dict[str, Any]:
    records = [record_of(seed, width) for seed in (0, 1) for width in (4, 8)]
    report = report_of(bundle_of(folder, *records).views, "someone", "zoo", None)
    return specification(report)


def test_the_specification_is_the_golden_one(tmp_path: Path) -> None:
    text = json.dumps(golden(tmp_path), indent=1) + "\n"
    if os.environ.get("ZOO_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "looked at it, and want it? ZOO_WRITE_GOLDEN=1 writes it"


def test_the_same_boards_give_the_same_report_whatever_the_server_calls_the_project(
    tmp_path: Path,
) -> None:
    views = bundle_of(tmp_path, record_of(0)).views
    reports = [report_of(views, "someone", "zoo", number) for number in (None, "7", "8")]
    assert len({digest(r) for r in reports}) == 1
    assert reports[0].description == MARK + digest(reports[0])
    sent = json.loads(reports[1]._to_model().spec.model_dump_json(by_alias=True))
    grids = [b for b in sent["blocks"] if b["type"] == "panel-grid"]
    projects = [runset["project"] for grid in grids for runset in grid["metadata"]["runSets"]]
    assert projects == [{"name": "zoo", "entityName": "someone", "id": "7"}] * 2


def keys_of(spec: Any) -> Iterator[str]:
    """Yield every metric that a specification names."""
    for block in spec["blocks"]:
        config = block.get("metadata", {}).get("panelBankSectionConfig", {"panels": []})
        for panel in config["panels"]:
            settings = panel["config"]
            if panel["viewType"] == "Scatter Plot":
                for axis in (settings["xAxis"], settings["yAxis"]):
                    section, _, key = axis.partition(":")
                    assert section == "summary"
                    yield key
            elif panel["viewType"] == "Run History Line Plot":
                yield from (settings["xAxis"], *settings["metrics"])
            elif panel["viewType"] == "Vega2":
                yield from (settings["fieldSettings"][axis] for axis in ("x", "y"))
            else:
                assert panel["viewType"] in ("Weave", "Media Browser")


def documented(key: str) -> bool:
    """Whether docs/record.md or, of costs up to a target, docs/boards.md has this key."""
    text = (ROOT / "docs" / "record.md").read_text() + (ROOT / "docs" / "boards.md").read_text()
    names = re.findall(r"`([a-z]+/[\w/]+)`", text)
    patterns = [re.escape(n).replace("NNN", r"\d+").replace("KIND", r"\w+") for n in names]
    return any(re.fullmatch(p, key) for p in patterns)


def test_every_key_of_the_golden_report_is_one_of_the_record(tmp_path: Path) -> None:
    record = record_of(0)
    found = set(keys_of(golden(tmp_path)))
    assert found == {"test/acc", "time/train_s", "val/acc", "train/samples"}
    assert found <= {*record.metrics, *record.curve}
    assert all(map(documented, found))


def test_every_key_of_the_real_boards_is_one_of_their_records() -> None:
    stored, _ = scan(None, ROOT / "leaderboards" / "records")
    records = [s.record for s in stored]
    for name, board in load_boards(ROOT / "leaderboards").items():
        filled = view(board, records)
        if not filled.groups:
            continue
        spec = specification(report_of([filled], "someone", "zoo", None))
        keys = set(keys_of(spec))
        assert not [key for key in keys if not documented(key)], name
        shown = list(itertools.chain.from_iterable(g.records for g in filled.groups))
        measured = {key for r in shown for key in (*r.metrics, *r.curve)}
        targets = {a.key for a in board.costs if a.key.startswith("target/")}
        assert keys <= {*measured, *targets}, name
