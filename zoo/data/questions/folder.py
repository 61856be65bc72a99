"""Your own questions as a set: a file, or a folder whose file names say the split."""

from dataclasses import replace

from zoo.data.corpus import files_by_split
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
    files = files_by_split(folder, [".jsonl"])
    splits: dict[str, list[Question]] = {}
    for split, path in [(split, path) for split, paths in files.items() for path in paths]:
        questions = read_questions(path, key="data.folder: ")
        for q in questions:
            if q.label is None:
                raise UserError(
                    f"data.folder: {path} question {q.id}: has no answer, from which to learn; write one"
                )
        named = [replace(q, id=f"{path.stem}/{q.id}") for q in questions]
        splits.setdefault(split, []).extend(named)
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
