"""Where the files of each public data set lie under data.root, without importing torch.

The loaders in zoo.data look here, and so does `zoo doctor`: what one finds, the other does.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CIFAR = ("cifar10", "cifar100")

# The public splits of each task of GLUE that are used: train, and what is reported as test.
_GLUE = ("train", "validation")
GLUE = {
    "cola": _GLUE,
    "sst2": _GLUE,
    "mrpc": _GLUE,
    "stsb": _GLUE,
    "qqp": _GLUE,
    "mnli": ("train", "validation_matched", "validation_mismatched"),
    "qnli": _GLUE,
    "rte": _GLUE,
    "wnli": _GLUE,
}


@dataclass(frozen=True)
class Questions:
    """Where a set of questions is.

    Args:
        folder: under data.root/biomed_qa and data.root.
        files: the name of each split's file, without its ending.
    """

    folder: str
    files: dict[str, str]


_OF_TWO = {"train": "train", "test": "test"}
_OF_THREE = {**_OF_TWO, "validation": "validation"}
QUESTIONS = {
    "medqa": Questions("medqa", _OF_THREE),
    "medqa_5opt": Questions("medqa", {split: f"{file}_5opt" for split, file in _OF_THREE.items()}),
    # The labels of its test split are kept by its makers.
    "medmcqa": Questions("medmcqa", {"train": "train", "test": "validation"}),
    # It has no training set: what there is beside the test is learned from.
    "mmlu_medical": Questions(
        "mmlu_medical", {"train": "validation", "validation": "dev", "test": "test"}
    ),
    "pubmedqa": Questions("pubmedqa", _OF_TWO),
    "bioasq": Questions("bioasq_yesno", _OF_TWO),
}


@dataclass(frozen=True)
class OnDisk:
    """Where the files of a corpus are, under data.root and on the hub.

    Args:
        folder: under data.root.
        files: the name of each split's file, without .gz.
        repository: on the hub, with the configuration and the hub's name of each split.
    """

    folder: str
    files: dict[str, str]
    repository: str
    configuration: str | None
    hub_splits: dict[str, str]


_TRAIN_ONLY = {"train": "train"}
_SPLITS = ("train", "validation", "test")
CORPORA = {
    "c4": OnDisk(
        "text/c4",
        {"train": "train.jsonl", "validation": "validation.jsonl"},
        "allenai/c4",
        "en",
        {"train": "train", "validation": "validation"},
    ),
    "web": OnDisk(
        "text/general",
        {"train": "web_train.jsonl", "validation": "web_validation.jsonl"},
        "Skylion007/openwebtext",
        None,
        _TRAIN_ONLY,
    ),
    "wikitext2": OnDisk(
        "text/wikitext2",
        {s: f"{s}.jsonl" for s in _SPLITS},
        "Salesforce/wikitext",
        "wikitext-2-v1",
        {s: s for s in _SPLITS},
    ),
    "pubmed": OnDisk(
        "biomed_text",
        {"train": "pubmed_abstracts_train.jsonl", "validation": "pubmed_abstracts_validation.jsonl"},
        "casinca/PUBMED_title_abstracts_2019_baseline",
        None,
        _TRAIN_ONLY,
    ),
    "pmc": OnDisk(
        "biomed_text", {"train": "pmc_fulltext.jsonl"}, "common-pile/pubmed", None, _TRAIN_ONLY
    ),
}  # fmt: skip


def cifar(name: str, root: Path) -> dict[str, list[Path]] | None:
    """Return the parquet files of train and test; None where one of them has none."""
    for folder in (root / "images" / name, root / name):
        found = {s: sorted(folder.rglob(f"{s}*.parquet")) for s in ("train", "test")}
        if all(found.values()):
            return found
    return None


def imagenet(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of train and val; None where they are not both there."""
    train, val = root / "imagenet" / "train", root / "imagenet" / "val"
    return (train, val) if train.is_dir() and val.is_dir() else None


def glue(task: str, root: Path) -> dict[str, list[Path]] | None:
    """Return the parquet files of each of a task's splits; None where one of them has none."""
    for folder in (root / "glue" / task, root / task):
        found = _parquet(folder, {split: split for split in GLUE[task]})
        if len(found) == len(GLUE[task]):
            return found
    return None


def questions(name: str, root: Path) -> dict[str, list[Path]] | None:
    """Return the parquet files of those splits of a set that are there; None without its test."""
    place = QUESTIONS[name]
    for folder in (root / "biomed_qa" / place.folder, root / place.folder):
        found = _parquet(folder, place.files)
        if "test" in found:
            return found
    return None


def corpus(name: str, root: Path) -> dict[str, Path]:
    """Return the file of each of a corpus's splits that is there, the packed one first."""
    where = CORPORA[name]
    found = {}
    for split, file in where.files.items():
        plain = root / where.folder / file
        packed = plain.with_name(f"{plain.name}.gz")
        there = [path for path in (packed, plain) if path.is_file()]
        if there:
            found[split] = there[0]
    return found


def _parquet(folder: Path, files: Mapping[str, str]) -> dict[str, list[Path]]:
    """Return the files of each split, whole or in shards as the hub names them."""
    found = {split: _shards(folder.glob("*.parquet"), file) for split, file in files.items()}
    return {split: paths for split, paths in found.items() if paths}


def _shards(paths: Iterable[Path], file: str) -> list[Path]:
    return sorted(p for p in paths if re.fullmatch(rf"{file}(-\d+-of-\d+)?", p.stem))
