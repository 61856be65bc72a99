"""Checkpoints: official names, save and load, Auto classes, and what is new in a head."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from tests.models.mosaicbert.batches import WORDS, batch, config, model
from zoo.errors import UserError
from zoo.models.mosaicbert import (
    MosaicBertConfig,
    MosaicBertForMaskedLM,
    MosaicBertForMultipleChoice,
    MosaicBertForQuestionAnswering,
    MosaicBertForSequenceClassification,
    MosaicBertForTokenClassification,
    MosaicBertModel,
)
from zoo.models.mosaicbert.builder import masked_lm
from zoo.models.mosaicbert.interop import load_pretrained, load_weights

HEADS = {
    AutoModel: MosaicBertModel,
    AutoModelForMaskedLM: MosaicBertForMaskedLM,
    AutoModelForMultipleChoice: MosaicBertForMultipleChoice,
    AutoModelForQuestionAnswering: MosaicBertForQuestionAnswering,
    AutoModelForSequenceClassification: MosaicBertForSequenceClassification,
    AutoModelForTokenClassification: MosaicBertForTokenClassification,
}


def official_shapes(d: int, width: int, layers: int, V: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of mosaicml/mosaic-bert-base, written out of its code."""
    ln = {"weight": (d,), "bias": (d,)}
    names: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (V, d),
        "bert.embeddings.token_type_embeddings.weight": (2, d),
        **{f"bert.embeddings.LayerNorm.{k}": s for k, s in ln.items()},
        "cls.predictions.transform.dense.weight": (d, d),
        "cls.predictions.transform.dense.bias": (d,),
        **{f"cls.predictions.transform.LayerNorm.{k}": s for k, s in ln.items()},
        "cls.predictions.decoder.weight": (V, d),
        "cls.predictions.decoder.bias": (V,),
    }
    for n in range(layers):
        at = f"bert.encoder.layer.{n}"
        names |= {
            f"{at}.attention.self.Wqkv.weight": (3 * d, d),
            f"{at}.attention.self.Wqkv.bias": (3 * d,),
            f"{at}.attention.output.dense.weight": (d, d),
            f"{at}.attention.output.dense.bias": (d,),
            **{f"{at}.attention.output.LayerNorm.{k}": s for k, s in ln.items()},
            f"{at}.mlp.gated_layers.weight": (2 * width, d),
            f"{at}.mlp.wo.weight": (d, width),
            f"{at}.mlp.wo.bias": (d,),
            **{f"{at}.mlp.layernorm.{k}": s for k, s in ln.items()},
        }
    return names


def official_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    state = {k: torch.randn(s) for k, s in official_shapes(24, 32, 2, WORDS).items()}
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    return state


def test_official_names_leave_nothing_missing_and_nothing_unexpected() -> None:
    made = model()
    assert {k: tuple(v.shape) for k, v in made.state_dict().items()} == official_shapes(
        24, 32, 2, WORDS
    )
    state = official_state()
    loaded = made.load_state_dict(state, strict=True)
    assert not loaded.missing_keys
    assert not loaded.unexpected_keys
    assert made.cls.predictions.decoder.weight is made.bert.embeddings.word_embeddings.weight
    base = {k: tuple(v.shape) for k, v in _on_meta(MosaicBertConfig()).state_dict().items()}
    assert base == official_shapes(768, 3072, 12, 30528)


