"""BioMedLM is transformers' GPT2LMHeadModel, by a shorter way on the zoo's batches."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from zoo.build import build
from zoo.config import check, compose
from zoo.errors import UserError
from zoo.models.biomedlm import SIZES, BioMedLM, causal_lm, configuration, load
from zoo.models.biomedlm.documents import FLASH, SDPA

WORDS, END = 97, 96


def make(**options: Any) -> BioMedLM:
    """Return a model of four layers, in which the scores' scale matters."""
    torch.manual_seed(0)
    made = BioMedLM(configuration("nano", WORDS, END, layers=4, **options)).eval()
    with torch.no_grad():
        for block in made.transformer.h:
            block.attn.c_attn.weight.mul_(20)  # attention that is far from uniform
    return made


def theirs_of(ours: BioMedLM) -> GPT2LMHeadModel:
    theirs = GPT2LMHeadModel(GPT2Config(**ours.config.to_dict())).eval()
    theirs.load_state_dict(ours.state_dict())
    return theirs


def batch(lengths: tuple[int, ...] = (12, 7, 3)) -> dict[str, Any]:
    """Return padded rows as the loader makes them; the padding is the end-of-text token."""
    width = max(lengths)
    ids = torch.randint(0, WORDS, (len(lengths), width), generator=torch.manual_seed(1))
    real = torch.arange(width) < torch.tensor(lengths)[:, None]
    ids = ids.masked_fill(~real, END)
    labels = ids.masked_fill(~real, -100)
    labels[:, 0] = -100
    targets = None
    if len(set(lengths)) > 1:
        targets = (labels.flatten() != -100).nonzero().flatten()
    mask = None if targets is None else real.long()
    return {
        "input_ids": ids, "attention_mask": mask, "labels": labels, "lengths": list(lengths),
        "targets": targets, "predicted": [n - 1 for n in lengths], "bytes": 3,
    }  # fmt: skip


@pytest.mark.parametrize("lengths", [(12, 12, 12), (12, 7, 3), (12, 1, 5)])
def test_logits_loss_and_gradients_are_those_of_transformers(lengths: tuple[int, ...]) -> None:
    ours, known = make(), batch(lengths)
    theirs = theirs_of(ours)
    one = ours(**known)
    two = theirs(known["input_ids"], attention_mask=known["attention_mask"], labels=known["labels"])
    wanted = two.logits[:, :-1][known["labels"][:, 1:] != -100]
    torch.testing.assert_close(one.logits, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one.loss, two.loss, rtol=1e-6, atol=0)
    one.loss.backward()
    two.loss.backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (p.grad - q.grad).norm() < 1e-5 * q.grad.norm() + 1e-7


def test_without_a_loaders_batch_it_is_transformers_forward() -> None:
    ours = make()
    ids = batch()["input_ids"]
    one, two = ours(ids, output_hidden_states=True), theirs_of(ours)(ids)
    torch.testing.assert_close(one.logits, two.logits, rtol=1e-5, atol=1e-5)
    assert len(one.hidden_states) == 5


DOCUMENTS = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2], [0] * 6 + [1] * 6])


def inside_documents(known: dict[str, Any]) -> dict[str, Any]:
    places = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5] * 2])
    return {**known, "document_ids": DOCUMENTS, "position_ids": places}


def test_attention_inside_documents_is_that_of_each_document_alone() -> None:
    ours, known = make(), inside_documents(batch((12, 12)))
    theirs = theirs_of(ours)
    found = ours(**known).logits.view(2, 11, WORDS)
    for row, ids in enumerate(known["input_ids"]):
        for document in DOCUMENTS[row].unique():
            own = DOCUMENTS[row] == document
            alone = theirs(ids[own][None]).logits[0]
            got = found[row][own[:-1]]
            torch.testing.assert_close(got, alone[: len(got)], rtol=1e-4, atol=1e-4)


# -- inverse-layer scaling -------------------------------------------------------------------------


def by_hand(scaled: BioMedLM) -> BioMedLM:
    """Return the same function without the switch: queries of layer l divided by l + 1."""
    made = make(scale_attn_by_inverse_layer_idx=False)
    made.load_state_dict(scaled.state_dict())
    with torch.no_grad():
        for layer, block in enumerate(made.transformer.h):
            block.attn.c_attn.weight[:, :128] /= layer + 1
            block.attn.c_attn.bias[:128] /= layer + 1
    return made


