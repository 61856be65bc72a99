"""What is built is what is allowed."""

from typing import Any

import pytest

from zoo.build import build, factory
from zoo.errors import UserError


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "torch.os.system",
        "torch.hub.load",
        "torch.load",
        "torch.serialization.load",
        "zoo.config.os.system",
        "lightning.pytorch.trainer.trainer.os.getcwd",
        "torchx.thing",
        "zoo.nothing_here",
        "zoo.leaderboard.store.write_atomically",
        "zoo.config.launch",
        "torch._inductor.codecache.PyCodeCache.load",
        "torch.fx.graph_module._exec_with_source",
        "lightning.fabric.utilities.cloud_io._load",
        "torch.from_file",
        "transformers.AutoModel.from_pretrained",
        "timm.models.create_model.__globals__",
    ],
)
def test_only_allowed_targets_are_built(target: str) -> None:
    for section in (
        {"_target_": target},
        {"_target_": "torch.nn.Identity", "x": {"_target_": target}},
    ):
        with pytest.raises(UserError, match="_target_="):
            build(section)


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.Identity",
        "torch.optim.SGD",
        "torch.optim.lr_scheduler.LinearLR",
        "lightning.pytorch.callbacks.EarlyStopping",
        "torchmetrics.MeanMetric",
        "transformers.BertForMaskedLM",
        "timm.create_model",
        "torchvision.models.resnet18",
        "zoo.models.CifarResNet",
        "zoo.data.digits",
        "zoo.callbacks.Progress",
    ],
)
def test_what_a_configuration_is_for_is_built(target: str) -> None:
    factory({"_target_": target})


def test_build_passes_what_only_the_caller_knows_and_no_label() -> None:
    layer: Any = build(
        {"name": "label", "_target_": "torch.nn.Linear", "in_features": 3}, out_features=2
    )
    assert layer.weight.shape == (2, 3)
    with pytest.raises(UserError, match="widht"):
        build({"name": "resnet8", "_target_": "zoo.models.CifarResNet", "depth": 8, "widht": 3})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"name": "o"}, "o: this option says not what to build; write a _target_ into its file"),
        (
            {"_target_": "zoo.optim.schedules.Cosin"},
            r"cannot be found \(zoo.optim.schedules has no Cosin; did you mean Cosine",
        ),
        ({"_target_": "zoo.optimm.Cosine"}, r"cannot be found \(zoo has no optimm; did you mean"),
        (
            {"name": "mine", "_target_": "zoo.optim.schedules.Cosine", "warmup_fractoin": 0.1},
            "mine: .*'warmup_fractoin'; did you mean warmup_fraction",
        ),
    ],
)
def test_what_cannot_be_built_is_one_sentence(section: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        build(section)
    assert "\n" not in str(error.value)
