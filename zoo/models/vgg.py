"""VGG for 32x32 images.

Simonyan & Zisserman 2015 (arXiv 1409.1556), configurations A, B and D, each convolution followed
by a normalisation, and the head that is usual for CIFAR: two hidden layers as wide as the last
convolution, with dropout.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.models.image_classifier import ImageClassifier
from zoo.models.norms import Layers, Norm

# Convolutions of each of the five stages; widths are w, 2w, 4w, 8w, 8w; each stage ends in a pool.
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}


class CifarVGG(ImageClassifier):
    """A VGG of 11, 13 or 16 layers.

    Args:
        num_classes: size of the output; 0: no classifier, `forward` returns features.
        in_chans: channels of the images.
        depth: 11, 13 or 16.
        width: channels of the first stage.
        norm: a word of zoo.models.norms: batch, group, group_ws, frn, online or none.
        group_size: channels of one group, where norm is group or group_ws.
        dropout: probability before each hidden layer of the head.
        group_size_doubles: whether the group size is of the first stage, and doubles with the width.

    Raises:
        UserError: another depth, or groups that do not divide the channels.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_chans: int = 3,
        depth: int = 11,
        width: int = 64,
        norm: Norm = "batch",
        group_size: int = 2,
        dropout: float = 0.5,
        group_size_doubles: bool = False,
    ) -> None:
        super().__init__()
        if depth not in STAGES:
            raise UserError(f"model.depth={depth}: there is VGG-11, 13 and 16; type model.depth=11")
        if width < 1:
            raise UserError(f"model.width={width}: must be at least 1; type model.width=64")
        layers = Layers(norm, group_size, width if group_size_doubles else None)
        features: list[nn.Module] = []
        channels = in_chans
        for convolutions, factor in zip(STAGES[depth], (1, 2, 4, 8, 8), strict=True):
            for _ in range(convolutions):
                outputs = factor * width
                features += [
                    layers.make_conv(channels, outputs, 3),
                    layers.make_norm(outputs),
                    layers.make_act(inplace=True),
                ]
                channels = outputs
            features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)
        self.num_features = self.head_hidden_size = channels
        self.pre_logits = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
        )
        self.reset_classifier(num_classes)
        self.begin_convolutions()

    def forward_features(self, x_BCHW: Tensor) -> Tensor:
        """Return the last feature map: (B, 8w, H/32, W/32)."""
        return self.features(x_BCHW)

    def forward_head(self, x_BCHW: Tensor, pre_logits: bool = False) -> Tensor:
        """Return logits (B, num_classes), or the last hidden layer (B, 8w)."""
        hidden = self.pre_logits(x_BCHW.mean((2, 3)))
        return hidden if pre_logits else self.head(hidden)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return {"stem": r"^features\.[012]\.", "blocks": r"^features\.(\d+)"}


def _create(depth: int, pretrained: bool, **options: Any) -> nn.Module:
    return build_model_with_cfg(CifarVGG, f"cifar_vgg{depth}", pretrained, depth=depth, **options)


default_cfgs = generate_default_cfgs(
    {
        f"cifar_vgg{d}": {
            "url": "",
            "num_classes": 10,
            "input_size": (3, 32, 32),
            "pool_size": (1, 1),
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            "mean": (0.491, 0.482, 0.447),
            "std": (0.247, 0.243, 0.262),
            "first_conv": "features.0",
            "classifier": "head",
        }
        for d in STAGES
    }
)


@register_model
def cifar_vgg11(pretrained: bool = False, **options: Any) -> nn.Module:
    """VGG-11 for 32x32 images."""
    return _create(11, pretrained, **options)


@register_model
def cifar_vgg13(pretrained: bool = False, **options: Any) -> nn.Module:
    """VGG-13 for 32x32 images."""
    return _create(13, pretrained, **options)


@register_model
def cifar_vgg16(pretrained: bool = False, **options: Any) -> nn.Module:
    """VGG-16 for 32x32 images."""
    return _create(16, pretrained, **options)
