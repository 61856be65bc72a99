"""Your own pairs: JSON lines, one pair each.

{"source": "Thrombin cleaves fibrinogen to fibrin, which forms ...", "target": "How blood clots"}

Files of a folder whose names begin or end with train, validation (valid, val, dev) or test are these
splits; others are of train. A split that is not there is carved out of the training pairs: of their
different sources, those with the smallest sha256, a tenth. So the splits are the same for every seed
and in whatever order the lines stand, and no source of a carved split is trained on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.data.corpus import SPLITS, carve, digest_of, files_by_split
from zoo.data.json_lines import numbered_lines, object_of, refuse_half_characters
from zoo.errors import UserError

EXAMPLE = '{"source": "Thrombin cleaves fibrinogen ...", "target": "How blood clots"}'


@dataclass(frozen=True, slots=True)
class Pair:
    """A source with its target.

    Attributes:
        id: its file's name and its line: train/7.
        source: what is read.
        target: what is to be written.
        where: what it is called in a sentence.
    """

    id: str
    source: str
    target: str
    where: str


@dataclass(frozen=True)
class Pairs:
    """The pairs of a split."""

    pairs: Sequence[Pair]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def sha256(self) -> str:
        """Fingerprint of sources and targets, in order."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            for text in (pair.source, pair.target):
                content = text.encode()
                digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()


def in_folder(folder: str | None) -> dict[str, Pairs]:
    """Return the pairs of .jsonl files by their splits: train, validation and test.

    Args:
        folder: as it was typed; or one file.

    Raises:
        UserError: there are none, a line is no pair, or there are too few.
    """
    if folder is None:
        raise UserError("data.folder=null: data=pairs reads it; type data.folder=FOLDER")
    splits = {
        split: [pair for path in paths for pair in read_pairs(path)]
        for split, paths in files_by_split(folder, [".jsonl"]).items()
    }
    missing = [split for split in ("test", "validation") if split not in splits]
    digests = {digest_of(pair.source) for pair in splits.get("train", [])}
    held_out = carve(digests, missing)
    if held_out is None:
        raise UserError(
            f"data.folder={folder}: has {len(digests)} different training sources, and training, "
            "validation and test want one each; write more"
        )
    train = splits.pop("train")
    for pair in train:
        splits.setdefault(held_out.get(digest_of(pair.source), "train"), []).append(pair)
    return {split: Pairs(splits[split]) for split in SPLITS}


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a file, in order.

    Raises:
        UserError: the file cannot be read, or a line is no pair (with its number).
    """
    where = f"data.folder: {path}"
    lines = numbered_lines(path, where, f"a pair a line into it, {EXAMPLE}")
    return [pair_of(line, f"{where} line {n}", f"{path.stem}/{n}") for n, line in lines]


def pair_of(line: str, where: str, name: str) -> Pair:
    """Return the pair of a line.

    Args:
        line: JSON.
        where: what the line is called in a sentence.
        name: its id.

    Raises:
        UserError: it is no pair.
    """
    told = object_of(line)
    if told is None:
        raise UserError(f"{where}: is no JSON with a source and a target; write {EXAMPLE}")
    for key in ("source", "target"):
        text = told.get(key)
        if not isinstance(text, str):
            raise UserError(f"{where}: has no {key}; write {EXAMPLE}")
        if not text.strip():
            raise UserError(f"{where}: its {key} is empty; write one, or leave the line out")
        refuse_half_characters(text, where)
    return Pair(name, told["source"], told["target"], where)
