"""Which option of a question does a model that was tuned to questions take for the answer?

Its head scores each option, or knows some labels (yes, no, maybe), among which the options must be.
How questions are written is as it was in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zoo.answering import Answerer, Settings
from zoo.checkpoint import opened
from zoo.data.questions.prompt import add_markers
from zoo.data.questions.question import Question
from zoo.data.questions.question_data import Layout, QuestionRows
from zoo.errors import UserError
from zoo.example import moved
from zoo.models.pretrained import Pretrained, load_transformers
from zoo.tasks.multiple_choice import ASIDE
from zoo.trained import KEY, Trained, form_of, has_head, load_published, tokenizer_beside


@dataclass(frozen=True)
class Chooser(Trained):
    """A model with a head for questions.

    Attributes:
        layout: choices or pairs.
        labels: what the head tells apart; None: it scores options.
    """

    layout: Layout
    labels: tuple[str, ...] | None


def load_chooser(checkpoint: str) -> Chooser | None:
    """Return the model of a folder; None where it has no head for questions.

    Args:
        checkpoint: as it was typed.

    Raises:
        UserError: there is none, or its head is of another task.
    """
    start = opened(checkpoint, KEY)
    source = start.source
    if not has_head(source):
        return None
    task = start.record.config["task"]["name"] if start.record else "multiple_choice"
    if task != "multiple_choice":
        raise UserError(
            f"{source.said}is of task={task}, and answers no questions; type a run of model=biomedlm, or of "
            "data=questions"
        )
    model = _model(source)
    tokenizer = tokenizer_beside(start, model.config.vocab_size)
    form = form_of(start)
    if form is not None and form.markers == "tokens":
        assert add_markers(tokenizer).vocab_size == tokenizer.vocab_size, "it was saved with them"
    scores_options = source.config["architectures"][0].endswith("ForMultipleChoice")
    labels = tuple(model.config.id2label.values())
    return Chooser(
        model=model,
        tokenizer=tokenizer,
        begins=None,
        layout="choices" if source.kind == "gpt2" else "pairs",
        labels=None if scores_options or labels == ("option",) else labels,
        form=form,
    )


def _model(source: Pretrained) -> Any:
    """Return the class of ours that takes the batches of a loader."""
    if source.kind == "gpt2":
        from transformers import GPT2Config

        from zoo.models.biomedlm.classifier import BioMedLMClassifier
        from zoo.models.biomedlm.documents import SDPA

        config = GPT2Config.from_dict({**source.config, "attn_implementation": SDPA})
        return load_transformers(BioMedLMClassifier, config, source, heads=())[0].eval()
    if source.kind == "bert":
        from transformers import BertConfig

        from zoo.models.bert import BertChooser, BertClassifier

        chooses = source.config["architectures"][0] == "BertForMultipleChoice"
        kind = BertChooser if chooses else BertClassifier
        config = BertConfig.from_dict({**source.config, "attn_implementation": "sdpa"})
        return load_transformers(kind, config, source, heads=())[0].eval()
    return load_published(source.typed)[0]


class HeadAnswerer(Answerer):
    """A model with a head that answers questions.

    Args:
        chooser: the model, and its tokenizer.
        settings: how it is asked; `normalise` is none.
    """

    trained: Chooser

    def __init__(self, chooser: Chooser, settings: Settings) -> None:
        super().__init__(chooser, settings)
        self._places: list[list[int]] = []  # of each question's options, among the head's scores

    def ask(self, questions: Sequence[Question], names: Sequence[str]) -> Any:
        """Return questions as rows; all are checked before the first is answered.

        Raises:
            UserError: see zoo.data.questions.prompt; or an option is none of the head's labels.
        """
        labels = self.trained.labels
        self._places = []
        for question, name in zip(questions, names, strict=True):
            other = [option for option in question.options if option not in (labels or (option,))]
            if labels is not None and other:
                raise UserError(
                    f"{name}: the option {other[0]!r} is none of the labels that the model tells apart; type "
                    f"{', '.join(labels)}"
                )
            places = map(labels.index, question.options) if labels else range(len(question.options))
            self._places.append(list(places))
        return QuestionRows(
            list(questions), self.trained.tokenizer, self.settings.form, self.trained.layout,
            labels, list(names),
        )  # fmt: skip

    def laid_out(self, questions: Sequence[Question], asked: Any) -> Any:
        return asked

    def compute(self, rows: Any, places: np.ndarray) -> list[list[float]]:
        batch = moved(rows.batch(places), str(self.trained.model.device))
        inputs = {key: value for key, value in batch.items() if key not in ASIDE}
        with torch.inference_mode():
            scores = self.trained.model(**inputs)["logits"].flatten().float().cpu()
        found = [part.tolist() for part in torch.split(scores, batch["choices"])]
        return [
            [row[i] for i in self._places[place]]
            for row, place in zip(found, places.tolist(), strict=True)
        ]