def _on_meta(of: MosaicBertConfig) -> MosaicBertForMaskedLM:
    with torch.device("meta"):
        return MosaicBertForMaskedLM(of)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A folder as the official repository's: BERT's configuration, pickled weights."""
    told = config().to_dict()
    for ours in ("alibi", "glu", "unpad", "masked_only_head", "low_precision_layernorm"):
        del told[ours]
    told |= {"model_type": "bert", "architectures": ["BertForMaskedLM"], "alibi_starting_size": 512}
    (tmp_path / "config.json").write_text(json.dumps(told))
    torch.save(official_state(), tmp_path / "pytorch_model.bin")
    return tmp_path


def test_an_official_folder_loads(official: Path) -> None:
    made, report = load_pretrained(MosaicBertForMaskedLM, str(official))
    for key, x in official_state().items():
        assert torch.equal(made.state_dict()[key], x), key
    assert report.endswith("all weights of MosaicBertForMaskedLM are from it")


def test_composers_checkpoints_load_by_name() -> None:
    state = {"state": {"model": {f"model.{k}": v for k, v in official_state().items()}}}
    made = model()
    assert load_weights(made, state, "it") == []
    state = official_state()
    assert torch.equal(made.state_dict()["bert.encoder.layer.1.mlp.wo.weight"],
                       state["bert.encoder.layer.1.mlp.wo.weight"])  # fmt: skip


def test_a_fine_tuned_encoder_says_exactly_what_is_new(tmp_path: Path) -> None:
    trained = model()
    trained.save_pretrained(tmp_path)
    made, report = load_pretrained(MosaicBertForSequenceClassification, str(tmp_path), num_labels=3)
    assert report == (
        f"{tmp_path}: new in MosaicBertForSequenceClassification, and not trained: "
        "bert.pooler.dense.weight, bert.pooler.dense.bias, classifier.weight, classifier.bias"
    )
    assert "\n" not in report
    assert made.classifier.weight.shape == (3, 24)
    body = trained.bert.state_dict()
    for key, x in body.items():
        assert torch.equal(made.bert.state_dict()[key], x), key
    _, report = load_pretrained(MosaicBertForTokenClassification, str(tmp_path))
    assert report.endswith("not trained: classifier.weight, classifier.bias")
    encoder, report = load_pretrained(MosaicBertModel, str(tmp_path))
    assert report.endswith("not trained: pooler.dense.weight, pooler.dense.bias")
    assert torch.equal(encoder.state_dict()["embeddings.LayerNorm.weight"],
                       body["embeddings.LayerNorm.weight"])  # fmt: skip


def test_hugging_faces_own_loading_names_the_same_weights(tmp_path: Path) -> None:
    model().save_pretrained(tmp_path)
    _, info = MosaicBertForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert set(info["missing_keys"]) == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }


@pytest.mark.parametrize("auto", HEADS)
def test_save_load_and_auto_classes(auto: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    made = HEADS[auto](config(unpad=False, num_labels=3)).eval()
    made.save_pretrained(tmp_path)
    again = auto.from_pretrained(tmp_path).eval()
    assert type(again) is HEADS[auto]
    assert AutoConfig.from_pretrained(tmp_path).unpad is False
    assert again.config.to_diff_dict() == made.config.to_diff_dict()
    ids = batch([6, 4], 6)["input_ids"]
    if auto is AutoModelForMultipleChoice:
        ids = ids[None]
    one, two = made(ids), again(ids)
    for key, x in one.items():
        assert torch.equal(x, two[key]), key
    state = made.state_dict()
    assert all(torch.equal(x, state[k]) for k, x in again.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 70}, "has a vocabulary of 61 words, and the tokenizer's is 70"),
        ({"alibi": False}, "lacks bert.embeddings.position_embeddings.weight"),
        ({"glu": False}, "lacks bert.encoder.layer.0.mlp.wi.weight and 3 more"),
        ({"hidden_size": 12}, r"is \(.*\) there and \(.*\) here"),
        ({"num_hidden_layers": 1}, "holds, and the model has not, bert.encoder.layer.1."),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_sentence(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=message):
        load_pretrained(MosaicBertForMaskedLM, str(tmp_path), **options)


def test_a_checkpoint_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    def offline(*arguments: Any, **options: Any) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UserError, match=r"model.checkpoint=nowhere: .*type the folder"):
        load_pretrained(MosaicBertForMaskedLM, "nowhere")
    (tmp_path / "config.json").write_text('{"model_type": "mosaicbert"}')
    with pytest.raises(UserError, match=r"holds no weights; put model.safetensors"):
        load_pretrained(MosaicBertForMaskedLM, str(tmp_path))


def test_the_builder_starts_from_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = model()
    trained.save_pretrained(tmp_path)
    made = masked_lm("base", WORDS, 0, 16, vocab_multiple=1, checkpoint=str(tmp_path), unpad=False)
    assert "all weights of MosaicBertForMaskedLM are from it" in capsys.readouterr().err
    assert made.config.hidden_size == 24
    assert made.config.unpad is False
    for key, x in trained.state_dict().items():
        assert torch.equal(made.state_dict()[key], x), key
