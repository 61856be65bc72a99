"""scikit-learn's digits: 1,797 real 8x8 images, at hand without a network.

Fixed split, stratified: 1,257 to train, 180 to validate, 360 to test.
"""

import torch
from torch.nn import functional as F

from zoo.data.images import ImageData, Split, fingerprint, stratified

TEST, VALIDATION = 360, 180


def digits(
    *,
    seed: int,
    batch_size: int,
    eval_batch_size: int,
    image_size: int = 8,
    crop_padding: int = 1,
    flip: bool = False,
) -> ImageData:
    """Return the digits; an `image_size` other than 8 resizes them (bilinear)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).float()[:, None] * (255 / 16)  # stored as 0..16
    if image_size != 8:
        pixels = F.interpolate(pixels, (image_size, image_size), mode="bilinear", antialias=True)
    whole = Split(pixels.round().clamp(0, 255).byte(), torch.from_numpy(bunch.target).long())

    test, rest = stratified(whole.labels, TEST)
    validation, train = stratified(whole.labels[rest], VALIDATION)
    return ImageData(
        "digits",
        whole.take(rest[train]),
        whole.take(rest[validation]),
        whole.take(test),
        sha256=fingerprint(whole),
        num_classes=10,
        seed=seed,
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        crop_padding=crop_padding,
        flip=flip,
    )
