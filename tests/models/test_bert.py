"""BERT in the zoo is transformers' own."""

from pathlib import Path

import pytest
import torch
from torch.optim import SGD
from transformers import BertConfig, BertForMaskedLM

from zoo.build import build
from zoo.config import compose
from zoo.errors import UserError
from zoo.models.bert import masked_lm
from zoo.models.bert_sizes import SIZES
from zoo.optim.schedules import Schedule
from zoo.precision.kinds import KINDS
from zoo.tasks.masked_lm import MaskedLMTask
from zoo.tasks.meter import SequenceMeter, extent_of

DATA = {"vocab_size": 30522, "pad_token_id": 0, "max_length": 128}


def test_it_equals_transformers_to_the_bit() -> None:
    ours = masked_lm("nano", 97, 0, 16).eval()
    theirs = BertForMaskedLM(ours.config).eval()
    theirs.load_state_dict(ours.state_dict())
    ids = torch.randint(0, 97, (3, 16))
    mask = (torch.arange(16) < torch.tensor([16, 9, 4])[:, None]).long()
    labels = torch.where((torch.rand(3, 16) < 0.3) & mask.bool(), ids, -100)
    one = ours(ids, attention_mask=mask, labels=labels, lengths=[16, 9, 4], targets=labels[0])
    two = theirs(ids, attention_mask=mask, labels=labels)
    assert torch.equal(one.loss, two.loss)
    assert torch.equal(one.logits, two.logits)
    one.loss.backward()
    two.loss.backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_flops_are_the_closed_form_with_the_head_on_all_tokens() -> None:
    net, V = masked_lm("nano", 97, 0, 64), 97
    task = MaskedLMTask(
        net, max_length=64, make_optimizer=SGD, schedule=Schedule(), progress=lambda _: 0.0
    )
    meter = task.meter(4, 1, dict.fromkeys(KINDS, 32))
    assert isinstance(meter, SequenceMeter)
    lengths = [64, 50, 33]
    N, pairs, (d, width) = sum(lengths), sum(n * n for n in lengths), (128, 512)
    layers = 2 * (4 * N * d * d + 2 * pairs * d + 2 * N * d * width)
    forward = 2 * (layers + N * (d * d + d * V))
    assert meter.of(extent_of(lengths, [12, 9, 7]))[:2] == (forward, 3 * forward)


@pytest.mark.parametrize(("size", "wanted"), [("base", 109_514_298), ("large", 335_174_458)])
def test_parameter_counts_are_those_of_the_sheet(size: str, wanted: int) -> None:
    with torch.device("meta"):
        assert masked_lm(size, **DATA).num_parameters() == wanted
    theirs = BertConfig()
    if size == "base":
        shape = SIZES[size]
        assert (shape.hidden_size, shape.layers, shape.heads, shape.intermediate_size) == (
            theirs.hidden_size,
            theirs.num_hidden_layers,
            theirs.num_attention_heads,
            theirs.intermediate_size,
        )


@pytest.mark.parametrize("model", ["bert", "mosaicbert"])
def test_the_preset_is_built(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    section = compose([f"model={model}", "model.gradient_checkpointing=true"]).model
    made = build(dict(section), vocab_size=99, pad_token_id=0, max_length=16)
    assert "of size nano: 0." in capsys.readouterr().err
    assert made.config.hidden_size == 128
    loss = made.train()(torch.ones(2, 16, dtype=torch.long), labels=torch.ones(2, 16).long()).loss
    loss.backward()
    assert made.is_gradient_checkpointing


def test_what_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows of 513 tokens: are longer than BERT's table"):
        masked_lm("nano", 97, 0, 513)
    with pytest.raises(UserError, match="rows of 600 tokens: .*; type data.max_length and"):
        masked_lm("nano", 97, 0, 512)(torch.zeros(1, 600, dtype=torch.long))
    with pytest.raises(UserError, match="model.size=huge: no such size; there are base"):
        masked_lm("huge", 97, 0, 16)
    masked_lm("nano", 97, 0, 16).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has a vocabulary of 97 words, and the tokenizer's is 98"):
        masked_lm("nano", 98, 0, 16, checkpoint=str(tmp_path))
    with pytest.raises(UserError, match="model.checkpoint=.*: is not there; type the folder"):
        masked_lm("nano", 97, 0, 16, checkpoint=str(tmp_path / "nowhere" / "here"))
