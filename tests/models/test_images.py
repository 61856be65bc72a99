"""The zoo's image models: sizes against counts by hand, timm's interface, learning signals."""

from typing import Any

import pytest
import timm
import torch
from timm.layers import FilterResponseNormTlu2d
from torch import nn

import zoo.models
from zoo.errors import UserError
from zoo.models import CifarResNet, CifarVGG, timm_model
from zoo.models.norms import Layers
from zoo.models.online_norm import OnlineNorm2d

OURS = [f"cifar_resnet{d}" for d in (8, 20, 32, 44, 56, 110)] + [
    f"cifar_vgg{d}" for d in (11, 13, 16)
]


def weights(depth: int, width: int) -> int:
    """Count a pre-activation ResNet's parameters by hand: convolutions, norms, classifier."""
    n = (depth - 2) // 6
    total, channels = 3 * 9 * width, width
    for stage, out in enumerate((width, 2 * width, 4 * width)):
        for block in range(n):
            total += 2 * channels + channels * out * 9 + 2 * out + out * out * 9
            if stage and not block:
                total += channels * out  # the 1x1 shortcut
            channels = out
    return total + 2 * channels + channels * 10 + 10


@pytest.mark.parametrize(
    ("depth", "width"), [(8, 16), (20, 16), (32, 8), (44, 16), (56, 4), (110, 16)]
)
def test_resnet_has_the_parameters_of_its_layout(depth: int, width: int) -> None:
    net = CifarResNet(depth=depth, width=width)
    assert sum(p.numel() for p in net.parameters()) == weights(depth, width)
    convolutions = [
        m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    assert len(convolutions) + 1 == depth  # and the classifier


def test_resnet20_is_as_large_as_the_papers() -> None:
    """He et al. 2015, table 6: 0.27M; the projection shortcuts add 2,560."""
    assert round(sum(p.numel() for p in CifarResNet(depth=20).parameters()) / 1e6, 2) == 0.27


@pytest.mark.parametrize(("depth", "layers"), [(11, 8), (13, 10), (16, 13)])
def test_vgg_has_the_layers_of_its_configuration(depth: int, layers: int) -> None:
    net = CifarVGG(depth=depth)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert (len(convolutions), len(linear)) == (layers, 3)
    assert [m.out_channels for m in convolutions][-1] == 512


@pytest.mark.parametrize("name", OURS)
def test_timm_creates_every_model_and_its_interface_holds(name: str) -> None:
    assert timm.is_model(name)
    options: dict[str, Any] = {"width": 4}
    net = timm.create_model(name, num_classes=7, in_chans=1, **options).eval()
    x = torch.randn(2, 1, 32, 32)
    features = net.forward_features(x)
    assert net(x).shape == (2, 7)
    assert net.forward_head(features, pre_logits=True).shape == (2, net.num_features)
    assert torch.equal(net.forward_head(features), net(x))
    net.reset_classifier(3)
    assert net(x).shape == (2, 3)
    assert net.get_classifier().out_features == 3
    net.reset_classifier(0)
    assert net(x).shape == (2, net.num_features)
    net.reset_classifier(7)
    assert net.pretrained_cfg["num_classes"] == 10


@pytest.mark.parametrize("norm", ["batch", "group", "group_ws", "frn", "online", "none"])
@pytest.mark.parametrize("model", [CifarResNet, CifarVGG])
def test_norms(model: type[nn.Module], norm: str) -> None:
    net = model(width=8, norm=norm, group_size=4)
    kinds = {type(m) for m in net.modules()}
    assert (nn.BatchNorm2d in kinds) == (norm == "batch")
    assert (nn.GroupNorm in kinds) == (norm in ("group", "group_ws"))
    assert (FilterResponseNormTlu2d in kinds) == (norm == "frn")
    assert (OnlineNorm2d in kinds) == (norm == "online")
    if norm in ("group", "group_ws"):
        for m in net.modules():
            if isinstance(m, nn.GroupNorm):
                assert m.num_channels // m.num_groups == 4
    torch.manual_seed(0)
    x, y = torch.randn(8, 3, 32, 32), torch.arange(8)
    nn.functional.cross_entropy(net(x), y).backward()
    reached = [p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters()]
    assert all(reached)


def test_the_deepest_net_without_normalisation_keeps_its_scale() -> None:
    torch.manual_seed(0)
    logits = CifarResNet(depth=110, norm="none")(torch.randn(4, 3, 32, 32))
    assert logits.isfinite().all()
    assert 0.01 < logits.std() < 10


def test_each_block_adds_to_its_input() -> None:
    block = zoo.models.resnet.PreActBlock(8, 8, 1, Layers("batch")).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: CifarResNet(depth=18), "model.depth=18: a CIFAR ResNet has 6n[+]2 layers; type 8"),
        (lambda: CifarResNet(depth=2), "model.depth=2"),
        (lambda: CifarResNet(width=0), "model.width=0"),
        (lambda: CifarResNet(norm="batsh"), "model.norm=batsh: no such normalisation"),  # type: ignore[arg-type]
        (
            lambda: CifarResNet(width=6, norm="group", group_size=4),
            "model.group_size=4: does not divide",
        ),
        (lambda: CifarVGG(depth=19), "model.depth=19: there is VGG-11"),
        (
            lambda: timm_model("resnt50", 10, 3),
            "model.name=resnt50: timm has no such model; did you mean resnet50",
        ),
    ],
)
def test_a_wrong_model_is_one_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_timm_models_by_name(name: str) -> None:
    with torch.device("meta"):
        net = timm_model(name, 10, 3)
    assert net.num_classes == 10
