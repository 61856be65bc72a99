"""Options that reuse their question, against one full pass an option; zoo answer against a plain loop.

Questions of MedMCQA where ZOO_DATA has it, with a tokenizer of 8,192 words trained on PubMed's abstracts.
The weights are new: they decide no time. A full pass is transformers' own model on rows of prompt and
option, padded and masked, with the vocabulary's head on every token; and, stricter than that, the zoo's
model with the head where an option's token is predicted alone. In turns, medians of ratios.
"""

import contextlib
import io
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.answering import Answerer, Settings
from zoo.data.corpus import find_corpus
from zoo.data.questions import Question
from zoo.data.questions.choices import Choices
from zoo.data.questions.prompt import Asked, Form
from zoo.data.questions.sets import find_questions
from zoo.data.tokenizers import TextTokenizer, trained_on
from zoo.models.biomedlm import BioMedLM, configuration
from zoo.trained import Trained

BATCH = 8
CASES = {"mini": (96, 5), "125m": (16, 3)}  # questions, and rounds


def material() -> tuple[list[Question], TextTokenizer] | None:
    """Return MedMCQA's questions and a tokenizer of its field; None without ZOO_DATA."""
    root = os.environ.get("ZOO_DATA", "")
    if not root or not (Path(root) / "biomed_qa").is_dir():
        return None
    cache = str(Path.home() / ".cache" / "zoo")
    where = {"root": root, "cache_dir": os.environ.get("ZOO_CACHE", cache)}
    splits = find_questions("medmcqa", **where).splits
    tokenizer = trained_on(
        find_corpus("pubmed", **where), "bpe", 8192, documents=None, text_bytes=2_000_000,
        cache_dir=where["cache_dir"],
    )  # fmt: skip
    return [*splits["train"], *splits["test"]], tokenizer


def model(size: str, tokenizer: TextTokenizer) -> Trained:
    torch.manual_seed(0)
    end = tokenizer.end_of_text
    assert end is not None
    with contextlib.redirect_stderr(io.StringIO()):
        plain = BioMedLM(configuration(size, tokenizer.vocab_size, end)).plain()
    return Trained(plain, tokenizer, True)


