"""The public sets of medical questions: where their files are, and how a row is read.

| `data.task` | questions | options | context |
|---|---|---|---|
| medqa, medqa_5opt | of the US medical licensing exam (Jin et al. 2020) | 4, 5 | none |
| medmcqa | of Indian entrance exams (Pal et al. 2022) | 4 | none |
| mmlu_medical | six medical subjects of MMLU (Hendrycks et al. 2021) | 4 | none |
| pubmedqa | of titles of abstracts (Jin et al. 2019) | yes, no, maybe | the abstract |
| bioasq | by experts (Krithara et al. 2023) | yes, no | snippets of abstracts |

Files are parquet in the columns of the public sets, under data.root. What a public set has no labels
for, its makers' test split, is not read. Where a set has no validation split one is carved out of the
training questions, of each label its share, the same for every seed. Where it has no training file here,
its validation file is learned from.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from zoo import places
from zoo.data.images import stratified
from zoo.data.questions.question import LETTERS, YES_NO, YES_NO_MAYBE, Question, checked, label_of
from zoo.errors import UserError, first_line

ONE_IN, AT_MOST = (
    10,
    1000,
)  # of the training questions, and of them so many, are the validation split
Row = dict[str, Any]
Splits = dict[str, list[Question]]


@dataclass(frozen=True)
class Hub:
    """Where a set is on the Hugging Face hub.

    Args:
        repository: its name.
        configurations: which of its sets; each is read, and they follow each other.
        splits: the hub's name of each of ours.
    """

    repository: str
    configurations: tuple[str | None, ...]
    splits: dict[str, str]


@dataclass(frozen=True)
class QuestionSet:
    """A public set.

    Args:
        columns: those that are read.
        read: makes a question of a row; its id is what tells rows of a file apart, or empty.
        sizes: questions of the public splits.
        hub: where it is on the hub; None: its makers want a registration.
        labels: the options, where all of its questions have the same; None: each has its own.
    """

    columns: tuple[str, ...]
    read: Callable[[Row], Question]
    sizes: dict[str, int]
    hub: Hub | None
    labels: tuple[str, ...] | None = None


def _medqa(row: Row) -> Question:
    options = row["options"]
    if isinstance(options, list):  # bigbio/med_qa has a list of pairs
        options = {pair["key"]: pair["value"] for pair in options}
    texts = tuple(option for _, option in sorted(options.items()) if option is not None)
    return Question("", row["question"], texts, label=LETTERS.find(str(row["answer_idx"])))


def _medmcqa(row: Row) -> Question:
    options = tuple(row[f"op{letter}"] for letter in "abcd")
    return Question(
        row["id"], row["question"], options, label=row["cop"], subject=row["subject_name"] or ""
    )


def _mmlu(row: Row) -> Question:
    return Question(
        "", row["question"], tuple(row["choices"]), label=row["answer"], subject=row["subject"]
    )


def _pubmedqa(row: Row) -> Question:
    context = " ".join(row["context"]["contexts"])
    label = label_of(row["final_decision"], YES_NO_MAYBE, "final_decision")
    return Question(str(row["pubid"]), row["question"], YES_NO_MAYBE, context, label)


def _bioasq(row: Row) -> Question:
    label = label_of(row["answer"], YES_NO, "answer")
    return Question(str(row["id"]), row["question"], YES_NO, " ".join(row["snippets"]), label)


OF_TWO = {"train": "train", "test": "test"}
OF_THREE = {**OF_TWO, "validation": "validation"}
MEDQA = ("question", "options", "answer_idx")
SUBJECTS = ("anatomy", "clinical_knowledge", "college_biology", "college_medicine",
            "medical_genetics", "professional_medicine")  # fmt: skip
SETS = {
    "medqa": QuestionSet(
        MEDQA, _medqa,
        {"train": 10_178, "test": 1_273},
        Hub("GBaker/MedQA-USMLE-4-options", (None,), OF_TWO),
    ),
    "medqa_5opt": QuestionSet(
        MEDQA, _medqa,
        {"train": 10_178, "validation": 1_272, "test": 1_273},
        Hub("bigbio/med_qa", ("med_qa_en_source",), OF_THREE),
    ),
    "medmcqa": QuestionSet(
        ("id", "question", "opa", "opb", "opc", "opd", "cop", "subject_name"), _medmcqa,
        {"train": 182_822, "test": 4_183},
        Hub("openlifescienceai/medmcqa", (None,), {"train": "train", "test": "validation"}),
    ),
    "mmlu_medical": QuestionSet(
        ("question", "subject", "choices", "answer"), _mmlu,
        {"train": 123, "validation": 30, "test": 1_089},
        Hub("cais/mmlu", SUBJECTS, {"train": "validation", "validation": "dev", "test": "test"}),
    ),
    "pubmedqa": QuestionSet(
        ("pubid", "question", "context", "final_decision"), _pubmedqa,
        {"train": 500, "test": 500},
        Hub("qiaojin/PubMedQA", ("pqa_labeled",), {"train": "train"}),
        YES_NO_MAYBE,
    ),
    "bioasq": QuestionSet(  # the sizes are those of the paper, of BioASQ 7b
        ("id", "question", "snippets", "answer"), _bioasq,
        {"train": 745, "test": 140},
        None,
        YES_NO,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """The questions of a set.

    Attributes:
        splits: train, validation and test.
        subset: those of train and test that are no public split as its makers published it; None where
            there is none.
    """

    splits: Splits
    subset: list[str] | None


def find_questions(
    names: str, *, root: str, cache_dir: str, folder: str | None = None, key: str = "data.task"
) -> Found:
    """Return a set by its name, or several as one: `medmcqa+medqa`.

    Args:
        names: of `SETS`, or `folder`, with plus signs between them.
        root: looked in first.
        cache_dir: what the hub delivers is kept here.
        folder: of the set `folder`: your own questions, see zoo.data.questions.files.
        key: the configuration's key that the name comes from.

    Raises:
        UserError: its files are not there and the hub cannot be reached, or a row is no question.
    """
    from zoo.data.questions.folder import in_folder

    found = [
        Found(_with_validation(in_folder(folder)), None)
        if name == "folder"
        else _public(name, Path(root), cache_dir, key)
        for name in names.split("+")
    ]
    if len(found) == 1:
        return found[0]
    joined = {
        split: [q for part in found for q in part.splits[split]]
        for split in ("train", "validation", "test")
    }
    subsets = [part.subset for part in found if part.subset is not None]
    return Found(joined, sorted({s for part in subsets for s in part}) if subsets else None)


def _public(name: str, root: Path, cache_dir: str, key: str) -> Found:
    about = SETS[name]
    splits = _of_files(name, about, root, key) or _of_the_hub(name, about, root, cache_dir, key)
    if name == "pubmedqa" and "test" not in splits:
        splits = _official_test(splits)
    if "train" not in splits:
        splits["train"] = splits.pop("validation")
    subset = [
        split
        for split in ("train", "test")
        if len(splits[split]) != about.sizes.get(split, len(splits[split]))
    ]
    return Found(_with_validation(splits), subset)


def _with_validation(splits: Splits) -> Splits:
    """Carve a validation split out of the training questions, where there is none."""
    if "validation" in splits:
        return splits
    train = splits["train"]
    count = max(1, min(len(train) // ONE_IN, AT_MOST))
    held_out, rest = stratified(torch.tensor([q.label for q in train]), count)
    return {
        "train": [train[i] for i in rest.tolist()],
        "validation": [train[i] for i in held_out.tolist()],
        "test": splits["test"],
    }


def _official_test(splits: Splits) -> Splits:
    """Part PubMedQA's thousand questions as its makers do, who give the ids of their test split."""
    listed = resources.files("zoo.data.questions").joinpath("pubmedqa_test.txt").read_text()
    test = {f"pubmedqa/{number}" for number in listed.split()}
    return {
        "train": [q for q in splits["train"] if q.id not in test],
        "test": [q for q in splits["train"] if q.id in test],
    }