def flash(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, softmax_scale: float,
    is_causal: bool, dropout: float, cu_seq_lens_q: Tensor | None = None, **known: Any,
) -> Tensor:  # fmt: skip
    """Compute what flash-attn's kernel does, (B, S, H, D), by its arguments' documentation."""
    assert is_causal
    assert dropout == 0
    edges = [0, q.shape[1]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    if cu_seq_lens_q is not None:
        assert known["max_length_q"] == max(b - a for a, b in itertools.pairwise(edges))
    outs = []
    for a, b in itertools.pairwise(edges):
        one = (x[:, a:b].transpose(1, 2) for x in (q, k, v))
        out = F.scaled_dot_product_attention(*one, is_causal=True, scale=softmax_scale)
        outs.append(out.transpose(1, 2))
    return torch.cat(outs, 1)


@pytest.mark.parametrize("path", [SDPA, "sdpa", "eager", "flash", "checkpointing"])
@pytest.mark.parametrize("documents", [False, True])
def test_inverse_layer_scaling_is_in_every_path(
    path: str, documents: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.integrations.flash_attention._flash_attention_forward", flash)
    # On a GPU the words are in 16 bits, and there is nothing to be cast.
    cast = "transformers.integrations.flash_attention.get_target_dtype"
    monkeypatch.setattr(cast, lambda query, module: None)
    known = batch((12, 12))
    known = inside_documents(known) if documents else known
    ours = make()
    wanted, without = by_hand(ours)(**known).logits, make(scale_attn_by_inverse_layer_idx=False)
    assert (wanted - without(**known).logits).abs().max() > 0.05
    if path == "checkpointing":
        for module in ours.modules():
            module.p = 0.0  # of dropout: it must be in training to compute twice
        ours.gradient_checkpointing_enable({"use_reentrant": False})
        ours.train()
    else:
        ours.config._attn_implementation = FLASH if path == "flash" else path
    found = ours(**known).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_computing_activations_again_changes_no_gradient() -> None:
    grads = []
    for again in (False, True):
        torch.manual_seed(0)
        made = causal_lm("nano", WORDS, END, 12, 2, True, 0.0, 0.0, gradient_checkpointing=again)
        made.train()(**batch()).loss.backward()
        grads.append([p.grad for p in made.parameters()])
        assert made.is_gradient_checkpointing == again
    for p, q in zip(*grads, strict=True):
        assert torch.equal(p, q)


# -- sizes and weights -----------------------------------------------------------------------------

# The sheet has the exact count of the paper's; of the others three or four digits.
COUNTS = {
    "125m": 108_034_560,
    "1b": 1_269_878_784,
    "2.7b": 2_594_247_680,
    "5b": 4_955_676_672,
    "7b": 6_566_715_392,
}


@pytest.mark.parametrize("size", SIZES)
def test_parameters_are_counted(size: str) -> None:
    with torch.device("meta"):
        made = causal_lm(size, 28_896, 28_895, 1024)
    d, layers = SIZES[size].hidden_size, SIZES[size].layers
    closed_form = (28_896 + 1024) * d + layers * (12 * d * d + 13 * d) + 2 * d
    assert made.num_parameters() == closed_form == COUNTS.get(size, closed_form)
    assert made.lm_head.weight is made.transformer.wte.weight
    config = made.config
    assert config.eos_token_id == config.bos_token_id == 28_895
    assert config.n_embd % config.n_head == 0


def test_weights_begin_as_gpt2s() -> None:
    made = BioMedLM(configuration("nano", WORDS, END, layers=8))
    block = made.requires_grad_(False).transformer.h[3]
    for inner in (block.attn, block.mlp):  # what adds to the residual stream
        assert inner.c_proj.weight.std() == pytest.approx(0.02 / math.sqrt(16), rel=0.05)
    assert block.attn.c_attn.weight.std() == pytest.approx(0.02, rel=0.05)
    assert made.transformer.wte.weight.std() == pytest.approx(0.02, rel=0.05)


def test_the_preset_is_the_papers_and_brings_text(capsys: pytest.CaptureFixture[str]) -> None:
    settings = check(compose(["model=biomedlm", "model.size=2.7b"]))
    assert settings["data"]["objective"] == "causal"
    assert settings["trainer"]["gradient_clip"] == 1
    assert settings["scheduler"]["floor"] == 0.1
    assert settings["optimizer"]["name"] == "decoupled_adamw"
    with torch.device("meta"):
        made = build(settings["model"], vocab_size=28_896, pad_token_id=28_895, max_length=1024)
    assert capsys.readouterr().err == "BioMedLM of size 2.7b: 2594.2M parameters\n"
    found, default = made.config.to_dict(), GPT2Config().to_dict()
    different = {k: v for k, v in found.items() if v != default.get(k)}
    assert different == {
        "n_embd": 2560, "n_head": 20, "n_layer": 32, "vocab_size": 28_896, "bos_token_id": 28_895,
        "eos_token_id": 28_895, "scale_attn_by_inverse_layer_idx": True, "use_cache": False,
        **{k: found[k] for k in ("attn_implementation",) if k in different},
    }  # fmt: skip
    assert (found["attn_pdrop"], found["embd_pdrop"], found["resid_pdrop"]) == (0.1, 0.1, 0.1)
    assert found["activation_function"] == "gelu_new"


# -- checkpoints -----------------------------------------------------------------------------------


def test_a_published_model_loads_in_transformers_and_theirs_loads_here(tmp_path: Path) -> None:
    ours, ids = make(), batch()["input_ids"]
    ours.plain().save_pretrained(tmp_path / "ours")
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path / "ours").eval()
    torch.testing.assert_close(theirs(ids).logits, ours(ids).logits, rtol=1e-5, atol=1e-5)
    assert theirs.config.architectures == ["GPT2LMHeadModel"]
    assert theirs.config.pad_token_id == END  # as published
    assert theirs.config.scale_attn_by_inverse_layer_idx

    torch.manual_seed(3)
    other = GPT2LMHeadModel(configuration("nano", WORDS, END)).half()
    other.save_pretrained(tmp_path / "theirs")
    again = causal_lm("ignored", WORDS, END, 16, checkpoint=str(tmp_path / "theirs")).eval()
    assert again.dtype == torch.float32
    torch.testing.assert_close(again(ids).logits, other.float().eval()(ids).logits)
    assert again.config.pad_token_id is None
    assert again.transformer.drop.p == 0.1


def test_what_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model.size=3b: no such size; did you mean"):
        causal_lm("3b", WORDS, END, 16)
    with pytest.raises(UserError, match=r"data.max_length=1025: is longer than .* 1024; type"):
        causal_lm("nano", WORDS, END, 1025)
    with pytest.raises(UserError, match=r"data.max_length=1030: is longer"):
        make()(torch.zeros(1, 1030, dtype=torch.long))
    with pytest.raises(UserError, match=r"attention_kernel=flex: BioMedLM has none such; type"):
        causal_lm("nano", WORDS, END, 16, attention_kernel="flex")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="attention_kernel=flash: wants a GPU and flash-attn"):
            causal_lm("nano", WORDS, END, 16, attention_kernel="flash")
    make().plain().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has a vocabulary of 97 words, and the tokenizer's is 98"):
        causal_lm("nano", 98, END, 16, checkpoint=str(tmp_path))
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"n_layer": 4', '"n_layer": 5'))
    with pytest.raises(UserError, match=r"lacks transformer.h.4.\S+ and 11 more weights; type"):
        load(str(tmp_path))
    (tmp_path / "config.json").write_text(config.replace('"gpt2"', '"bert"'))
    with pytest.raises(UserError, match="is of bert, and BioMedLM takes gpt2; type"):
        load(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="its config.json cannot be read"):
        load(str(tmp_path))


def test_it_is_cut_into_stages() -> None:
    from zoo.delay import pipeline_stages

    with torch.device("meta"):
        made = causal_lm("nano", WORDS, END, 12, attention_dropout=0.0, hidden_dropout=0.0)
        known = {**batch((12, 12)), "bytes": 0}
    cut = pipeline_stages(made, known)
    names = [name for stage in cut for name in stage.parameters]
    assert sorted(names) == sorted(name for name, _ in made.named_parameters())
    # The embeddings, which are also the head, come first and are the latest.
    assert "transformer.wte.weight" in cut[0].parameters
    assert cut[0].delay == 2 * (len(cut) - 1) > 30
