"""ImageNet-1k as folders of images (or from the hub), decoded by worker processes.

The public validation set is the test split; 10,000 training images are the validation split.
Each image's augmentation draws from (seed, epoch, image), so it does not depend on the workers.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo import places
from zoo.data.images import ImageModule, stratified
from zoo.data.stream import EpochOrder, eval_batches, rank_of
from zoo.errors import UserError, first_line
from zoo.seeding import AUGMENT, seed_everything

VALIDATION = 10_000


class ImageNetData(ImageModule):
    """Images on disk, one of them a sample; the attributes are those of `ImageData`."""

    def __init__(
        self,
        train: Dataset[Any],
        train_labels: Tensor,
        test: Dataset[Any],
        *,
        sha256: str,
        num_classes: int,
        seed: int,
        batch_size: int,
        eval_batch_size: int,
        image_size: int,
        num_workers: int,
    ) -> None:
        from timm.data import create_transform

        held_out = min(VALIDATION, len(train_labels) // 10)
        validation, rest = stratified(train_labels, held_out)
        super().__init__(len(rest), seed=seed, batch_size=batch_size)
        augmented = create_transform(image_size, is_training=True)
        plain = create_transform(image_size, is_training=False)
        self._train = _Transformed(train, rest, augmented, seed)
        self._eval = {
            "validation": _Transformed(train, validation, plain, None),
            "test": _Transformed(test, torch.arange(len(test)), plain, None),  # type: ignore[arg-type]
        }
        self.dataset_name = "imagenet"
        self.sizes = {"train": len(rest), **{k: len(v) for k, v in self._eval.items()}}
        self.sha256 = sha256
        self.num_classes = num_classes
        self.in_chans = 3
        self.image_size = image_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers

    def _loader(self, dataset: Dataset[Any], **options: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            **options,
        )

    def _train_batches(self, first: int) -> Iterator[Any]:
        rank, world = rank_of(self)
        batches = _Batches(self.order, first, self.total_batches, rank, world)
        return iter(self._loader(self._train, batch_sampler=batches))

    def _eval_loader(self, split: str) -> DataLoader[Any]:
        rank, world = rank_of(self)
        dataset = self._eval[split]
        batches = eval_batches(len(dataset), self.eval_batch_size, rank, world)
        return self._loader(dataset, batch_sampler=[b.tolist() for b in batches])


class _Batches:
    """A batch sampler over the whole run: yields (epoch, place in the split) for each sample."""

    def __init__(self, order: EpochOrder, first: int, length: int, rank: int, world: int) -> None:
        self.order, self.first, self.length = order, first, length
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return self.length - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in range(self.first, self.length):
            epoch = batch // self.order.batches_per_epoch
            yield [(epoch, i) for i in self.order[batch][self.rank :: self.world].tolist()]


class _Transformed(Dataset[Any]):
    """A split with its transform; with a seed, sample (epoch, i) is augmented by its own stream."""

    def __init__(self, base: Dataset[Any], index: Tensor, transform: Any, seed: int | None) -> None:
        self.base, self.index, self.transform, self.seed = base, index, transform, seed

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> tuple[Tensor, int]:
        epoch, place = key if isinstance(key, tuple) else (0, key)
        where = int(self.index[place])
        if self.seed is not None:
            seed_everything(AUGMENT, self.seed, epoch, where)
        image, label = self.base[where]
        return self.transform(image.convert("RGB")), int(label)


class _HubImages(Dataset[Any]):
    """A hub split as (image, label) pairs."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        row = self.rows[i]
        return row["image"], row["label"]


def imagenet(
    *,
    root: str,
    cache_dir: str,
    seed: int,
    batch_size: int,
    eval_batch_size: int,
    image_size: int = 224,
    num_workers: int = 8,
) -> ImageNetData:
    """Return ImageNet from `root`/imagenet/{train,val}/CLASS/*, else from the hub.

    The fingerprint is the sha256 over the names and sizes of all files (their content would take
    minutes to read), or over the hub's own fingerprints.

    Raises:
        UserError: the folders are not there and the hub cannot be reached.
    """
    from torchvision.datasets import ImageFolder

    folder = Path(root) / "imagenet"
    digest = hashlib.sha256()
    train: Any
    test: Any
    there = places.imagenet(Path(root))
    if there is not None:
        try:
            train, test = (ImageFolder(str(place)) for place in there)
        except FileNotFoundError as error:
            raise UserError(f"data=imagenet: {first_line(error)}") from None
        if train.classes != test.classes:
            raise UserError(
                f"data=imagenet: train has {len(train.classes)} classes and val "
                f"{len(test.classes)}, or they differ in name; sort val into the same folders"
            )
        for path, _ in (*train.samples, *test.samples):
            file = Path(path)
            digest.update(f"{file.relative_to(folder)} {file.stat().st_size}\n".encode())
        labels, classes = torch.tensor(train.targets), len(train.classes)
    else:
        from zoo.data.hub import load_from_hub

        sets = load_from_hub(
            "ILSVRC/imagenet-1k",
            cache_dir,
            missing=f"data=imagenet: no imagenet/train and imagenet/val in data.root={root}",
            put=str(folder),
        )
        train, test = _HubImages(sets["train"]), _HubImages(sets["validation"])
        digest.update((sets["train"]._fingerprint + sets["validation"]._fingerprint).encode())
        labels, classes = torch.tensor(sets["train"]["label"]), 1000
    return ImageNetData(
        train,
        labels,
        test,
        sha256=digest.hexdigest(),
        num_classes=classes,
        seed=seed,
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        image_size=image_size,
        num_workers=num_workers,
    )
