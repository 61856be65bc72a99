"""The batched crop and flip against torchvision's functions, image by image."""

import pytest
import scipy.stats
import torch
from torchvision.transforms import functional as tv

from zoo.data.augment import random_crop_flip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("padding", "flip"), [(4, True), (4, False), (0, True), (1, True)])
@pytest.mark.parametrize("shape", [(16, 3, 32, 32), (5, 1, 8, 8), (3, 2, 6, 9)])
def test_every_image_is_a_crop_of_itself_perhaps_mirrored(shape, padding, flip) -> None:
    images = torch.randint(1, 255, shape, dtype=torch.uint8, generator=generator(1))
    out = random_crop_flip(images, padding=padding, flip=flip, generator=generator())
    assert out.dtype == torch.uint8
    assert out.shape == images.shape
    _, _, h, w = shape
    for before, after in zip(images, out, strict=True):
        padded = tv.pad(before, [padding] * 4)
        crops = [
            tv.crop(padded, top, left, h, w)
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        candidates = crops + ([tv.hflip(c) for c in crops] if flip else [])
        assert any(torch.equal(after, c) for c in candidates)


def test_offsets_and_mirrors_are_uniform() -> None:
    """One bright pixel shows where each crop was taken: chi-square over the 3 x 3 offsets."""
    n = 9000
    image = torch.zeros(n, 1, 8, 8)
    image[:, 0, 3, 2] = 1.0
    out = random_crop_flip(image, padding=1, flip=True, generator=generator()).reshape(n, -1)
    where = out.argmax(1)
    row, column = where // 8, where % 8
    # Unmirrored the pixel lands in columns 1..3, mirrored in 4..6: the two do not meet.
    mirrored = column >= 4
    offset = torch.where(mirrored, 7 - column, column) - 1
    counts = torch.bincount((row - 2) * 3 + offset, minlength=9)
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert scipy.stats.binomtest(int(mirrored.sum()), n).pvalue > 1e-3


def test_the_same_generator_gives_the_same_batch() -> None:
    images = torch.rand(8, 3, 16, 16)
    one, two = (
        random_crop_flip(images, padding=2, flip=True, generator=generator(7)) for _ in "ab"
    )
    assert torch.equal(one, two)
    other = random_crop_flip(images, padding=2, flip=True, generator=generator(8))
    assert not torch.equal(one, other)


def test_nothing_asked_for_changes_nothing() -> None:
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(
        random_crop_flip(images, padding=0, flip=False, generator=generator()), images
    )


def test_a_part_of_a_batch_changes_as_it_does_in_the_whole() -> None:
    images = torch.rand(9, 3, 16, 16)
    whole = random_crop_flip(images, padding=2, flip=True, generator=generator(3))
    for rank in range(3):
        places = torch.arange(rank, 9, 3)
        part = random_crop_flip(
            images[places], padding=2, flip=True, generator=generator(3), mine=(9, places)
        )
        assert torch.equal(part, whole[places])
