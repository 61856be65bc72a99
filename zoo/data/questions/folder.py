"""Your own questions as a set: a file, or a folder whose file names say the split."""

from dataclasses import replace
from pathlib import Path

from zoo.data.corpus import split_of
from zoo.data.questions.files import read_questions
from zoo.data.questions.question import Question
from zoo.errors import UserError

PARTS = 10  # of one file without a test split: the last tenth is the test


def in_folder(folder: str | None) -> dict[str, list[Question]]:
    """Return the questions of .jsonl files, with labels, by their splits.

    Names that begin or end with train, validation (valid, val, dev) or test say the split; others
    are of train. Where nothing is of test, the last tenth of the training questions is.

    Args:
        folder: as it was typed; or one file.

    Raises:
        UserError: there are none, one has no label, or there are too few.
    """
    if folder is None:
        raise UserError(
            "data.folder=null: data.task=folder reads questions from it; type data.folder=FOLDER"
        )
    place = Path(folder).expanduser()
    paths = [place] if place.is_file() else sorted(place.rglob("*.jsonl"))
    if not paths:
        what = "has no .jsonl file" if place.exists() else "is not there"
        raise UserError(
            f"data.folder={folder}: {what}; type a folder of such files, or one of them"
        )
    splits: dict[str, list[Question]] = {}
    for path in paths:
        questions = read_questions(path, key="data.folder: ")
        for q in questions:
            if q.label is None:
                raise UserError(
                    f"data.folder: {path} question {q.id}: has no answer, from which to learn; write one"
                )
        named = [replace(q, id=f"{path.stem}/{q.id}") for q in questions]
        splits.setdefault(split_of(path.name), []).extend(named)
    train = splits.get("train", [])
    if "test" not in splits:
        count = max(1, len(train) // PARTS)
        splits["train"], splits["test"] = train[:-count], train[-count:]
    least = 1 if "validation" in splits else 2
    if len(splits.get("train", [])) < least:
        raise UserError(
            f"data.folder={folder}: has {sum(map(len, splits.values()))} questions, and training, "
            "validation and test want one each; write more"
        )
    return splits
