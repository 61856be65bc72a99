"""What a model answered to each question: outputs/ID/predictions.parquet, a row a question.

    split          val or test
    id             of the question
    label          the right option, from 0
    answer         the model's
    right          whether they are the same
    probability    softmax of the scores, of the answer
    scores         one an option

`zoo answer --file` writes the same about questions whose answers are known. So two models are compared
question by question: `zoo mcnemar`. Of data=pairs, a row a pair for which the model was let write:

    split                       test
    id                          of the pair
    source, target              its texts
    written                     the model's
    rouge1, rouge2, rougeL      F of the last two (zoo.callbacks.write_targets)
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zoo.errors import UserError, first_line

if TYPE_CHECKING:
    import polars as pl

FILE = "predictions.parquet"
KEYS = ("rouge1", "rouge2", "rougeL")


class Predictions(Protocol):
    """What is kept of a split."""

    def table(self, split: str) -> "pl.DataFrame":
        """Return the rows of this split."""
        ...


@dataclass(frozen=True)
class Predicted:
    """The scores of a split's questions.

    Attributes:
        ids: of the questions.
        labels: the right options.
        scores: of each question, one an option.
    """

    ids: Sequence[str]
    labels: Sequence[int]
    scores: Sequence[Sequence[float]]

    def table(self, split: str) -> "pl.DataFrame":
        """Return the rows of this split."""
        import numpy as np
        import polars as pl
        from scipy.special import softmax

        answers = [int(np.argmax(row)) for row in self.scores]
        return pl.DataFrame(
            {
                "split": [split] * len(self.ids),
                "id": list(self.ids),
                "label": list(self.labels),
                "answer": answers,
                "right": [a == b for a, b in zip(answers, self.labels, strict=True)],
                "probability": [float(softmax(row).max()) for row in self.scores],
                "scores": [list(row) for row in self.scores],
            }
        )


@dataclass(frozen=True)
class WrittenTexts:
    """What a model wrote to some sources.

    Attributes:
        ids: of the pairs.
        sources: their texts.
        targets: what should be written.
        written: what was.
        scores: of each pair, by `KEYS`.
    """

    ids: Sequence[str]
    sources: Sequence[str]
    targets: Sequence[str]
    written: Sequence[str]
    scores: Sequence[dict[str, float]]

    def table(self, split: str) -> "pl.DataFrame":
        """Return the rows of this split."""
        import polars as pl

        return pl.DataFrame(
            {
                "split": [split] * len(self.ids),
                "id": list(self.ids),
                "source": list(self.sources),
                "target": list(self.targets),
                "written": list(self.written),
                **{key: [score[key] for score in self.scores] for key in KEYS},
            }
        )


def write_predictions(path: Path, splits: Mapping[str, Predictions]) -> None:
    """Store the predictions of some splits at `path`, all of them or nothing."""
    import polars as pl

    from zoo.leaderboard.store import write_atomically

    content = io.BytesIO()
    pl.concat([part.table(split) for split, part in splits.items()]).write_parquet(content)
    write_atomically(path, content.getvalue())


def right_answers(typed: str, output_dir: Path, split: str) -> dict[str, bool]:
    """Return whether each question was answered rightly, by its id.

    Args:
        typed: the id or the folder of a run, its predictions, or what `zoo answer --file` wrote.
        output_dir: where runs leave their folders.
        split: of a run: val or test.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    path = _find(typed, output_dir)
    if path is None:
        raise UserError(
            f"{typed}: has no {FILE}, as runs of task=multiple_choice leave it; type the id of such a run in "
            f"{output_dir}, or a file that zoo answer wrote"
        )
    try:
        found = _of_lines(path) if path.suffix == ".jsonl" else _of_parquet(path, split)
    except Exception as error:  # whatever the damage leads to
        raise UserError(f"{typed}: cannot be read ({first_line(error)}); make it again") from None
    if not found:
        raise UserError(
            f"{typed}: says of no question whether it was answered rightly; type another split, or give the "
            "questions their answers"
        )
    return found


def _find(typed: str, output_dir: Path) -> Path | None:
    place = Path(typed).expanduser()
    for path in (place, place / FILE, output_dir / typed / FILE):
        if path.is_file():
            return path
    return None


def _of_parquet(path: Path, split: str) -> dict[str, bool]:
    import polars as pl

    if "right" not in pl.read_parquet_schema(path):
        return {}  # of what was written
    table = pl.read_parquet(path, columns=["split", "id", "right"])
    rows = table.filter(pl.col("split") == split)
    return dict(zip(rows["id"].to_list(), rows["right"].to_list(), strict=True))


def _of_lines(path: Path) -> dict[str, bool]:
    # splitlines() would also end a line at U+2028, which an answer may have.
    lines = path.read_text(encoding="utf-8").split("\n")[1:]
    rows = [json.loads(line) for line in lines if line]
    return {row["id"]: row["right"] for row in rows if row["right"] is not None}
