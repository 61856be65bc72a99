"""The order of looking and sending, with a server in memory that fails far more often than a real one."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.publishing.conftest import bundle_of, record_of
from zoo.errors import UserError
from zoo.publishing.boards import RUN
from zoo.publishing.bundle import Bundle
from zoo.publishing.deliver import deliver, lacks
from zoo.publishing.server import OTHER, Lost, Patience, There


class InMemory:
    """As `Server`, and every call may fail, before its effect or after it, or half-way."""

    project, entity, path = "zoo", "someone", "someone/zoo"

    def __init__(self, seed: int, chance: float, faults: int) -> None:
        self.random = random.Random(seed)
        self.chance, self.faults = chance, faults
        self.patience = Patience(tries=3, wait_s=0.5)
        self.held: dict[str, dict[str, Any]] = {}
        self.views: list[tuple[str, str]] = []
        self.views_made = 0
        self.files: Any = None

    def may_fail(self) -> None:
        if self.faults and self.random.random() < self.chance:
            self.faults -= 1
            raise Lost("a fault")

    def open(self) -> None:
        self.may_fail()

    def runs(self) -> dict[str, There]:
        self.may_fail()
        return {
            key: There(
                run["digest"], run.get("curve"), run["finished"], not run["finished"],
                len(run["rows"]), run["tags"],
            )
            for key, run in self.held.items()
        }  # fmt: skip

    def send(self, run: Any, there: There | None) -> None:
        self.may_fail()
        held = self.held.setdefault(run.id, {"rows": [], "curve": run.curve})
        held.update(digest=run.digest, finished=False, tags=run.tags, config=run.config)
        begin = len(held["rows"])
        for row in run.rows[begin:] if held["curve"] == run.curve else ():
            self.may_fail()
            held["rows"].append(row)
        held["summary"] = run.summary
        self.may_fail()
        held["finished"] = True
        self.may_fail()

    def tag(self, run_id: str, tags: tuple[str, ...]) -> None:
        self.may_fail()
        self.held[run_id]["tags"] = tags
        self.may_fail()

    def send_boards(self, boards: Any, *, again: bool) -> None:
        self.may_fail()
        assert again == (RUN in self.held)
        self.held[RUN] = {"digest": boards.digest, "finished": False, "rows": [], "tags": ()}
        self.may_fail()
        self.held[RUN]["finished"] = True
        self.may_fail()
        self.files = boards.files

    def has_boards(self, boards: Any) -> bool:
        self.may_fail()
        return self.files == boards.files

    def project_id(self) -> str:
        self.may_fail()
        return "7"

    def reports(self) -> list[tuple[str, str]]:
        self.may_fail()
        return list(self.views)

    def save_report(self, report: Any, report_id: str | None) -> None:
        self.may_fail()
        if report_id is None:
            self.views_made += 1
            self.views.append((f"view{self.views_made}", report.description))
        else:
            index = [key for key, _ in self.views].index(report_id)
            self.views[index] = (report_id, report.description)
        self.may_fail()

    def delete_report(self, report_id: str) -> None:
        self.may_fail()
        self.views = [(key, text) for key, text in self.views if key != report_id]
        self.may_fail()

    def state(self) -> Any:
        return self.held, self.files, self.views


def bring(server: InMemory, bundle: Bundle, folder: Path) -> Any:
    """Publish as often as it takes; returns how often it gave up."""
    for gave_up in range(1000):
        try:
            deliver(bundle, server, folder / "journal.jsonl", sleep=lambda seconds: None)  # type: ignore[arg-type]
        except UserError as error:
            assert "type zoo publish again" in str(error)
        else:
            return gave_up
    raise AssertionError("never published")


def test_the_end_is_the_same_whatever_fails(tmp_path: Path) -> None:
    before = bundle_of(tmp_path, record_of(0), record_of(1))
    changed = record_of(1)
    changed = changed.model_copy(update={"metrics": {**changed.metrics, "test/acc": 0.5}})
    after = bundle_of(tmp_path, record_of(0), changed, record_of(2), record_of(3))
    well = InMemory(0, 0.0, 0)
    bring(well, before, tmp_path / "well")
    bring(well, after, tmp_path / "well")
    gave_up = 0
    for seed in range(120):
        server = InMemory(seed, chance=(0.02, 0.1, 0.3, 0.6)[seed % 4], faults=40)
        folder = tmp_path / str(seed)
        gave_up += bring(server, before, folder) + bring(server, after, folder)
        assert server.state()[:2] == well.state()[:2], seed
        assert [text for _, text in server.views] == [text for _, text in well.views], seed
    assert gave_up > 20  # else the faults are too few to test anything


def test_a_lost_server_is_given_up_on_in_one_sentence(tmp_path: Path) -> None:
    server = InMemory(0, chance=1.0, faults=10**9)
    waited: list[float] = []
    bundle = bundle_of(tmp_path, record_of(0))
    with pytest.raises(
        UserError, match=r"0 of 1 runs were seen .* type zoo publish again to go on"
    ):
        deliver(bundle, server, tmp_path / "journal.jsonl", sleep=waited.append)  # type: ignore[arg-type]
    assert waited == [1.0, 2.0, 4.0]  # back-off


def test_what_a_server_lacks(tmp_path: Path) -> None:
    run = bundle_of(tmp_path, record_of(0)).runs[0]

    def there(**fields: Any) -> There:
        known = {
            "digest": run.digest, "curve": run.curve, "finished": True, "running": False,
            "points": len(run.rows), "tags": run.tags,
        }  # fmt: skip
        return There(**{**known, **fields})

    assert lacks(run, None) == "new"
    assert lacks(run, there()) is None
    assert lacks(run, there(tags=())) == "tags"
    assert lacks(run, there(finished=False)) == "changed"
    assert lacks(run, there(points=1)) == "changed"
    assert lacks(run, there(digest="0" * 64)) == "changed"
    assert lacks(run, there(curve=OTHER, points=99)) is None
    assert lacks(run, there(digest=None, curve=None)) == "changed"
    assert lacks(run, there(digest=None, curve=None, finished=False, running=True)) == "training"
