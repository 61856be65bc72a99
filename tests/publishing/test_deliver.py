"""With the real client: everything arrives, once, and a second time nothing is sent."""

import json
from pathlib import Path
from typing import Any

from tests import standin
from tests.publishing.conftest import Publish, bundle_of, record_of
from zoo.leaderboard.record import Curve


def test_a_run_has_what_the_record_has(publish: Publish, server: Any, tmp_path: Path) -> None:
    record = record_of(0)
    done = publish(bundle_of(tmp_path, record))
    assert (done.runs, done.boards, done.report) == ({record.id: "new"}, "new", "new")
    run = standin.state(server)["runs"][record.id]
    assert run["state"] == "finished"
    assert run["tags"] == ["digits"]
    assert run["name"] == "resnet8 digits fp32 sgd seed 0"
    about = run["config"].pop("record")
    assert run["config"] == record.config
    assert about["data"]["sha256"] == record.data.sha256
    assert about["hardware"] == record.hardware.model_dump(exclude_none=True) | {"driver": None}
    assert {k: v for k, v in run["summary"].items() if k in record.metrics} == record.metrics
    assert run["summary"]["command"] == record.command
    curve = record.curve["val/acc"]
    assert [row["val/acc"] for row in run["history"]] == curve.value
    assert [row["_step"] for row in run["history"]] == curve.step
    assert [row["train/samples"] for row in run["history"]] == curve.samples
    assert [row["time/train_s"] for row in run["history"]] == curve.train_s


def test_boards_are_tables_charts_and_pictures_and_records_are_files(
    publish: Publish, server: Any, tmp_path: Path
) -> None:
    records = [record_of(seed, width) for seed in (0, 1) for width in (4, 8)]
    publish(bundle_of(tmp_path, *records))
    dump = server.standin.dump()
    boards = next(r for r in dump["runs"] if r["id"] == "boards")

    def sent(key: str) -> Any:
        found = boards["files"][boards["summary"][key]["path"]]
        return found.get("json") or found["text"]

    table = sent("board/digits")
    assert table["columns"][:4] == ["on frontier", "model.width", "test/acc", "test/acc low"]
    assert [row[1] for row in table["data"]] == ["4", "8"]
    assert abs(table["data"][0][2] - 0.905) < 1e-12
    assert sorted(table["data"][0][-1].split()) == sorted(r.id for r in records if r.config["model"]["width"] == 4)  # fmt: skip
    assert sent("picture/digits").startswith("<svg")
    chart = boards["config_wandb"]["visualize"]["frontier/digits"]["panel_config"]
    assert chart["fieldSettings"] == {"x": "time/train_s", "y": "test/acc", "stroke": "kind"}
    assert sent("frontier/digits_table")["columns"] == ["row", "time/train_s", "test/acc", "kind"]
    artifact = next(a for a in dump["artifacts"] if a["name"] == "records")
    assert artifact["state"] == "COMMITTED"
    assert {n: json.dumps(f["json"]) for n, f in artifact["files"].items()} == {
        f"{r.id}.json": json.dumps(json.loads(r.to_json())) for r in records
    }


def test_a_second_time_nothing_is_sent(publish: Publish, server: Any, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, record_of(0), record_of(1))
    publish(bundle)
    before, counts = standin.state(server), dict(server.standin.dump()["operations"])
    done = publish(bundle)
    assert set(done.runs.values()) == {"known"}
    assert (done.boards, done.report) == ("known", "known")
    assert standin.state(server) == before
    after = server.standin.dump()["operations"]
    for mutation in ("UpsertBucket", "CreateArtifact", "CommitArtifact", "UpsertView"):
        assert after.get(mutation) == counts.get(mutation)
    assert len(before["reports"]) == 1


def test_only_what_is_new_is_sent_and_the_report_is_brought_up_to_date_in_place(
    publish: Publish, server: Any, tmp_path: Path
) -> None:
    publish(bundle_of(tmp_path, record_of(0)))
    report = server.standin.dump()["views"][0]
    done = publish(bundle_of(tmp_path, record_of(0), record_of(1)))
    assert sorted(done.runs.values()) == ["known", "new"]
    assert done.boards == "changed"
    views = server.standin.dump()["views"]
    assert [v["id"] for v in views] == [report["id"]]
    versions = [a for a in server.standin.dump()["artifacts"] if a["name"] == "records"]
    assert [len(a["files"]) for a in versions] == [1, 2]
    # Published by itself from the start, the end would be the same.
    end = standin.state(server)
    server.standin.reset()
    publish(bundle_of(tmp_path, record_of(0), record_of(1)))
    assert standin.state(server) == end


