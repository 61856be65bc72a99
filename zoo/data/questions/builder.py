"""Questions as a configuration asks for them; conf/data/questions.yaml says what each argument means."""

from typing import Any

from zoo.data.images import require_at_most
from zoo.data.pairs.pair_data import PairData
from zoo.data.questions.prompt import Form, Format, Markers, Truncation, add_markers
from zoo.data.questions.question import Question, fingerprint
from zoo.data.questions.question_data import Layout, QuestionData
from zoo.data.questions.sets import find_questions
from zoo.data.questions.written import written_answers
from zoo.data.text import chosen_tokenizer
from zoo.data.text_data import evenly
from zoo.data.tokenizers import TextTokenizer, trained
from zoo.errors import UserError
from zoo.processes import say

AUTO = {"choices": "bpe", "pairs": "wordpiece"}  # what `data.tokenizer=auto` means


def questions(
    *,
    task: str,
    root: str,
    cache_dir: str,
    seed: int,
    batch_size: int,
    eval_batch_size: int,
    max_length: int,
    layout: Layout,
    eval_task: str | None = None,
    folder: str | None = None,
    answers: str = "auto",
    format: Format = "context_first",  # noqa: A002 (as it is typed)
    markers: Markers = "words",
    truncation: Truncation = "keep_question",
    end_of_text: bool = True,
    tokenizer: str = "auto",
    vocab_size: int = 4096,
    tokenizer_folder: str | None = None,
    train_samples: int | None = None,
    eval_samples: int | None = None,
    own_tokenizer: TextTokenizer | None = None,
) -> QuestionData | PairData:
    """Return sets of questions as rows of tokens, `own_tokenizer` being the checkpoint's.

    Raises:
        UserError: files are not there or are broken, or the tokenizer does not fit.
    """
    where: dict[str, Any] = {"root": root, "cache_dir": cache_dir, "folder": folder}
    found = find_questions(task, **where)
    splits, subset = dict(found.splits), found.subset
    if eval_task is not None:
        other = find_questions(eval_task, **where, key="data.eval_task")
        splits["test"] = other.splits["test"]
        parts = {"train": subset, "test": other.subset}
        subset = [split for split, of in parts.items() if split in (of or ())]
    count = require_at_most(train_samples, len(splits["train"]), "data.train_samples")
    if count < len(splits["train"]):
        splits["train"] = [splits["train"][i] for i in evenly(len(splits["train"]), count)]
        subset = ["train", *(s for s in subset or () if s != "train")]

    def trained_here(kind: str) -> TextTokenizer:
        texts = [t for q in splits["train"] for t in (q.context, q.question, *q.options) if t]
        key = f"questions {fingerprint(splits['train'])}"
        return trained(kind, lambda: texts, vocab_size, key=key, cache_dir=cache_dir)

    made = chosen_tokenizer(
        tokenizer, own_tokenizer, AUTO[layout], trained_here,
        root=root, cache_dir=cache_dir, folder=tokenizer_folder,
    )  # fmt: skip
    marked = add_markers(made) if markers == "tokens" else made
    form = Form(
        format=format, markers=markers, truncation=truncation, max_length=max_length,
        end_of_text=end_of_text,
    )  # fmt: skip
    name = task if eval_task is None else f"{task}_to_{eval_task}"
    shared: dict[str, Any] = {
        "subset": subset,
        "seed": seed,
        "batch_size": batch_size,
        "eval_batch_size": eval_batch_size,
        "eval_samples": eval_samples,
    }
    if answers == "text":
        return written_answers(name, splits, made, form, **shared)
    data = QuestionData(
        name,
        splits,
        marked,
        form=form,
        layout=layout,
        labels=_labels([q for part in splits.values() for q in part], answers),
        new_words=marked.vocab_size - made.vocab_size,
        **shared,
    )
    said = data.cut()
    if said is not None:
        say(said)
    return data


def _labels(found: list[Question], answers: str) -> tuple[str, ...] | None:
    """Return what a head of labels tells apart; None: each option gets a score.

    Raises:
        UserError: labels are asked for, and the questions have not all the same.
    """
    labels = found[0].options
    if answers == "options":
        return None
    other = next((q for q in found if q.options != labels), None)
    if other is None:
        return labels
    if answers == "auto":
        return None
    raise UserError(
        f"data.answers=labels: question {other.id} has other options ({', '.join(other.options[:4])}) than "
        f"question {found[0].id} ({', '.join(labels[:4])}); type data.answers=options"
    )
