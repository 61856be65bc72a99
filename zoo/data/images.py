"""Image sets that fit in memory: tensors, augmented and normalised in batches."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from zoo.data.augment import random_crop_flip
from zoo.data.stream import EpochOrder, TrainStream, eval_batches, rank_of
from zoo.errors import UserError
from zoo.seeding import AUGMENT, SPLIT, generator

TOGETHER = 8  # training batches made at once
SPLIT_SEED = 0  # the validation split is the same for every seed of a run


@dataclass(frozen=True, slots=True)
class Split:
    """Images (N, C, H, W) of uint8 and their labels (N,) of int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        return Split(self.images[index].contiguous(), self.labels[index].contiguous())


def fingerprint(*splits: Split) -> str:
    """Return the sha256 over the pixels and labels of every split, in order."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(str(tuple(split.images.shape)).encode())
        digest.update(split.images.contiguous().numpy().data)
        digest.update(split.labels.contiguous().numpy().data)
    return digest.hexdigest()


def stratified(labels: Tensor, count: int, seed: int = SPLIT_SEED) -> tuple[Tensor, Tensor]:
    """Choose `count` samples with every class in its share; largest remainders make up the sum.

    Returns:
        The indices that were chosen and the others, each in ascending order.
    """
    _, sizes = torch.unique(labels, return_counts=True)
    shares = sizes.double() * count / len(labels)
    quota = shares.floor().long()
    by_remainder = torch.argsort(shares - quota, descending=True, stable=True)
    quota[by_remainder[: count - int(quota.sum())]] += 1
    # Shuffled, then by class: the first ones of each class are chosen.
    order = torch.randperm(len(labels), generator=generator(SPLIT, seed))
    order = order[torch.argsort(labels[order], stable=True)]
    ends = sizes.cumsum(0)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for end, size, n in zip(ends.tolist(), sizes.tolist(), quota.tolist(), strict=True):
        chosen[order[end - size : end - size + n]] = True
    return chosen.nonzero().flatten(), (~chosen).nonzero().flatten()


class ImageModule(LightningDataModule):
    """What every set of labelled images tells the run, the task and the model.

    A subclass sets the attributes, and makes training batches from the one numbered `first` on.
    """

    num_classes: int
    in_chans: int
    image_size: int
    seed: int
    batch_size: int
    eval_batch_size: int

    def __init__(self, train_samples: int, *, seed: int, batch_size: int) -> None:
        super().__init__()
        self.seed = seed
        self.batch_size = batch_size
        self.order = EpochOrder(train_samples, batch_size, seed)
        self.batches_per_epoch = self.order.batches_per_epoch
        self.stream: TrainStream | None = None
        self.total_batches = 0

    def task_arguments(self) -> dict[str, Any]:
        """Return what a classification task must know of the data."""
        shape = (self.in_chans, self.image_size, self.image_size)
        return {"num_classes": self.num_classes, "image_shape": shape}

    def model_arguments(self) -> dict[str, Any]:
        """Return what an image model must know of the data."""
        return {"num_classes": self.num_classes, "in_chans": self.in_chans}

    def train_dataloader(self) -> TrainStream:
        """Return the run's stream; `total_batches` says how long the run is."""
        assert self.total_batches > 0, "the trainer sets total_batches before training"
        self.stream = TrainStream(self._train_batches, self.total_batches)
        return self.stream

    def _train_batches(self, first: int) -> Iterator[Any]:
        raise NotImplementedError

    def val_dataloader(self) -> Any:
        return self._eval_loader("validation")

    def test_dataloader(self) -> Any:
        return self._eval_loader("test")

    def _eval_loader(self, split: str) -> Any:
        raise NotImplementedError


class ImageData(ImageModule):
    """A classification set in memory.

    The training loader is one stream over the whole run (`train_dataloader`); evaluation loaders go
    through their split once, in order, without augmentation.

    Args:
        name: the set's name, for the record.
        train, validation, test: the splits.
        sha256: fingerprint of all samples.
        num_classes: classes of the labels.
        seed: the run's seed, for order and augmentation.
        batch_size: samples of an update over all ranks.
        eval_batch_size: samples of an evaluation batch.
        crop_padding, flip: see `random_crop_flip`.
    """

    def __init__(
        self,
        name: str,
        train: Split,
        validation: Split,
        test: Split,
        *,
        sha256: str,
        num_classes: int,
        seed: int,
        batch_size: int,
        eval_batch_size: int,
        crop_padding: int,
        flip: bool,
    ) -> None:
        super().__init__(len(train), seed=seed, batch_size=batch_size)
        self.dataset_name = name
        self.splits = {"train": train, "validation": validation, "test": test}
        self.sha256 = sha256
        self.num_classes = num_classes
        self.in_chans = train.images.shape[1]
        self.image_size = train.images.shape[-1]
        self.sizes = {k: len(v) for k, v in self.splits.items()}
        self.eval_batch_size = eval_batch_size
        self.crop_padding = crop_padding
        self.flip = flip
        pixels = train.images.float()
        self._mean = pixels.mean((0, 2, 3), keepdim=True)
        self._std = pixels.std((0, 2, 3), keepdim=True).clamp_min(1e-6)

    def normalise(self, images: Tensor) -> Tensor:
        """Return fp32 images with the training split's mean 0 and deviation 1 per channel."""
        return images.float().sub_(self._mean).div_(self._std)

    def _train_batches(self, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        rank, world = rank_of(self)
        train = self.splits["train"]
        # Where this rank's images stand in the batches of all ranks.
        places = torch.arange(TOGETHER * self.batch_size)
        places = places.view(TOGETHER, self.batch_size)[:, rank::world].flatten()
        # Small operations cost more to start than to do: several batches are made at once, always
        # the same ones together, so that the stream is the same from wherever it starts.
        group, skip = divmod(first, TOGETHER)
        while True:
            numbers = range(group * TOGETHER, (group + 1) * TOGETHER)
            index = torch.cat([self.order[batch][rank::world] for batch in numbers])
            images = random_crop_flip(
                train.images.index_select(0, index),
                padding=self.crop_padding,
                flip=self.flip,
                generator=generator(AUGMENT, self.seed, group, 0),
                mine=(TOGETHER * self.batch_size, places),
            )
            parts = (self.normalise(images), train.labels.index_select(0, index))
            batches = zip(*(torch.chunk(part, TOGETHER) for part in parts), strict=True)
            yield from itertools.islice(batches, skip, None)
            group, skip = group + 1, 0

    def _eval_loader(self, split: str) -> "EvalLoader":
        rank, world = rank_of(self)
        return EvalLoader(self, self.splits[split], rank, world)


class EvalLoader:
    """One pass over a split in order, the ranks taking turns sample by sample."""

    def __init__(self, data: ImageData, split: Split, rank: int = 0, world: int = 1) -> None:
        self._data = data
        self._batches = eval_batches(len(split), data.eval_batch_size, rank, world)
        self._split = split

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in map(torch.from_numpy, self._batches):
            yield self._data.normalise(self._split.images[index]), self._split.labels[index]


def require_at_most(count: int | None, available: int, key: str) -> int:
    """Return `count`, or all there are where it is None.

    Raises:
        UserError: more are asked for than there are.
    """
    if count is None:
        return available
    if count > available:
        raise UserError(f"{key}={count}: there are only {available}; type {key}=null for all")
    return count
