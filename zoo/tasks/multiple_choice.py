"""Multiple choice: which option of a question is right? Or which label, yes, no or maybe?

loss = mean over questions of -log p(right),    p = softmax over a question's scores
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.example import Example
from zoo.predictions import Predicted
from zoo.tasks.base import meta
from zoo.tasks.choice_scores import Answers, measure, padded
from zoo.tasks.meter import Extent, extent_of
from zoo.tasks.sequences import SequenceTask

ASIDE = ("choices", "labels", "rows")  # of a batch what is not for the model
OPTIONS = 4  # of the example by which FLOPs are tried


class MultipleChoiceTask(SequenceTask):
    """Learn to answer questions with options.

    A batch is that of zoo.data.questions.question_data. What is logged: see zoo.tasks.choice_scores.

    Args:
        net: takes a batch but for `ASIDE`; returns `logits`, of all scores, question after question.
        max_length: tokens of the longest prompt with an option.
        layout: choices or pairs.
        labels: what the head tells apart; None: it scores options.
        most_frequent: the label that training has most often.
        shared: see `Task`.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        max_length: int,
        layout: str,
        labels: tuple[str, ...] | None,
        most_frequent: int,
        **shared: Any,
    ) -> None:
        super().__init__(net, max_length=max_length, **shared)
        self.shares_prompts = layout == "choices" and labels is None
        self.most_frequent = most_frequent
        self.answers = nn.ModuleDict({split: Answers() for split in ("val", "test")})
        self.found: dict[str, tuple[Tensor, Tensor, Tensor]] = {}  # of each split's last evaluation

    def scores(self, batch: dict[str, Any]) -> Tensor:
        """Return the scores of all options, or labels, question after question: (R,)."""
        inputs = {key: value for key, value in batch.items() if key not in ASIDE}
        found: Tensor = self.net(**inputs)["logits"].flatten()
        return found

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        scores_BC = padded(self.scores(batch).float(), batch["choices"])
        loss = F.cross_entropy(scores_BC, batch["labels"])
        acc = (scores_BC.detach().argmax(1) == batch["labels"]).float().mean()
        return {"loss": loss, "metrics": {"loss": loss.detach(), "acc": acc}}

    def evaluate(self, batch: dict[str, Any], split: str) -> None:
        self.answers[split](self.scores(batch), batch["choices"], batch["labels"], batch["rows"])

    def publish(self, split: str) -> None:
        answers = self.answers[split]
        assert isinstance(answers, Answers)
        self.found[split] = answers.compute()
        _, labels, scores = self.found[split]
        answers.reset()
        for key, value in measure(scores, labels, self.most_frequent).items():
            # Over the ranks already: their mean is the same number.
            number = torch.tensor(value, dtype=torch.float64, device=self.device)
            self.log(f"{split}/{key}", number, sync_dist=True)

    def predictions(self, split: str, ids: list[str]) -> Predicted | None:
        """Return what was answered in a split's last evaluation.

        Args:
            split: val or test.
            ids: of all of its questions.

        Returns:
            None where it was not evaluated by this process, or a score is no number.
        """
        if split not in self.found or bool(self.found[split][2].isnan().any()):
            return None
        rows, labels, scores = self.found[split]
        kept = [row[row != -torch.inf].tolist() for row in scores]
        return Predicted([ids[row] for row in rows.tolist()], labels.tolist(), kept)

    def count(self, batch: dict[str, Any]) -> tuple[int, int | None]:
        return len(batch["choices"]), sum(batch["lengths"])

    def extent(self, batch: dict[str, Any]) -> Extent:
        if self.shares_prompts:
            return extent_of(batch["lengths"], batch["choices"])
        return extent_of(batch["lengths"], [1] * len(batch["lengths"]))

    def batch_of(self, rows: int, length: int, targets: int) -> dict[str, Any]:
        """Return a batch without padding on the meta device; a row has so many options, or one."""
        inputs: dict[str, Any] = {
            "input_ids": meta(rows, length, dtype=torch.long),
            "lengths": [length] * rows,
        }
        if not self.shares_prompts:
            return {**inputs, "attention_mask": None}
        return {
            **inputs,
            "position_ids": meta(rows, length, dtype=torch.long),
            "branches": meta(rows, length, dtype=torch.long),
            "ends": meta(rows * targets, dtype=torch.long),
        }

    def example(self, samples: int) -> Example:
        return self.batch_of(samples, self.max_length, OPTIONS)
