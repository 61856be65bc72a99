"""MosaicBERT with the zoo's number formats, and cut into pipeline stages."""

import pytest
import torch

from tests.models.mosaicbert.batches import batch, config, model
from zoo.delay import pipeline_stages
from zoo.models.mosaicbert import MosaicBertForMaskedLM
from zoo.precision import FloatFormat, quantize
from zoo.precision.casts import Casts
from zoo.precision.products import RoundProducts

FP169 = FloatFormat(6, 9, subnormals=False)


class Seen(RoundProducts):
    """Notes the operands of every product."""

    def __init__(self) -> None:
        super().__init__(
            Casts(dict.fromkeys(("weights", "activations", "gradients", "weight_gradients"), FP169))
        )
        self.operands: list[torch.Tensor] = []

    def compute(self, func, *args, **kwargs):  # type: ignore[no-untyped-def]
        found = [
            x for x in (*args, *kwargs.values()) if torch.is_tensor(x) and x.is_floating_point()
        ]
        # Of an embedding only the rows that are read are rounded.
        self.operands += [] if "padding_idx" in kwargs else found
        return func(*args, **kwargs)


@pytest.mark.parametrize("switches", [{}, {"alibi": False, "glu": False, "unpad": False}])
def test_ten_steps_in_fp169_round_every_product_and_learn(switches: dict[str, bool]) -> None:
    made = model(**switches, hidden_dropout_prob=0.1)
    optimizer = torch.optim.AdamW(made.parameters(), lr=1e-2)
    inputs = batch([9, 5, 9, 12], 12)
    losses = []
    for _ in range(10):
        mode = Seen()
        with mode:
            loss = made(**inputs).loss
            loss.backward()
        # Wqkv, scores, shares, output and two or three of the feed-forward layer; then the head's.
        assert len(mode.operands) > 2 * 10
        for x in mode.operands:
            assert torch.equal(x, quantize(x.detach(), FP169))
        for name, p in made.named_parameters():
            assert p.grad is not None, name
            assert p.grad.isfinite().all(), name
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


def test_pipeline_stages_are_embedding_layers_and_head() -> None:
    made = MosaicBertForMaskedLM(config())
    inputs = batch([9, 5], 12)
    cut = pipeline_stages(made, inputs)
    held = [name for stage in cut for name in stage.parameters]
    assert sorted(held) == sorted(name for name, _ in made.named_parameters())
    assert len(held) == len(set(held))
    place = {name: stage.number for stage in cut for name in stage.parameters}
    # The decoder is tied to the words: they are in the stage of their first use.
    assert place["bert.embeddings.word_embeddings.weight"] == 1
    order = [
        "bert.embeddings.word_embeddings.weight",
        "bert.embeddings.LayerNorm.weight",
        *(
            f"bert.encoder.layer.{n}.{part}"
            for n in range(2)
            for part in (
                "attention.self.Wqkv.weight",
                "attention.output.dense.weight",
                "attention.output.LayerNorm.weight",
                "mlp.gated_layers.weight",
                "mlp.wo.weight",
                "mlp.layernorm.weight",
            )
        ),
        "cls.predictions.transform.dense.weight",
        "cls.predictions.decoder.bias",
    ]
    numbers = [place[name] for name in order]
    assert numbers == sorted(set(numbers))
    assert cut[-1].layers == ("loss",)
    # However many lengths there are, attention is one stage; labels and lengths change nothing.
    del inputs["attention_mask"]
    inputs |= {"lengths": [12, 12], "targets": torch.tensor([0, 3, 14])}
    assert [s.layers for s in pipeline_stages(made, inputs)] == [s.layers for s in cut]
