"""Random crop and flip of a whole batch at once: one gather instead of a loop over images."""

import torch
from torch import Tensor
from torch.nn import functional as F


def random_crop_flip(
    images: Tensor,
    *,
    padding: int,
    flip: bool,
    generator: torch.Generator,
    mine: tuple[int, Tensor] | None = None,
) -> Tensor:
    """Crop each image at random from its zero-padded self and mirror half of them.

    Args:
        images: (B, C, H, W), any dtype.
        padding: zero pixels added on every side before the crop.
        flip: mirror each image left to right with probability one half.
        generator: on the CPU; draws 2 offsets and one coin an image.
        mine: where the images are some of a larger batch, its size and their places in it: each is
            then changed as it would be in the whole batch.

    Returns:
        (B, C, H, W), the same dtype.
    """
    B, C, H, W = images.shape
    drawn, places = (B, slice(None)) if mine is None else mine
    if padding:
        images = F.pad(images, (padding,) * 4)
    offsets = torch.randint(0, 2 * padding + 1, (2, drawn, 1), generator=generator)[:, places]
    rows_BH = offsets[0] + torch.arange(H)
    columns_BW = torch.arange(W).expand(B, W)
    if flip:
        mirrored = torch.rand(drawn, 1, generator=generator)[places] < 0.5
        columns_BW = torch.where(mirrored, W - 1 - columns_BW, columns_BW)
    columns_BW = offsets[1] + columns_BW
    if not padding and not flip:
        return images
    # One flat gather over the padded plane of every image, shared by its channels.
    plane = images.shape[-2] * images.shape[-1]
    index = (rows_BH[:, :, None] * images.shape[-1] + columns_BW[:, None, :]).reshape(B, 1, H * W)
    flat = images.reshape(B, C, plane)
    return flat.gather(2, index.expand(B, C, H * W)).reshape(B, C, H, W)
