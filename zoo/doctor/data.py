"""Which data sets are here, by the look-up that their loaders use (zoo.places)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from zoo import places
from zoo.doctor.check import Check, private

# What a file begins with where it is what its name says; a pointer of Git LFS does not.
MAGIC = {".parquet": b"PAR1", ".gz": b"\x1f\x8b"}
PUT = "into data.root, or online from the hub"


def data(root: Path) -> Iterator[Check]:
    """Yield a line for the folder and for each data set; files are opened, not read.

    Args:
        root: what data.root is.
    """
    if root.is_dir():
        yield Check("data.root", "ok", private(str(root)))
    else:
        yield Check("data.root", "missing", f"{private(str(root))} is not there",
                    "export ZOO_DATA=FOLDER")  # fmt: skip
    yield Check("digits, text", "ok", "ship with scikit-learn and Python")
    for name in places.CIFAR:
        parquet = places.cifar(name, root)
        yield _line(name, _paths(parquet), parquet is not None, f"images/{name}/train*.parquet")
    yield _line(
        "imagenet", [], places.imagenet(root) is not None, "imagenet/train and imagenet/val"
    )
    for name, where in places.CORPORA.items():
        files = places.corpus(name, root)
        wanted = f"{where.folder}/{next(iter(where.files.values()))}.gz"
        yield _line(name, files.values(), bool(files), wanted, " ".join(files))
    yield _several("glue", {t: _paths(places.glue(t, root)) for t in places.GLUE})
    yield _several("questions", {q: _paths(places.questions(q, root)) for q in places.QUESTIONS})


def _paths(found: dict[str, list[Path]] | None) -> list[Path]:
    return [path for paths in (found or {}).values() for path in paths]


def _line(
    name: str, files: Iterable[Path], found: bool, wanted: str, here: str = "train test"
) -> Check:
    if not found:
        return Check(name, "missing", f"no {wanted}", PUT)
    broken = _not_what_they_say(files)
    if broken:
        return Check(name, "broken", f"{broken[0].name} is not what its ending says",
                     "download it again")  # fmt: skip
    return Check(name, "ok", here)


def _several(name: str, sets: dict[str, list[Path]]) -> Check:
    """Put the sets of one loader into a line: those that are here, and those that are not."""
    broken = _not_what_they_say(path for paths in sets.values() for path in paths)
    if broken:
        where = f"{broken[0].parent.name}/{broken[0].name}"
        return Check(name, "broken", f"{where} is not what its ending says", "download it again")
    here = [one for one, paths in sets.items() if paths]
    missing = [one for one, paths in sets.items() if not paths]
    if not missing:
        return Check(name, "ok", " ".join(here))
    detail = f"no {' '.join(missing)}"
    return Check(name, "missing", f"{detail}; here: {' '.join(here)}" if here else detail, PUT)


def _not_what_they_say(files: Iterable[Path]) -> Sequence[Path]:
    wrong = []
    for path in files:
        magic = MAGIC.get(path.suffix, b"")
        try:
            with open(path, "rb") as file:
                fits = file.read(len(magic)) == magic
        except OSError:
            fits = False
        if not fits:
            wrong.append(path)
    return wrong
