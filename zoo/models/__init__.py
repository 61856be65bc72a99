"""Models. Importing this package registers the zoo's own with timm (cifar_resnet20, cifar_vgg11)."""

from typing import Any

from torch import nn

from zoo.errors import UserError, suggest
from zoo.models.resnet import CifarResNet
from zoo.models.vgg import CifarVGG

__all__ = ["CifarResNet", "CifarVGG", "timm_model"]


def timm_model(model_name: str, num_classes: int, in_chans: int, **options: Any) -> nn.Module:
    """Return any of timm's models, the zoo's own included.

    Args:
        model_name: its name in `timm.list_models()`.
        num_classes: size of the last layer's output.
        in_chans: channels of the images.
        options: further arguments of `timm.create_model`, `pretrained` among them.

    Raises:
        UserError: timm has no such model.
    """
    import timm

    if not timm.is_model(model_name.split(".", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1]):
        raise UserError(
            f"model.name={model_name}: timm has no such model{suggest(model_name, timm.list_models())}"
        )
    return timm.create_model(model_name, num_classes=num_classes, in_chans=in_chans, **options)
