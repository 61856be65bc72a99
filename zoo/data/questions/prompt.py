"""How a question is put to a model, and what is cut where it is too long.

| `data.format` | order |
|---|---|
| context_first | context, question: who reads from left to right has the question last (the paper) |
| question_first | question, context |
| plain | context, question, with nothing at all between them (the official code) |

| `data.markers` | before context, question and answer |
|---|---|
| tokens | [Context] [Question] [Answer], three added tokens of the vocabulary (the paper) |
| words | Context: ..., Question: ..., Answer:, a line each: what an untuned model has seen before |
| none | a line break between, nothing before the answer |

An option follows the prompt behind a space. A prompt that is too long for its longest option is cut:

| `data.truncation` | what goes |
|---|---|
| keep_question | the end of the context; where none is left the begin of the question, whose end asks |
| left | the begin of the whole prompt, markers and all |
| right | its end, the question of a context-first prompt among it (the official code) |
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np

from zoo.data.questions.question import LETTERS, Question
from zoo.data.tokenizers import TextTokenizer
from zoo.errors import UserError

Format = Literal["context_first", "question_first", "plain"]
Markers = Literal["tokens", "words", "none"]
Truncation = Literal["keep_question", "left", "right"]

MARKERS = {"context": "[Context]", "question": "[Question]", "answer": "[Answer]"}
WORDS = {"context": "Context:", "question": "Question:", "answer": "Answer:"}


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a question is written.

    Attributes:
        format: in which order.
        markers: what stands before the parts.
        truncation: what goes of a prompt that is too long.
        max_length: tokens of a prompt and its longest option together, at most.
        end_of_text: an end-of-text token first, as before the documents of pretraining.
        letters: list the options with their letters in the prompt; the letter is the answer.
    """

    format: Format = "context_first"
    markers: Markers = "words"
    truncation: Truncation = "keep_question"
    max_length: int = 512
    end_of_text: bool = True
    letters: bool = False

    def without_end_of_text(self, taken: int) -> "Form":
        """Return the form of a prompt around which an encoder has so many tokens of its own."""
        return replace(self, end_of_text=False, max_length=self.max_length - taken)


@dataclass(frozen=True)
class Asked:
    """Questions as tokens.

    Attributes:
        prompts: of each question, cut to their place.
        options: of each question those of its options, or of their letters.
        option_bytes: UTF-8 bytes of the options' text, likewise.
        cut: tokens of each prompt that went: (N,).
        whole: tokens of each prompt before: (N,).
    """

    prompts: list[list[int]]
    options: list[list[list[int]]]
    option_bytes: list[list[int]]
    cut: np.ndarray
    whole: np.ndarray

    def __len__(self) -> int:
        return len(self.prompts)


def add_markers(tokenizer: TextTokenizer) -> TextTokenizer:
    """Return a tokenizer that has the markers among its special tokens, each as one."""
    return tokenizer.with_special(list(MARKERS.values()))


