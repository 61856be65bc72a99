"""CIFAR-10 and CIFAR-100 as parquet in the Hugging Face layout, from data.root or the hub.

5,000 training images, stratified and the same for every seed, are the validation split.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo import places
from zoo.data.images import ImageData, Split, fingerprint, require_at_most, stratified
from zoo.errors import UserError, first_line
from zoo.leaderboard.store import write_atomically

VALIDATION = 5_000
LABEL = {"cifar10": "label", "cifar100": "fine_label"}
CLASSES = {"cifar10": 10, "cifar100": 100}


def cifar10(**options: Any) -> ImageData:
    """Return CIFAR-10; the options are those of `_cifar`."""
    return _cifar("cifar10", **options)


def cifar100(**options: Any) -> ImageData:
    """Return CIFAR-100 with its 100 fine labels; the options are those of `_cifar`."""
    return _cifar("cifar100", **options)


def _cifar(
    name: str,
    *,
    root: str,
    cache_dir: str,
    seed: int,
    batch_size: int,
    eval_batch_size: int,
    train_samples: int | None = None,
    crop_padding: int = 4,
    flip: bool = True,
) -> ImageData:
    """Return CIFAR in memory.

    Args:
        name: cifar10 or cifar100.
        root: looked in first, for images/NAME/*.parquet or NAME/*.parquet.
        cache_dir: decoded pixels are kept here, keyed by the files' content.
        train_samples: train on so many images only (stratified); None: on all 45,000.

    Raises:
        UserError: the files are not there and the hub cannot be reached.
    """
    files = places.cifar(name, Path(root))
    if files is not None:
        train, test = _from_parquet(name, files, Path(cache_dir))
    else:
        train, test = _from_hub(name, root, cache_dir)
    validation, rest = stratified(train.labels, VALIDATION)
    count = require_at_most(train_samples, len(rest), "data.train_samples")
    if count < len(rest):
        rest = rest[stratified(train.labels[rest], count)[0]]
    return ImageData(
        name,
        train.take(rest),
        train.take(validation),
        test,
        sha256=fingerprint(train, test),
        num_classes=CLASSES[name],
        seed=seed,
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        crop_padding=crop_padding,
        flip=flip,
    )


def _from_parquet(name: str, files: dict[str, list[Path]], cache_dir: Path) -> tuple[Split, Split]:
    digest = hashlib.sha256()
    for path in (*files["train"], *files["test"]):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    cache = cache_dir / f"{name}-{digest.hexdigest()[:16]}.npz"
    if not cache.exists():
        arrays: dict[str, np.ndarray] = {}
        for split, paths in files.items():
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = _decode_parquet(name, paths)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_atomically(cache, buffer.getvalue())
    try:
        with np.load(cache, allow_pickle=False) as stored:
            train, test = (
                Split(*(torch.from_numpy(stored[f"{s}_{part}"]) for part in ("images", "labels")))
                for s in ("train", "test")
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        cache.unlink()  # it is damaged: made again
        return _from_parquet(name, files, cache_dir)
    return train, test


def _decode_parquet(name: str, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    import polars as pl

    try:
        table = pl.concat([pl.read_parquet(p, columns=["img", LABEL[name]]) for p in paths])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(
            f"data={name}: {paths[0].name} is no parquet file with the columns img and "
            f"{LABEL[name]} ({first_line(error)}); download it again"
        ) from None
    return _decode(table["img"].struct.field("bytes").to_list()), table[
        LABEL[name]
    ].to_numpy().astype(np.int64)


def _decode(encoded: Iterable[bytes]) -> np.ndarray:
    from PIL import Image

    def pixels(data: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)

    with ThreadPoolExecutor() as pool:  # PIL decodes outside the interpreter lock
        return np.stack(list(pool.map(pixels, encoded)))


def _from_hub(name: str, root: str, cache_dir: str) -> tuple[Split, Split]:
    from zoo.data.hub import load_from_hub

    hub = f"uoft-cs/{name}"
    sets = load_from_hub(
        hub, cache_dir, missing=f"data={name}: no images/{name}/train*.parquet and test*.parquet "
        f"in data.root={root}", put=f"{Path(root) / 'images' / name}"
    )  # fmt: skip
    splits = []
    for split in ("train", "test"):
        images = np.stack(
            [np.asarray(i.convert("RGB")).transpose(2, 0, 1) for i in sets[split]["img"]]
        )
        labels = torch.tensor(sets[split][LABEL[name]], dtype=torch.long)
        splits.append(Split(torch.from_numpy(images), labels))
    return splits[0], splits[1]