# -- where it is stored ------------------------------------------------------------------------------


def _of_files(name: str, about: QuestionSet, root: Path, key: str) -> Splits | None:
    paths = places.questions(name, root)
    if paths is None:
        return None
    where = f"{key}={name}: "
    rows = {s: _rows(files, about.columns, where) for s, files in paths.items()}
    splits = {s: _questions(rows[s], name, about, s, f"{where}{paths[s][0].name}") for s in rows}
    derived = [row.get("derived_split") for row in rows["test"]]
    if "train" not in splits and all(derived):
        whole = splits.pop("test")
        for split, own in (("train", "train"), ("test", "eval")):
            splits[split] = [q for q, d in zip(whole, derived, strict=True) if d == own]
    if not splits.keys() & {"train", "validation"}:
        raise UserError(
            f"{where}no {places.QUESTIONS[name].files['train']}.parquet beside {paths['test'][0].name} in data.root={root}; "
            "put it there"
        )
    return splits


def _rows(paths: list[Path], columns: tuple[str, ...], where: str) -> list[Row]:
    import polars as pl

    try:
        table = pl.concat([pl.read_parquet(path) for path in paths])
        extra = [c for c in ("derived_split",) if c in table.columns]
        return table.select(*columns, *extra).to_dicts()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(
            f"{where}{paths[0].name} is no parquet file with the columns {', '.join(columns)} "
            f"({first_line(error)}); download it again"
        ) from None


def _of_the_hub(name: str, about: QuestionSet, root: Path, cache_dir: str, key: str) -> Splits:
    place = places.QUESTIONS[name]
    missing = f"{key}={name}: no biomed_qa/{place.folder}/{place.files['test']}.parquet in data.root={root}"
    if about.hub is None:
        raise UserError(
            f"{missing}, and its makers give it to those who register at bioasq.org; put "
            f"{', '.join(f'{file}.parquet' for file in place.files.values())} with the columns "
            f"{', '.join(about.columns)} there"
        )
    from zoo.data.hub import load_from_hub

    sets = [
        load_from_hub(
            about.hub.repository, cache_dir, configuration=configuration, missing=missing,
            put=str(root / "biomed_qa" / place.folder),
        )
        for configuration in about.hub.configurations
    ]  # fmt: skip

    def rows(split: str) -> Iterator[Row]:
        for one in sets:
            yield from one[split]

    return {
        ours: _questions(rows(theirs), name, about, ours, f"{key}={name}: the hub's {theirs}")
        for ours, theirs in about.hub.splits.items()
    }


def _questions(
    rows: Iterable[Row], name: str, about: QuestionSet, split: str, where: str
) -> list[Question]:
    questions = []
    for number, row in enumerate(rows):
        try:
            question = checked(about.read(row), f"{where}, row {number}")
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{where}, row {number}: is no question of {name} ({first_line(error)}); download it again"
            ) from None
        own = question.id or f"{split}-{number}"
        questions.append(replace(question, id=f"{name}/{own}"))
    if not questions:
        raise UserError(f"{where}: has no rows; download it again")
    return questions
