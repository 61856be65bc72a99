"""Which parts of a model are shared out by themselves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from zoo.errors import UserError
from zoo.models import bert
from zoo.models.mosaicbert import builder
from zoo.models.sharding import blocks_of, check_blocks


@pytest.mark.parametrize("build", [bert.masked_lm, builder.masked_lm])
def test_layers_are_blocks_and_tied_embeddings_are_none(build: Callable[..., Any]) -> None:
    with torch.device("meta"):
        net = build("nano", vocab_size=64, pad_token_id=0, max_length=16)
    assert blocks_of(net) == list(net.bert.encoder.layer)


def test_embeddings_that_are_not_tied_are_a_block() -> None:
    with torch.device("meta"):
        net = bert.masked_lm("nano", vocab_size=64, pad_token_id=0, max_length=16)
        net.bert.embeddings.word_embeddings.weight = nn.Parameter(torch.empty(64, 1))
    assert blocks_of(net) == [net.bert.embeddings, *net.bert.encoder.layer]


def test_blocks_of_gpt2() -> None:
    with torch.device("meta"):
        net = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=8, n_layer=3, n_head=2))
    assert blocks_of(net) == list(net.transformer.h)


def test_a_model_without_blocks_is_refused() -> None:
    with pytest.raises(UserError, match=r"model=mlp: has no blocks .* type trainer=ddp, or"):
        check_blocks(nn.Linear(2, 2), "mlp")
