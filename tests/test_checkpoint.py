"""What a run starts from: by content, wherever it lies; what learns; what is kept and handed on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.conftest import UNCOMPILED, train_in
from zoo.checkpoint import opened, pretraining
from zoo.cli import app
from zoo.errors import UserError
from zoo.leaderboard.record import Origin, Record

# On one worker, so that there is one pretraining.
pytestmark = pytest.mark.xdist_group("checkpoint")

Train = Callable[..., Any]
WORDS = [
    "data.max_length=24", "data.vocab_size=300", "data.eval_samples=8", "trainer.max_epochs=null",
    "trainer.max_steps=4", "logger=none",
]  # fmt: skip
SHORT = [
    "trainer.max_epochs=null", "trainer.max_steps=4", "data.max_length=24", "logger=none",
    "optimizer.lr=1e-3", "trainer.log_every_steps=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Record]]:
    """A short pretraining of each encoder: its folder and its record."""
    found = {}
    for model in ("mosaicbert", "bert"):
        folder = tmp_path_factory.mktemp(model)
        record = train_in(folder, f"model={model}", *WORDS)
        found[model] = (folder / record.id, record)
    return found


@pytest.fixture(autouse=True)
def _labels_are_at_hand(glue_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(glue_root))


def tune(train_here: Train, model: str, checkpoint: Path, *overrides: str, **more: Any) -> Record:
    record: Record = train_here(
        f"model={model}_classifier", f"model.checkpoint={checkpoint}", *SHORT, *overrides, **more
    )
    return record


@pytest.mark.parametrize("model", ["mosaicbert", "bert"])
def test_a_run_starts_from_another_by_its_content(
    train_here: Train, pretrained: dict[str, tuple[Path, Record]], model: str, tmp_path: Path
) -> None:
    folder, before = pretrained[model]
    record = tune(train_here, model, folder)
    assert record.status == "finished"
    assert record.origin is not None
    assert record.config["model"]["checkpoint"] == f"sha256:{record.origin.sha256}"
    assert (record.origin.run, record.origin.task) == (before.id, "masked_lm")
    assert record.metrics["pretraining/tokens"] == before.metrics["train/tokens"]
    assert str(folder) not in record.to_json()
    # The same weights elsewhere are the same run; a copy in Hugging Face's format, too.
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved / before.id)
    assert tune(train_here, model, moved / before.id, output="second").id == record.id
    # One weight of the whole is another run.
    path = moved / before.id / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    first = next(k for k in saved["state_dict"] if k.startswith("net.") and "weight" in k)
    saved["state_dict"][first].view(-1)[-1] += 1
    torch.save(saved, path)
    assert opened(str(moved / before.id)).sha256 != record.origin.sha256


def weights(output: Path, record: Record) -> dict[str, torch.Tensor]:
    saved = torch.load(output / record.id / "last.ckpt", weights_only=True)["state_dict"]
    return {k.removeprefix("net."): v for k, v in saved.items() if k.startswith("net.")}


@pytest.mark.parametrize("model", ["mosaicbert", "bert"])
@pytest.mark.parametrize("how", ["full", "frozen", "lora", "scratch"])
def test_what_learns_is_what_was_asked_for(
    train_here: Train,
    pretrained: dict[str, tuple[Path, Record]],
    tmp_path: Path,
    model: str,
    how: str,
) -> None:
    folder, before = pretrained[model]
    record = tune(train_here, model, folder, f"model.tune={how}")
    given = weights(folder.parent, before)
    after = weights(tmp_path / "outputs", record)
    body = [k for k in given if k.startswith("bert.encoder.") and k in after]
    if how == "lora":  # beside each adapter the weight is called base_layer
        after = {k.replace(".base_layer", ""): v for k, v in after.items()}
        body = [k for k in given if k.startswith("bert.encoder.") and k in after]
    assert body
    same = [k for k in body if torch.equal(given[k], after[k])]
    assert len(same) == (
        len(body) if how in ("frozen", "lora") else 0 if how == "full" else len(same)
    )
    if how == "scratch":
        large = [k for k in body if given[k].dim() > 1]
        assert not set(same) & set(large)
        assert "pretraining/tokens" not in record.metrics
    adapters = [k for k in after if "lora_B" in k]
    assert bool(adapters) == (how == "lora")
    assert all(after[k].abs().max() > 0 for k in adapters)  # they begin at 0


@pytest.mark.parametrize("model", ["mosaicbert", "bert"])
@pytest.mark.parametrize("how", ["full", "lora"])
def test_an_export_gives_the_same_logits_in_transformers(
    train_here: Train,
    pretrained: dict[str, tuple[Path, Record]],
    tmp_path: Path,
    model: str,
    how: str,
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    import zoo.models.mosaicbert  # noqa: F401  (registers its classes)

    record = tune(train_here, model, pretrained[model][0], f"model.tune={how}", "data.task=mnli")
    out = tmp_path / "exported"
    place = str(tmp_path / "outputs" / record.id)
    done = CliRunner().invoke(app, ["export", "--checkpoint", place, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["class"] == "AutoModelForSequenceClassification"
    theirs = AutoModelForSequenceClassification.from_pretrained(out).eval()
    assert theirs.config.id2label[2] == "contradiction"
    said = AutoTokenizer.from_pretrained(out)("the dog", "a cat sees it", return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**said)["logits"]
    # A run that starts from the export has the same logits before its first step.
    assert opened(str(out)).source.kind == ("mosaicbert" if model == "mosaicbert" else "bert")
    ours, _ = _as_trained(tmp_path / "outputs" / record.id)
    with torch.no_grad():
        wanted = ours(**said)["logits"]
    torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-5)


def _as_trained(folder: Path) -> tuple[Any, Any]:
    from zoo.trained import load_published

    return load_published(str(folder))


def test_a_second_round_starts_from_the_first_without_its_classes(
    train_here: Train, pretrained: dict[str, tuple[Path, Record]], tmp_path: Path
) -> None:
    folder, before = pretrained["mosaicbert"]
    first = tune(train_here, "mosaicbert", folder, "data.task=mnli")
    second = tune(train_here, "mosaicbert", tmp_path / "outputs" / first.id, "data.task=rte")
    assert second.origin is not None
    assert second.origin.run == first.id
    assert second.origin.origin is not None
    assert second.origin.origin.run == before.id
    assert second.metrics["pretraining/tokens"] == before.metrics["train/tokens"]


def test_tuning_learns_what_there_is_to_learn(
    train_here: Train, pretrained: dict[str, tuple[Path, Record]]
) -> None:
    """The label is told by a word: chance is a half."""
    record = tune(
        train_here,
        "mosaicbert",
        pretrained["mosaicbert"][0],
        "data.task=sst2",
        "trainer.max_steps=40",
    )
    assert record.metrics["test/acc"] > 0.9
    assert record.metrics["test/score"] == record.metrics["test/acc"]
    assert record.data.subset == ["train", "test"]


def test_a_tuning_that_is_killed_goes_on_with_the_same_bits(
    run_train: Any, pretrained: dict[str, tuple[Path, Record]], tmp_path: Path, train_here: Train
) -> None:
    import os
    import signal
    import time

    from tests.processes import Process
    from zoo.leaderboard.store import read_record

    words = [
        "model=mosaicbert_classifier", f"model.checkpoint={pretrained['mosaicbert'][0]}",
        "model.tune=lora", *SHORT, "trainer.max_steps=12", "callbacks.checkpoint.every_steps=2",
    ]  # fmt: skip
    whole = train_here(*words)
    output = tmp_path / "killed"
    environment = {**os.environ, **UNCOMPILED, "ZOO_OUTPUT": str(output)}
    process = Process(["train.py", *words], environment)
    path = output / whole.id / "last.ckpt"
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (output / whole.id / "record.json").exists()
    assert run_train(*words, ZOO_OUTPUT=str(output)).returncode == 0
    again = read_record(output / whole.id / "record.json")
    for key, value in whole.metrics.items():
        if key.startswith(("train/", "val/", "test/")):
            assert again.metrics[key] == value, key


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["model.checkpoint=outputs/none"],
            r"outputs/none: is not there; type the folder of a run",
        ),
        (["model.tune=frozen"], r"model\.tune=frozen: says what becomes of a checkpoint's weights"),
        (
            ["model.lora_rank=4"],
            r"model\.lora_rank=4: is of adapters, and model\.tune=full has none",
        ),
        (["data.tokenizer=bpe"], r"data\.tokenizer"),
        (["data.objective=masked"], r"objective"),
        (["data=text"], r"sentences with labels"),
        (["model=resnet8", "data=glue"], r"model=resnet8: takes images"),
    ],
)
def test_a_mistake_is_one_sentence(train_here: Train, overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        train_here("model=mosaicbert_classifier", *overrides)
    assert "\n" not in str(refused.value)


def test_a_checkpoint_of_another_kind_is_one_sentence(
    train_here: Train, pretrained: dict[str, tuple[Path, Record]], tiny: Record, tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"lacks bert.encoder.* more; is it MosaicBERT's, with these"
    ):
        tune(train_here, "mosaicbert", pretrained["bert"][0])
    with pytest.raises(
        UserError, match=r"its words are not those that model.checkpoint was trained"
    ):
        tune(
            train_here,
            "bert",
            pretrained["bert"][0],
            "data.tokenizer=wordpiece",
            "data.vocab_size=99",
        )
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "record.json").write_text(tiny.to_json())
    (folder / "last.ckpt").write_bytes(b"")
    with pytest.raises(UserError, match=r"is of task=classification, and no model of text is kept"):
        tune(train_here, "bert", folder)
    torn = tmp_path / "torn"
    shutil.copytree(pretrained["bert"][0], torn)
    (torn / "last.ckpt").write_bytes((torn / "last.ckpt").read_bytes()[:2000])
    with pytest.raises(UserError, match=r"its weights cannot be read .* train it again"):
        tune(train_here, "bert", torn)
    flipped = bytearray((pretrained["bert"][0] / "last.ckpt").read_bytes())
    flipped[len(flipped) // 2] ^= 1  # of a weight
    (torn / "last.ckpt").write_bytes(flipped)
    with pytest.raises(UserError, match=r"not those of its sha256\); train it again with force"):
        tune(train_here, "bert", torn)


def test_what_started_from_new_weights_has_no_pretraining_before_them() -> None:
    pretrained = Origin(sha256="ab" * 32, name="a", task="masked_lm", tokens=1000)
    tuned = Origin(sha256="cd" * 32, name="b", tune="full", tokens=10, origin=pretrained)
    scratch = tuned.model_copy(update={"tune": "scratch"})
    assert pretraining(tuned) == {"pretraining/tokens": 1000}
    assert pretraining(scratch) == {"pretraining/tokens": 10}
