"""Corpora: documents of text in train, validation and test.

A corpus is looked for in data.root, then on the Hugging Face hub. A split that its makers do not
give is carved out of the training documents, by document: of the first `WINDOW` ones, those with
the smallest sha256, one in `ONE_IN`. So the splits are the same for every seed, and no text of a
carved split is trained on, be it repeated anywhere.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from zoo import places
from zoo.data.documents import SUFFIXES, LeftOut, read_files
from zoo.data.topics import topics
from zoo.errors import UserError, suggest
from zoo.places import CORPORA

SPLITS = ("train", "validation", "test")
WINDOW, ONE_IN = 20_000, 10

Read = Callable[[LeftOut], Iterator[str]]


NAMES = ("text", *CORPORA, "folder")


@dataclass
class Corpus:
    """Documents in splits.

    Args:
        name: as it is typed.
        key: stands for the content: two corpora of one key have the same documents.
        sources: yields the documents of a split that the corpus' makers give, from the first on.
    """

    name: str
    key: str
    sources: dict[str, Read]
    _held_out: dict[bytes, str] | None = None

    def documents(self, split: str, left_out: LeftOut | None = None) -> Iterator[str]:
        """Yield the documents of train, validation or test.

        Args:
            split: one of `SPLITS`.
            left_out: counts what is left out.

        Raises:
            UserError: the corpus has no training documents, or too few to carve a split out of.
        """
        left_out = LeftOut() if left_out is None else left_out
        if split != "train" and split in self.sources:
            yield from self.sources[split](left_out)
            return
        if "train" not in self.sources:
            raise UserError(
                f"corpus {self.name}: has no training documents here; type another data.corpus, "
                "or use it as data.eval_corpus"
            )
        carved = self._carved()
        if split == "train":
            for text in self.sources["train"](left_out):
                if not carved or digest_of(text) not in carved:
                    yield text
            return
        for text in islice(self.sources["train"](LeftOut()), WINDOW):
            if carved.get(digest_of(text)) == split:
                yield text

    def _carved(self) -> dict[bytes, str]:
        """Return the split of each document that is carved out, by its digest."""
        missing = [s for s in ("test", "validation") if s not in self.sources]
        if self._held_out is None and missing:
            first = islice(self.sources["train"](LeftOut()), WINDOW)
            digests = {digest_of(text) for text in first}
            self._held_out = carve(digests, missing)
            if self._held_out is None:
                raise UserError(
                    f"corpus {self.name}: has {len(digests)} different documents, and training, "
                    "validation and test want one each; in a .txt file blank lines part documents, "
                    "in a .jsonl file each line is one: write more"
                )
        return self._held_out or {}


def digest_of(text: str) -> bytes:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).digest()


def carve(digests: set[bytes], missing: Sequence[str]) -> dict[bytes, str] | None:
    """Return the split of each text that is carved out of the training ones, by its digest.

    Args:
        digests: of the training texts.
        missing: the splits that there are none of; each gets one text in `ONE_IN`, those with the
            smallest digests.

    Returns:
        None where a split would be empty.
    """
    if len(digests) <= len(missing):
        return None
    share = max(1, len(digests) // ONE_IN)
    if (len(missing) + 1) * share > len(digests):
        share = 1
    ordered = sorted(digests)
    return {
        digest: split
        for place, split in enumerate(missing)
        for digest in ordered[place * share : (place + 1) * share]
    }


def find_corpus(
    names: str,
    *,
    root: str,
    cache_dir: str,
    folder: str | None = None,
    skip_broken: bool = False,
    key: str = "data.corpus",
) -> Corpus:
    """Return a corpus by its name, or several as one: `pubmed+pmc`.

    Args:
        names: of `NAMES`, with plus signs between them.
        root: looked in first.
        cache_dir: where the hub's client keeps what it has downloaded.
        folder: of the corpus `folder`: every .jsonl, .jsonl.gz and .txt file in it, or one file.
        skip_broken: see `read_file`.
        key: the configuration's key that the name comes from.

    Raises:
        UserError: no such corpus; or its files are not there and the hub cannot be reached.
    """
    found = []
    for name in names.split("+"):
        if name == "text":
            found.append(_bundled())
        elif name == "folder":
            found.append(_in_folder(folder, skip_broken))
        elif name in CORPORA:
            found.append(_known(name, Path(root), cache_dir, skip_broken))
        else:
            raise UserError(f"{key}={names}: no such corpus as {name}{suggest(name, NAMES)}")
    return found[0] if len(found) == 1 else _joined(names, found)


def _bundled() -> Corpus:
    digest = hashlib.sha256("\0".join(topics()).encode()).hexdigest()
    return Corpus("text", digest, {"train": lambda _: topics()})


def _joined(names: str, parts: list[Corpus]) -> Corpus:
    """Return the documents of several corpora, each split on its own, one after the other."""

    def read(split: str) -> Read:
        def each(left_out: LeftOut) -> Iterator[str]:
            for part in parts:
                yield from part.documents(split, left_out)

        return each

    key = hashlib.sha256("+".join(p.key for p in parts).encode()).hexdigest()
    return Corpus(names, key, {s: read(s) for s in SPLITS})


def _known(name: str, root: Path, cache_dir: str, skip_broken: bool) -> Corpus:
    where = CORPORA[name]
    there = places.corpus(name, root)
    if there:
        return _of_files(name, {s: [p] for s, p in there.items()}, skip_broken)

    from zoo.data.hub import documents_from_hub

    def read(split: str) -> Read:
        return lambda left_out: documents_from_hub(
            where.repository,
            where.configuration,
            where.hub_splits[split],
            cache_dir,
            left_out,
            missing=f"corpus {name}: no {where.folder}/{where.files['train']}.gz in data.root={root}",
            put=f"{root / where.folder} (a column `text`)",
        )

    key = f"{where.repository} {where.configuration} {skip_broken}"
    return Corpus(name, key, {split: read(split) for split in where.hub_splits})


def _of_files(name: str, files: dict[str, list[Path]], skip_broken: bool) -> Corpus:
    digest = hashlib.sha256(str(skip_broken).encode())
    for split, paths in sorted(files.items()):
        for path in paths:
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{split} {''.join(path.suffixes[-2:])} {content}\n".encode())

    def read(paths: list[Path]) -> Read:
        return lambda left_out: read_files(paths, skip_broken=skip_broken, left_out=left_out)

    return Corpus(name, digest.hexdigest(), {s: read(p) for s, p in files.items()})


# The words by which a file's name says what split it is.
_SPLIT_WORDS = {"train": "train", "validation": "validation", "valid": "validation",
                "val": "validation", "dev": "validation", "test": "test"}  # fmt: skip


def _in_folder(folder: str | None, skip_broken: bool) -> Corpus:
    if folder is None:
        raise UserError(
            "data.folder=null: data=folder reads files from it; type data.folder=FOLDER"
        )
    files = files_by_split(folder, SUFFIXES)
    return _of_files("folder", files, skip_broken)


def files_by_split(folder: str, endings: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of a folder by their splits, in the order of their names.

    Args:
        folder: as it was typed; or one file.
        endings: which files count.

    Raises:
        UserError: there are none.
    """
    place = Path(folder).expanduser()
    paths = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    files: dict[str, list[Path]] = {}
    for path in paths:
        if path.name.endswith(tuple(endings)):
            files.setdefault(split_of(path.name), []).append(path)
    if not files:
        *others, last = endings
        wanted = f"{', '.join(others)} or {last}" if others else last
        what = f"has no {wanted} file" if place.exists() else "is not there"
        raise UserError(
            f"data.folder={folder}: {what}; type a folder of such files, or one of them"
        )
    return files


def split_of(name: str) -> str:
    """Return the split that a file's name begins or ends with; train where it names none.

    >>> split_of("web_validation.jsonl.gz"), split_of("dev-00001.txt"), split_of("latest.txt")
    ('validation', 'validation', 'train')
    """
    words = name.split(".", maxsplit=1)[0].lower().replace("-", "_").split("_")
    ends = (words[0], words[-1])
    return next((_SPLIT_WORDS[w] for w in ends if w in _SPLIT_WORDS), "train")
