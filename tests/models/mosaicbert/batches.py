"""Tiny models, and batches of random lengths."""

from typing import Any

import torch
from torch import Tensor

from zoo.models.mosaicbert import MosaicBertConfig, MosaicBertForMaskedLM

WORDS = 61


def config(**options: Any) -> MosaicBertConfig:
    tiny = {
        "vocab_size": WORDS,
        "vocab_multiple": 1,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 32,
        "max_position_embeddings": 40,
        "hidden_dropout_prob": 0.0,
    }
    return MosaicBertConfig(**{**tiny, **options})


def model(seed: int = 0, **options: Any) -> MosaicBertForMaskedLM:
    """Return a model whose every weight is random, biases and norms included."""
    torch.manual_seed(seed)
    made = MosaicBertForMaskedLM(config(**options))
    for p in made.parameters():
        p.data.add_(0.2 * torch.randn_like(p))
    return made


def twin(of: MosaicBertForMaskedLM, **options: Any) -> MosaicBertForMaskedLM:
    """Return a model with the same weights, and other switches."""
    other = MosaicBertForMaskedLM(config(**options))
    other.load_state_dict(of.state_dict())
    return other.train(of.training)


def batch(lengths: list[int], width: int, seed: int = 0) -> dict[str, Tensor]:
    """Return right-padded rows, a third of their words (0 among them) being targets."""
    g = torch.Generator().manual_seed(seed)
    shape = (len(lengths), width)
    ids = torch.randint(0, WORDS, shape, generator=g)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    is_target = (torch.rand(shape, generator=g) < 1 / 3) & mask.bool()
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.randint(0, 2, shape, generator=g),
        "labels": torch.where(is_target, torch.randint(0, WORDS, shape, generator=g), -100),
    }


def gradients(of: torch.nn.Module) -> dict[str, Tensor]:
    found = {k: p.grad.clone() for k, p in of.named_parameters() if p.grad is not None}
    of.zero_grad()
    return found


def run(made: MosaicBertForMaskedLM, inputs: dict[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    """Return output and gradients of a step."""
    output = made(**inputs)
    output.loss.backward()
    return output, gradients(made)


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 2e-6) -> None:
    assert one.keys() == other.keys()
    for name, x in one.items():
        torch.testing.assert_close(
            x, other[name], atol=atol, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
