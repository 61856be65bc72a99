"""The task of the next token: what its scores are of."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.conftest import train_in
from zoo.build import build
from zoo.config import check, compose
from zoo.models.biomedlm import causal_lm
from zoo.optim import DecoupledAdamW
from zoo.optim.schedules import Constant
from zoo.tasks import CausalLMTask

OPTIONS = ["model=biomedlm", "data.max_length=24", "data.vocab_size=300", "data.eval_batch_size=5"]


def task_and_data(*overrides: str) -> tuple[CausalLMTask, Any]:
    settings = check(compose([*OPTIONS, "data.eval_samples=23", *overrides]))
    data = build(settings["data"], seed=0)
    torch.manual_seed(0)
    net = build(settings["model"], **data.model_arguments()).eval()
    task = CausalLMTask(
        net, max_length=24, make_optimizer=DecoupledAdamW, schedule=Constant(),
        progress=lambda _: 0.0,
    )  # fmt: skip
    return task, data


@pytest.mark.parametrize(
    "overrides",
    [(), ("data.packing=false",), ("data.end_of_text=false",), ("data.within_documents=true",)],
)
def test_bits_per_byte_are_those_of_the_text(overrides: tuple[str, ...]) -> None:
    """Against transformers' logits, token by token, and the text that the tokens decode to."""
    task, data = task_and_data(*overrides)
    plain = task.net.plain()  # type: ignore[operator]
    nats, tokens, text = 0.0, 0, b""
    for batch in data.val_dataloader():
        with torch.no_grad():
            task.evaluate(batch, "val")
        rows = zip(batch["input_ids"], batch["labels"], batch["lengths"], strict=True)
        for row, (ids, labels, length) in enumerate(rows):
            # A row, or with attention inside documents each document of it, by itself.
            inside = batch.get("document_ids", torch.zeros_like(batch["input_ids"]))[row][:length]
            for document in inside.unique():
                own = (inside == document).nonzero().flatten()
                with torch.no_grad():
                    log_p = F.log_softmax(plain(ids[own][None]).logits[0].double(), -1)
                after = own + 1  # the token after a document's last is predicted from it, too
                for place, target in enumerate(after.tolist()):
                    if target < length and labels[target] != -100:
                        word = int(labels[target])
                        nats -= float(log_p[place, word])
                        tokens += 1
                        if word != data.tokenizer.end_of_text:
                            text += b"".join([bytes_of(data.tokenizer, word)])
    found = {k: float(v) for k, v in task.surprises["val"].compute().items()}  # type: ignore[operator]
    assert tokens > 200
    assert found["loss"] == pytest.approx(nats / tokens, rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / len(text), rel=1e-6)


def bytes_of(tokenizer: Any, word: int) -> bytes:
    """Return the bytes of a token by GPT-2's table of letters for bytes."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    assert len(letters) == 256
    token = tokenizer.engine.id_to_token(word)
    assert set(token) <= set(letters)
    return b"?" * len(token)  # one letter, one byte


def test_sums_are_exact_where_32_bits_are_not() -> None:
    from zoo.tasks.causal_lm import Surprise

    surprise = Surprise()
    for _ in range(3):
        surprise.update(torch.tensor(1.0), 2**24 + 1, 2**25 + 1)  # neither is a float32
    found = surprise.compute()
    assert found["loss"] == 1
    assert surprise.tokens == 3 * (2**24 + 1)
    assert float(found["bits_per_byte"]) == pytest.approx(
        (2**24 + 1) / math.log(2) / (2**25 + 1), rel=1e-14
    )


def test_flops_are_those_of_the_model(tmp_path: Path) -> None:
    record = train_in(
        tmp_path, *OPTIONS, "trainer.max_steps=2", "logger=none", "trainer.peak_flops=1e12",
        "data.batch_size=4", "data.eval_samples=8",
    )  # fmt: skip
    m = record.metrics
    net = causal_lm("nano", 300, 299, 24)
    dense = sum(p.numel() for n, p in net.named_parameters() if p.dim() == 2 and "wpe" not in n)
    head = 300 * 128
    # 2 per weight and token, the head without each row's last place; and q k^T and shares v.
    forward = 2 * (24 * (dense - head) + 23 * head) + 2 * 2 * (2 * 24 * 24 * 128)
    assert m["flops/sample_forward"] == forward
    assert m["train/tokens"] == 2 * 4 * 24
    assert m["perf/mfu"] == pytest.approx(m["flops/total"] / m["time/train_s"] / 1e12)
    assert m["model/parameters"] == net.num_parameters()
    assert m["test/bits_per_byte"] > 0
