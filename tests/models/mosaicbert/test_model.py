"""The model against a slow reading of the sheet, and against itself with its features off."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.mosaicbert import reference
from tests.models.mosaicbert.batches import (
    WORDS,
    assert_same,
    batch,
    config,
    gradients,
    model,
    run,
    twin,
)
from zoo.errors import UserError
from zoo.models.bert_sizes import SIZES
from zoo.models.mosaicbert import MosaicBertForMaskedLM, MosaicBertModel

ROWS = st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any)


@pytest.mark.parametrize("switches", [{}, {"alibi": False}, {"glu": False}, {"unpad": False}])
@pytest.mark.parametrize("holes", [False, True])
def test_logits_loss_and_gradients_are_those_of_the_sheet(
    switches: dict[str, Any], holes: bool
) -> None:
    made = model(**switches).double()
    inputs = batch([9, 4, 12, 9], 12)
    if holes:
        inputs["attention_mask"] = (torch.rand(4, 12) < 0.7).long()
        inputs["labels"][inputs["attention_mask"] == 0] = -100
    weights = {k: v.detach().clone().requires_grad_() for k, v in made.state_dict().items()}
    weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"]
    loss, logits = reference.masked_lm(
        weights,
        inputs["input_ids"],
        inputs["token_type_ids"],
        inputs["attention_mask"],
        inputs["labels"],
        heads=3,
    )
    loss.backward()
    output, found = run(made, inputs)
    torch.testing.assert_close(output.loss.double(), loss, atol=1e-6, rtol=1e-6)
    wanted = {k: w.grad for k, w in weights.items() if k in found}
    assert_same(found, wanted, atol=1e-6)  # the loss is taken in fp32
    with torch.no_grad():
        everything = made(**{k: v for k, v in inputs.items() if k != "labels"}).logits
    for row, expected in enumerate(logits):
        real = inputs["attention_mask"][row].bool()
        torch.testing.assert_close(everything[row][real], expected, atol=1e-6, rtol=1e-6)


@settings(max_examples=25)
@given(ROWS, st.integers(0, 99), st.booleans())
def test_padded_and_unpadded_are_equal(lengths: list[int], seed: int, alibi: bool) -> None:
    made = model(alibi=alibi)
    other = twin(made, alibi=alibi, unpad=False)
    inputs = batch(lengths, 12, seed)
    one, two = run(made, inputs), run(other, inputs)
    torch.testing.assert_close(one[0].loss, two[0].loss, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(one[0].logits, two[0].logits, atol=2e-5, rtol=1e-4)
    assert_same(one[1], two[1], atol=5e-6)
    with torch.no_grad():
        hidden, padded = (
            m.bert(inputs["input_ids"], inputs["attention_mask"]) for m in (made, other)
        )
    torch.testing.assert_close(hidden[0], padded[0], atol=2e-5, rtol=1e-4)
    assert not hidden[0][inputs["attention_mask"] == 0].any()


def test_padded_and_unpadded_are_equal_under_bf16_within_its_rounding() -> None:
    made = model()
    other = twin(made, unpad=False)
    inputs = batch([11, 3, 12, 3, 7], 12)
    exact, exact_gradients = run(made, inputs)
    found = []
    for m in (made, other):
        with torch.autocast("cpu", torch.bfloat16):
            output = m(**inputs)
        output.loss.backward()
        found.append((output.loss, gradients(m)))
    (one, grads), (two, others) = found
    # Losses of bf16 logits (8 bits, of some 2 in size), averaged over the targets.
    torch.testing.assert_close(one, two, atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(one, exact.loss, atol=2e-2, rtol=2e-2)
    for name, x in exact_gradients.items():
        size = x.norm()
        assert (grads[name] - others[name]).norm() < 0.03 * size, name
        assert (grads[name] - x).norm() < 0.06 * size, name


@settings(max_examples=15)
@given(ROWS, st.integers(0, 99))
def test_masked_only_head_is_the_full_head_in_loss_and_gradients(
    lengths: list[int], seed: int
) -> None:
    made = model()
    other = twin(made, masked_only_head=False)
    inputs = batch(lengths, 12, seed)
    (one, grads), (two, others) = run(made, inputs), run(other, inputs)
    torch.testing.assert_close(one.loss, two.loss, atol=2e-6, rtol=1e-5)
    assert_same(grads, others, atol=5e-6)
    targets = inputs["labels"].flatten() != -100
    assert two.logits.shape == (*inputs["labels"].shape, WORDS)
    torch.testing.assert_close(one.logits, two.logits.flatten(0, 1)[targets], atol=2e-5, rtol=1e-4)


def test_word_0_is_a_target() -> None:
    made = model()
    inputs = batch([8, 8], 8)
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[0, 3] = labels[1, 5] = 0
    output = made(**{**inputs, "labels": labels})
    assert output.logits.shape == (2, WORDS)
    wanted = -output.logits.log_softmax(-1)[:, 0].mean()
    torch.testing.assert_close(output.loss, wanted)


@pytest.mark.parametrize("unpad", [True, False])
@pytest.mark.parametrize("masked_only_head", [True, False])
def test_what_the_loader_knows_changes_nothing(unpad: bool, masked_only_head: bool) -> None:
    made = model(unpad=unpad, masked_only_head=masked_only_head)
    inputs = batch([5, 12, 5, 1], 12)
    one = run(made, inputs)
    del inputs["attention_mask"]
    inputs["targets"] = inputs["labels"].flatten().ne(-100).nonzero().flatten()
    two = run(made, {**inputs, "lengths": [5, 12, 5, 1]})
    assert torch.equal(one[0].loss, two[0].loss)
    assert torch.equal(one[0].logits, two[0].logits)
    assert_same(one[1], two[1], atol=0)


@pytest.mark.parametrize("unpad", [True, False])
def test_a_batch_without_a_target_has_no_loss_and_no_gradient(unpad: bool) -> None:
    for masked_only_head in (True, False):
        made = model(unpad=unpad, masked_only_head=masked_only_head)
        inputs = batch([4, 2], 6)
        inputs["labels"].fill_(-100)
        output, found = run(made, inputs)
        assert output.loss == 0
        assert found
        assert not any(g.any() for g in found.values())


@pytest.mark.parametrize("unpad", [True, False])
def test_rows_that_are_padding_alone_give_zeros(unpad: bool) -> None:
    made = model(unpad=unpad)
    inputs = batch([0, 5, 0], 7)
    output, found = run(made, inputs)
    assert output.loss.isfinite()
    assert all(g.isfinite().all() for g in found.values())
    nothing = made.bert(inputs["input_ids"], torch.zeros(3, 7))
    assert not nothing.last_hidden_state.any()
    assert not made.bert(**{k: inputs[k] for k in ("input_ids", "attention_mask")})[0][::2].any()


def test_positions_of_ones_own_are_what_distances_are_taken_between() -> None:
    made = model()
    ids = batch([6], 6)["input_ids"]
    places = torch.tensor([[0, 1, 2, 7, 8, 9]])
    spread = torch.zeros(1, 10, dtype=torch.long)
    spread[0, places[0]] = ids[0]
    mask = torch.zeros(1, 10).index_fill(1, places[0], 1.0)
    one = made.bert(ids, position_ids=places).last_hidden_state
    other = made.bert(spread, mask).last_hidden_state
    torch.testing.assert_close(one, other[:, places[0]], atol=1e-6, rtol=1e-5)
    near = made.bert(ids).last_hidden_state
    assert (one - near).abs().max() > 1e-3


@pytest.mark.parametrize("unpad", [True, False])
def test_hidden_states_and_attentions_on_request(unpad: bool) -> None:
    made = model(unpad=unpad)
    inputs = batch([4, 7, 4], 7)
    output = made(**inputs, output_hidden_states=True, output_attentions=True)
    plain = made(**inputs)
    torch.testing.assert_close(output.loss, plain.loss)
    assert len(output.hidden_states) == 3
    assert all(h.shape == (3, 7, 24) for h in output.hidden_states)
    assert len(output.attentions) == 2
    mask = inputs["attention_mask"].float()
    for shares in output.attentions:
        assert shares.shape == (3, 3, 7, 7)
        torch.testing.assert_close(shares.sum(-1), mask[:, None].expand(3, 3, 7))
        assert not (shares * (1 - mask)[:, None, None]).any()
    encoded = made.bert(inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"])
    torch.testing.assert_close(output.hidden_states[-1], encoded[0], atol=1e-5, rtol=1e-4)
    as_tuple = made(**inputs, return_dict=False)
    assert torch.equal(as_tuple[0], plain.loss)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    made = model(hidden_dropout_prob=0.1).train()
    inputs = batch([5, 9, 9], 9)
    found = []
    for on in (False, True):
        if on:
            made.gradient_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(1)
        found.append(run(made, inputs)[1])
    assert_same(*found, atol=0)


def test_training_goes_on_after_an_evaluation_of_longer_rows() -> None:
    made = model()
    short, long = batch([5, 3], 5), batch([9], 9)
    wanted = run(made, short)[1]
    made = twin(made)
    with torch.inference_mode():
        made(**long)
    assert_same(run(made, short)[1], wanted, atol=1e-7)


def test_a_copy_of_a_model_makes_its_own_bias() -> None:
    made = model()
    inputs = batch([5], 5)
    made(**inputs)
    other = copy.deepcopy(made)
    assert torch.equal(made(**inputs).loss, other(**inputs).loss)
    assert made.bert.encoder.alibi is not other.bert.encoder.alibi


def test_parameter_counts_are_those_of_the_sheet() -> None:
    for size, inner, wanted in (
        ("base", None, 137_400_384),
        ("large", None, 435_221_312),
        ("base", 2048, 109_088_832),
    ):
        shape = SIZES[size]
        with torch.device("meta"):
            made = MosaicBertForMaskedLM(
                config(
                    vocab_size=30522,
                    vocab_multiple=64,
                    hidden_size=shape.hidden_size,
                    num_hidden_layers=shape.layers,
                    num_attention_heads=shape.heads,
                    intermediate_size=inner or shape.intermediate_size,
                )
            )
        assert made.num_parameters() == wanted
        assert made.config.vocab_size == 30528


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_attention_dropout_is_allowed(p: float) -> None:
    made = model(attention_probs_dropout_prob=p).train()
    inputs = batch([8, 8], 8)
    torch.manual_seed(0)
    dropped = [made(**inputs).loss.item() for _ in range(64)]
    assert len(set(dropped)) == 64


def test_asking_for_attentions_does_not_switch_their_dropout_off() -> None:
    made = model(attention_probs_dropout_prob=0.5).train()
    inputs = batch([8, 8], 8)
    torch.manual_seed(0)
    outputs = [made(**inputs, output_attentions=True) for _ in range(2)]
    assert outputs[0].loss.item() != outputs[1].loss.item()
    share = outputs[0].attentions[0]
    assert 0 < (share == 0).float().mean() < 1
    made.eval()
    plain, asked = made(**inputs), made(**inputs, output_attentions=True)
    torch.testing.assert_close(plain.loss, asked.loss)


def closed_form(lengths: list[int], targets: int, d: int, width: int, layers: int, V: int) -> int:
    """Multiply-adds of a forward pass, by hand: 2 FLOPs each."""
    N, pairs = sum(lengths), sum(s * s for s in lengths)
    attention = N * 3 * d * d + 2 * pairs * d
    rest = d * d + 3 * d * width
    return 2 * (
        layers * attention + ((layers - 1) * N + targets) * rest + targets * (d * d + d * V)
    )


def test_flops_on_the_meta_device_are_the_closed_form() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    lengths = [12, 3, 7, 12]
    with torch.device("meta"):
        made = MosaicBertForMaskedLM(config())
        ids = torch.empty(4, 12, dtype=torch.long)
        targets = torch.empty(9, dtype=torch.long)
    with FlopCounterMode(display=False) as ahead:
        output = made(ids, labels=ids, lengths=lengths, targets=targets)
    forward = closed_form(lengths, 9, d=24, width=32, layers=2, V=WORDS)
    assert ahead.get_total_flops() == forward
    with FlopCounterMode(display=False) as back:
        output.loss.backward()
    # Two products for each of the forward pass's; fused attention computes its scores again.
    assert back.get_total_flops() in (
        2 * forward,
        2 * forward + 2 * 2 * 24 * sum(s * s for s in lengths),
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": torch.full((1, 4), WORDS)}, "input_ids: hold 61, and the vocabulary has 61"),
        ({"input_ids": torch.full((1, 4), -1)}, "input_ids: hold -1"),
        ({"input_ids": torch.zeros(1, 41, dtype=torch.long)}, "rows of 41 tokens: are longer than"),
        (
            {"input_ids": torch.zeros(1, 4, dtype=torch.long), "attention_mask": torch.ones(1, 5)},
            r"attention_mask: is \(1, 5\), and the ids are \(1, 4\)",
        ),
        (
            {"input_ids": torch.zeros(2, 4, dtype=torch.long), "labels": torch.ones(2, 3).long()},
            r"labels: is \(2, 3\), and the ids are \(2, 4\)",
        ),
        (
            {"input_ids": torch.zeros(1, 4).long(), "token_type_ids": torch.zeros(1, 3).long()},
            r"token_type_ids: is \(1, 3\)",
        ),
        ({"input_ids": torch.zeros(1, 4, dtype=torch.long), "lengths": [5]}, "lengths: row 0"),
        ({"input_ids": torch.zeros(1, 4, dtype=torch.long), "lengths": [1, 2]}, "lengths: are 2"),
        ({}, "input_ids: give either these or inputs_embeds"),
        (
            {
                "input_ids": torch.zeros(1, 4, dtype=torch.long),
                "lengths": [2],
                "labels": torch.tensor([[-100, -100, 3, -100]]),
            },
            "labels: ask for a word on padding",
        ),
        (
            {"input_ids": torch.zeros(1, 4, dtype=torch.long), "labels": torch.full((1, 4), -1)},
            "labels: hold -1",
        ),
    ],
)
@pytest.mark.parametrize("unpad", [True, False])
def test_bad_input_is_one_sentence(inputs: dict[str, Any], message: str, unpad: bool) -> None:
    with pytest.raises(UserError, match=message):
        model(alibi=False, unpad=unpad)(**inputs)


def test_embedded_words_in_place_of_ids() -> None:
    made = model()
    ids = batch([6, 3], 6)["input_ids"]
    words = made.bert.embeddings.word_embeddings(ids)
    one, other = made.bert(ids), made.bert(inputs_embeds=words)
    assert torch.equal(one.last_hidden_state, other.last_hidden_state)


def test_the_pooler_looks_at_the_first_real_token() -> None:
    torch.manual_seed(0)
    for unpad in (True, False):
        made = MosaicBertModel(config(unpad=unpad))
        ids = torch.randint(0, WORDS, (3, 6))
        mask = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0], [0] * 6])
        output = made(ids, mask)
        first = torch.stack([output[0][0, 0], output[0][1, 2], torch.zeros(24)])
        torch.testing.assert_close(output.pooler_output, made.pooler.dense(first).tanh())