def ask(
    questions: Sequence[Question],
    tokenizer: TextTokenizer,
    form: Form,
    names: Sequence[str] | None = None,
    *,
    with_options: bool = True,
) -> Asked:
    """Write questions as tokens.

    Args:
        questions: any number.
        tokenizer: of the model; has the markers where the form wants tokens.
        form: how.
        names: what the questions are called in a sentence; None: by their ids.
        with_options: else prompts alone, for a head that knows the labels.

    Raises:
        UserError: the options of a question leave no room for its prompt.
    """
    option_texts = [_options(q, form) if with_options else [] for q in questions]
    flat = list(chain.from_iterable(option_texts))
    tokens = iter(tokenizer.encode(flat))
    options = [[next(tokens) for _ in texts] for texts in option_texts]
    begin = [tokenizer.end_of_text] if form.end_of_text else []
    prompts, cut, whole = [], [], []
    for place, parts in enumerate(_parts(questions, tokenizer, form)):
        room = form.max_length - len(begin) - max(map(len, options[place]), default=0)
        kept = _kept(parts, room, form.truncation)
        if kept is None:
            name = names[place] if names else f"question {questions[place].id}"
            raise UserError(
                f"{name}: its options and what stands around a question leave no room for it within "
                f"{form.max_length} tokens; type a larger data.max_length, or leave it out"
            )
        length = sum(len(part.ids) for part in parts)
        whole.append(length)
        cut.append(length - len(kept))
        prompts.append([*begin, *kept])
    sizes = [[len(text.encode()) for text in texts] for texts in option_texts]
    return Asked(prompts, options, sizes, np.array(cut), np.array(whole))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a prompt: the context, the question, or what is fixed around them."""

    kind: Literal["context", "question", "fixed"]
    ids: list[int]


def _options(question: Question, form: Form) -> list[str]:
    if form.letters:
        return [f" {letter}" for letter in LETTERS[: len(question.options)]]
    return [f" {option.strip()}" for option in question.options]


def _listed(question: Question) -> str:
    """Return the options with their letters, a line each."""
    pairs = zip(LETTERS, question.options, strict=False)
    return "".join(f"\n{letter}. {option.strip()}" for letter, option in pairs)


def _parts(questions: Sequence[Question], tokenizer: TextTokenizer, form: Form) -> list[list[Part]]:
    """Return the parts of each prompt, in order."""
    space = " " if form.markers == "words" else ""
    contexts = tokenizer.encode([space + q.context.strip() for q in questions])
    texts = tokenizer.encode([space + q.question.strip() for q in questions])
    lists = tokenizer.encode([_listed(q) if form.letters else "" for q in questions])
    fixed = _fixed(tokenizer, form)
    order: list[Literal["context", "question"]] = ["context", "question"]
    if form.format == "question_first":
        order.reverse()
    prompts = []
    for q, context, text, listed in zip(questions, contexts, texts, lists, strict=True):
        ids = {"context": context, "question": text}
        parts: list[Part] = []
        for kind in [kind for kind in order if kind == "question" or q.context.strip()]:
            between = fixed["between"] if parts else []
            parts.append(Part("fixed", [*between, *fixed[kind]]))
            parts.append(Part(kind, ids[kind]))
        parts.append(Part("fixed", [*listed, *fixed["answer"]]))
        prompts.append(parts)
    return prompts


def _fixed(tokenizer: TextTokenizer, form: Form) -> dict[str, list[int]]:
    """Return the tokens that stand before each part, and between two parts."""
    if form.markers == "tokens":
        found = {name: tokenizer.id_of(marker) for name, marker in MARKERS.items()}
        assert None not in found.values(), "the tokenizer was given the markers"
        return {"between": [], **{name: [i] for name, i in found.items() if i is not None}}
    if form.markers == "none":
        line = [] if form.format == "plain" else tokenizer.encode(["\n"])[0]
        return {"between": line, "context": [], "question": [], "answer": []}
    line, *words = tokenizer.encode(
        ["\n", WORDS["context"], WORDS["question"], "\n" + WORDS["answer"]]
    )
    return {"between": line, **dict(zip(MARKERS, words, strict=True))}


def _kept(parts: Sequence[Part], room: int, truncation: Truncation) -> list[int] | None:
    """Return the tokens that stay of a prompt; None where nothing of the question would."""
    ids = [i for part in parts for i in part.ids]
    over = len(ids) - room
    if over <= 0:
        return ids
    if room < 1:
        return None
    if truncation == "right":
        return ids[:room]
    if truncation == "left":
        return ids[over:]
    context = sum(len(part.ids) for part in parts if part.kind == "context")
    of_context = min(over, context)
    of_question = over - of_context
    kept: list[int] = []
    for part in parts:
        if part.kind == "context":
            kept += part.ids[: len(part.ids) - of_context]
        elif part.kind == "question":
            if of_question >= len(part.ids):
                return None
            kept += part.ids[of_question:]
        else:
            kept += part.ids
    return kept
