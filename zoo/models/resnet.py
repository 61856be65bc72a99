"""Pre-activation ResNets for small images.

He et al. 2016, "Identity Mappings in Deep Residual Networks" (arXiv 1603.05027), with the CIFAR
layout of He et al. 2015 (arXiv 1512.03385, section 4.2): a 3x3 convolution, three stages of n
blocks of two 3x3 convolutions with widths w, 2w, 4w, then norm, ReLU, mean and a linear layer:
6n + 2 layers. Where the shape changes, a 1x1 convolution of the pre-activated input is the
shortcut.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.models.image_classifier import ImageClassifier
from zoo.models.norms import Layers, Norm


class PreActBlock(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x))))))."""

    def __init__(self, inputs: int, outputs: int, stride: int, layers: Layers) -> None:
        super().__init__()
        self.norm1 = layers.make_norm(inputs)
        self.conv1 = layers.make_conv(inputs, outputs, 3, stride)
        self.norm2 = layers.make_norm(outputs)
        self.conv2 = layers.make_conv(outputs, outputs, 3)
        changes = stride != 1 or inputs != outputs
        self.shortcut = (
            layers.make_conv(inputs, outputs, 1, stride, biased=False) if changes else None
        )
        self.act = layers.make_act()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = self.act(self.norm1(x_BCHW))
        skip = x_BCHW if self.shortcut is None else self.shortcut(h)
        h = self.conv1(h)
        h = self.conv2(self.act(self.norm2(h)))
        return h + skip


class CifarResNet(ImageClassifier):
    """A pre-activation ResNet of `depth` = 6n + 2 layers.

    Args:
        num_classes: size of the output; 0: no classifier, `forward` returns features.
        in_chans: channels of the images.
        depth: 8, 14, 20, ...
        width: channels of the first stage.
        norm: a word of zoo.models.norms: batch, group, group_ws, frn, online or none.
        group_size: channels of one group, where norm is group or group_ws.
        group_size_doubles: whether that is of the first stage, and doubles as the width does.

    Raises:
        UserError: another depth, or groups that do not divide the channels.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_chans: int = 3,
        depth: int = 20,
        width: int = 16,
        norm: Norm = "batch",
        group_size: int = 2,
        group_size_doubles: bool = False,
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise UserError(
                f"model.depth={depth}: a CIFAR ResNet has 6n+2 layers; type 8, 20, 32, 44, 56 or 110"
            )
        if width < 1:
            raise UserError(f"model.width={width}: must be at least 1; type model.width=16")
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = 4 * width
        layers = Layers(norm, group_size, width if group_size_doubles else None)
        self.stem = layers.make_conv(in_chans, width, 3)
        stages: list[nn.Module] = []
        channels = width
        for stage, outputs in enumerate((width, 2 * width, 4 * width)):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(PreActBlock(channels, outputs, stride, layers))
                channels = outputs
        self.blocks = nn.Sequential(*stages)
        self.norm = layers.make_norm(channels)
        self.act = layers.make_act()
        self.reset_classifier(num_classes)
        self.begin_convolutions()
        if norm == "none":
            # Without normalisation the residual sum grows with depth; starting each branch at
            # zero keeps the signal at the input's scale (Zhang et al. 2019, arXiv 1901.09321).
            for module in self.modules():
                if isinstance(module, PreActBlock):
                    nn.init.zeros_(module.conv2.weight)

    def forward_features(self, x_BCHW: Tensor) -> Tensor:
        """Return the last feature map: (B, 4w, H/4, W/4)."""
        return self.act(self.norm(self.blocks(self.stem(x_BCHW))))

    def forward_head(self, x_BCHW: Tensor, pre_logits: bool = False) -> Tensor:
        """Return logits (B, num_classes), or the pooled features (B, 4w)."""
        pooled = x_BCHW.mean((2, 3))
        return pooled if pre_logits else self.head(pooled)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return {"stem": r"^stem", "blocks": r"^blocks\.(\d+)"}


def _create(depth: int, pretrained: bool, **options: Any) -> nn.Module:
    return build_model_with_cfg(
        CifarResNet, f"cifar_resnet{depth}", pretrained, depth=depth, **options
    )


default_cfgs = generate_default_cfgs(
    {
        f"cifar_resnet{d}": {
            "url": "",
            "num_classes": 10,
            "input_size": (3, 32, 32),
            "pool_size": (8, 8),
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            "mean": (0.491, 0.482, 0.447),
            "std": (0.247, 0.243, 0.262),
            "first_conv": "stem",
            "classifier": "head",
        }
        for d in (8, 20, 32, 44, 56, 110)
    }
)


@register_model
def cifar_resnet8(pretrained: bool = False, **options: Any) -> nn.Module:
    """Pre-activation ResNet-8 for 32x32 images."""
    return _create(8, pretrained, **options)


@register_model
def cifar_resnet20(pretrained: bool = False, **options: Any) -> nn.Module:
    """Pre-activation ResNet-20 for 32x32 images."""
    return _create(20, pretrained, **options)


@register_model
def cifar_resnet32(pretrained: bool = False, **options: Any) -> nn.Module:
    """Pre-activation ResNet-32 for 32x32 images."""
    return _create(32, pretrained, **options)


@register_model
def cifar_resnet44(pretrained: bool = False, **options: Any) -> nn.Module:
    """Pre-activation ResNet-44 for 32x32 images."""
    return _create(44, pretrained, **options)


@register_model
def cifar_resnet56(pretrained: bool = False, **options: Any) -> nn.Module:
    """Pre-activation ResNet-56 for 32x32 images."""
    return _create(56, pretrained, **options)


@register_model
def cifar_resnet110(pretrained: bool = False, **options: Any) -> nn.Module:
    """Pre-activation ResNet-110 for 32x32 images."""
    return _create(110, pretrained, **options)
