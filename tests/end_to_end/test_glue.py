"""`python train.py -m experiment=glue/all`: what fails is named, the rest goes on, and is not run twice."""

from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.glue import write_glue
from zoo.leaderboard import load_records

TYPED = [
    "-m", "experiment=glue/all", "seed=0", "data.max_length=16", "data.vocab_size=300",
    "trainer.max_epochs=null", "trainer.max_steps=2", "logger=none",
    "precision=fp32",  # its bf16 is very slow on processors without instructions for it
]  # fmt: skip


@pytest.mark.xdist_group("glue")
def test_a_failed_task_is_named_and_what_is_done_is_not_run_again(
    run_train: Runner, tmp_path: Path
) -> None:
    root = write_glue(tmp_path / "data")
    for path in (root / "glue").glob("*/*.parquet"):
        if path.parent.name != "cola":
            path.write_bytes(b"torn")
    here = {"ZOO_DATA": str(root), "COLUMNS": "100"}
    first = run_train(*TYPED, **here)
    assert first.returncode != 0
    said = [x for x in first.stderr.splitlines() if x.startswith("sweep: failed: ")]
    assert len(said) == 8
    torn = {x for x in said if "download it again" in x}
    assert {x.split()[2].rstrip(":") for x in torn} == {
        f"experiment=glue/{t}" for t in ("mnli", "qnli", "qqp", "sst2", "wnli")
    }
    # The second round waits for MNLI, and says so.
    for task in ("rte", "mrpc", "stsb"):
        (line,) = (x for x in said if f"experiment=glue/{task}" in x.split()[2])
        assert "it starts from the run of experiment=glue/mnli, which has failed" in line
    (cola,) = load_records(tmp_path / "outputs")
    assert cola.data.name == "cola"
    assert first.stdout.count("GLUE\n") + first.stdout.count("GLUE  ") == 1  # one table
    stamp = (tmp_path / "outputs" / cola.id / "record.json").stat().st_mtime_ns

    write_glue(root, "mnli", "rte")
    second = run_train(*TYPED, **here)
    assert second.returncode != 0
    assert "sweep: 9 runs: 1 done" in second.stderr
    assert (tmp_path / "outputs" / cola.id / "record.json").stat().st_mtime_ns == stamp
    found = {r.data.name: r for r in load_records(tmp_path / "outputs")}
    assert set(found) == {"cola", "mnli", "rte"}
    origin = found["rte"].origin
    assert origin is not None
    assert (origin.run, origin.data, origin.seed) == (found["mnli"].id, "mnli", 0)
    assert (origin.tune, found["rte"].data.subset) == ("full", ["train", "test"])
    assert "experiment=glue/mrpc" in second.stderr  # its data are torn still