def rows_of_their_own(
    asked: Asked, places: Sequence[int], pad: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, mask and labels (R, S) of a row an option, padded on the right."""
    rows = [(asked.prompts[p], option) for p in places for option in asked.options[p]]
    S = max(len(prompt) + len(option) for prompt, option in rows)
    ids, labels = torch.full((len(rows), S), pad), torch.full((len(rows), S), -100)
    mask = torch.zeros(len(rows), S, dtype=torch.long)
    for r, (prompt, option) in enumerate(rows):
        n = len(prompt) + len(option)
        ids[r, :n] = torch.tensor(prompt + option)
        labels[r, len(prompt) : n] = torch.tensor(option)
        mask[r, :n] = 1
    return ids, mask, labels


def asked_of(prompts: list[list[int]], options: list[list[list[int]]]) -> Asked:
    nothing = np.zeros(len(prompts), dtype=int)
    return Asked(prompts, options, [], nothing, nothing)


def full_passes(net: Any, asked: Asked, places: Sequence[int], pad: int) -> Tensor:
    """Return the mean log-likelihood of each option, as transformers' users write it."""
    ids, mask, labels = rows_of_their_own(asked, places, pad)
    logits = net(ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
    wanted = labels[:, 1:]
    log_p = logits.gather(2, wanted.clamp_min(0)[..., None])[..., 0] * (wanted >= 0)
    return log_p.sum(1) / (wanted >= 0).sum(1)


def lean_passes(net: BioMedLM, asked: Asked, places: Sequence[int], pad: int) -> Tensor:
    """Return the same with the head where it is needed alone, and without a mask."""
    ids, _, labels = rows_of_their_own(asked, places, pad)
    states = net.states(ids, None, None)
    row, place = (labels >= 0).nonzero(as_tuple=True)
    logits = net.lm_head(states[row, place - 1]).log_softmax(-1)
    log_p = logits.gather(1, labels[row, place][:, None])[:, 0]
    sums = torch.zeros(len(ids)).index_add(0, row, log_p)
    return sums / (labels >= 0).sum(1)


def scoring(size: str, questions: list[Question], trained: Trained, rounds: int) -> Iterator[Any]:
    pad = trained.tokenizer.end_of_text
    assert pad is not None
    answerer = Answerer(trained, Settings(batch_size=BATCH))
    asked = answerer.ask(questions, [q.id for q in questions])
    net = BioMedLM.of(trained.model)
    batches = [range(i, min(i + BATCH, len(questions))) for i in range(0, len(questions), BATCH)]

    def shared() -> Tensor:
        found = [one.scores for batch in answerer.answers(questions, asked) for one in batch]
        return torch.tensor(list(itertools.chain.from_iterable(found)))

    sides: dict[str, Callable[[], Tensor]] = {
        "shared": shared,
        "transformers": lambda: torch.cat(
            [full_passes(trained.model, asked, b, pad) for b in batches]
        ),
        "lean": lambda: torch.cat([lean_passes(net, asked, b, pad) for b in batches]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    scores: dict[str, Tensor] = {}
    with torch.inference_mode():
        for number in range(rounds + 1):  # the first is to warm up
            for name, side in sides.items():
                began = time.perf_counter()
                scores[name] = side()
                if number:
                    seconds[name].append(time.perf_counter() - began)
    together = Choices.of(asked, [0] * len(questions)).lengths.sum()
    apart = sum(
        len(p) + len(o) for p, os in zip(asked.prompts, asked.options, strict=True) for o in os
    )
    for name, what, limit in (
        ("transformers", "one full pass an option, transformers", "2.00"),
        ("lean", "one pass an option, head on options alone", ""),
    ):
        ratio = statistics.median(
            t / u for t, u in zip(seconds[name], seconds["shared"], strict=True)
        )
        off = float((scores["shared"] - scores[name]).abs().max())
        yield (
            f"options share their question, {size}, MedMCQA, against {what}",
            f"{ratio:.2f}",
            limit,
            f"{len(questions) / statistics.median(seconds['shared']):.1f} against "
            f"{len(questions) / statistics.median(seconds[name]):.1f} questions/s, {apart / together:.2f} "
            f"times the tokens, scores within {off:.0e}, {rounds} rounds in turns",
        )


def answering(size: str, questions: list[Question], trained: Trained, rounds: int) -> Iterator[Any]:
    """All of the job: reading lines, tokens, scores, and a line of JSON for each answer."""
    pad = trained.tokenizer.end_of_text
    assert pad is not None
    ours, theirs = [], []
    names = [q.id for q in questions]

    def plain_loop(out: Path) -> None:
        with open(out, "w") as file, torch.inference_mode():
            for begin in range(0, len(questions), BATCH):
                batch = questions[begin : begin + BATCH]
                prompts = trained.tokenizer.encode(
                    [f"Question: {q.question}\nAnswer:" for q in batch]
                )
                options = [trained.tokenizer.encode([f" {o}" for o in q.options]) for q in batch]
                asked = asked_of([[pad, *p] for p in prompts], options)
                scores = full_passes(trained.model, asked, range(len(batch)), pad)
                for q, part in zip(
                    batch, scores.split([len(q.options) for q in batch]), strict=True
                ):
                    best = int(part.argmax())
                    row = {"id": q.id, "answer": q.options[best], "scores": part.tolist()}
                    file.write(json.dumps(row) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            began = time.perf_counter()
            plain_loop(Path(folder) / "theirs.jsonl")
            middle = time.perf_counter()
            answerer = Answerer(trained, Settings(form=Form(), batch_size=BATCH))
            list(answerer.into_file(questions, names, Path(folder) / f"ours{number}.jsonl"))
            ended = time.perf_counter()
            if number:
                theirs.append(middle - began)
                ours.append(ended - middle)
    ratio = statistics.median(t / u for t, u in zip(theirs, ours, strict=True))
    yield (
        f"zoo answer --file, {size}, MedMCQA, against a loop of transformers, batches of {BATCH}",
        f"{ratio:.2f}",
        "1.00",
        f"{len(questions) / statistics.median(ours):.1f} against "
        f"{len(questions) / statistics.median(theirs):.1f} questions/s, {rounds} rounds in turns",
    )


def rows() -> Iterator[tuple[str, str, str, str]]:
    found = material()
    if found is None:
        return
    questions, tokenizer = found
    for size, (count, rounds) in CASES.items():
        trained = model(size, tokenizer)
        yield from scoring(size, questions[:count], trained, rounds)
        yield from answering(size, questions[:count], trained, rounds)