def test_a_report_that_a_lost_answer_made_twice_is_one_again(
    publish: Publish, server: Any, tmp_path: Path
) -> None:
    bundle = bundle_of(tmp_path, record_of(0))
    publish(bundle)
    first = server.standin.dump()["views"][0]
    twin = {k: first[k] for k in ("description", "name", "type")}
    made = {"entityName": "standin", "projectName": "zoo", "spec": "{}"}
    server.standin.q_upsertView({**twin, **made, "displayName": "Renamed"})
    server.standin.q_upsertView({**made, "displayName": first["title"], "description": "mine"})
    publish(bundle)
    kept = [v for v in server.standin.dump()["views"] if not v["deleted"]]
    assert [v["id"] for v in kept] == [first["id"], kept[1]["id"]]
    assert kept[1]["description"] == "mine"  # of the same title, and not ours


def test_a_run_that_its_training_has_sent_keeps_its_curve(
    publish: Publish, server: Any, tmp_path: Path
) -> None:
    import wandb

    record = record_of(0)
    quiet = wandb.Settings(silent=True, console="off")
    with wandb.init(
        project="zoo", id=record.id, dir=tmp_path, config={"seed": 0}, settings=quiet
    ) as run:
        for step in range(8):
            run.log({"train/loss": 1.0 / (1 + step)}, step=step)
    done = publish(bundle_of(tmp_path, record))
    assert done.runs == {record.id: "changed"}
    found = standin.state(server)["runs"][record.id]
    assert [row["train/loss"] for row in found["history"]] == [1.0 / (1 + s) for s in range(8)]
    assert found["summary"]["test/acc"] == record.metrics["test/acc"]
    assert found["config"]["model"] == record.config["model"]
    assert publish(bundle_of(tmp_path, record)).runs == {record.id: "known"}


def test_a_run_that_was_made_again_is_brought_up_to_date_but_for_its_curve(
    publish: Publish, server: Any, tmp_path: Path
) -> None:
    record = record_of(0)
    publish(bundle_of(tmp_path, record))
    before = standin.state(server)["runs"][record.id]["history"]
    better = record.model_copy(update={"metrics": {**record.metrics, "test/acc": 0.5}})
    assert publish(bundle_of(tmp_path, better)).runs == {record.id: "changed"}
    run = standin.state(server)["runs"][record.id]
    assert run["summary"]["test/acc"] == 0.5
    assert run["history"] == before
    # No request replaces a curve: the earlier one stays, and the notes say so.
    other = Curve(step=[1, 2], samples=[64, 128], train_s=[0.1, 0.2], value=[0.4, 0.6])
    again = better.model_copy(update={"curve": {"val/acc": other}})
    publish(bundle_of(tmp_path, again))
    run = standin.state(server)["runs"][record.id]
    assert run["history"] == before
    assert "of an earlier making" in run["notes"]
    assert publish(bundle_of(tmp_path, again)).runs == {record.id: "known"}


def test_a_curve_that_was_cut_off_is_gone_on_with(
    publish: Publish, server: Any, tmp_path: Path
) -> None:
    record = record_of(0)
    bundle = bundle_of(tmp_path, record)
    publish(bundle)
    end = standin.state(server)
    run = server.standin.runs["standin", "zoo", record.id]
    for line in (3, 4):
        del run.stream["wandb-history.jsonl"][line]
    run.state, run.summary = "running", {}
    assert publish(bundle).runs == {record.id: "changed"}
    assert standin.state(server) == end


def test_the_journal_says_what_is_there(publish: Publish, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, record_of(0))
    publish(bundle)
    path = tmp_path / "publish" / "journal.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["what"] for line in lines] == ["run", "boards", "report"]
    assert lines[0]["sha256"] == bundle.runs[0].digest
    path.write_text(path.read_text()[:-9])  # torn
    publish(bundle)
    assert path.read_text().count("\n") == 4
