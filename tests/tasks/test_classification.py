"""The task's numbers against torch and scikit-learn; FLOPs against a count by hand."""

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from torch import nn

from zoo.models import CifarResNet
from zoo.optim.schedules import Constant
from zoo.tasks import ClassificationTask
from zoo.tasks.base import flops_of_step


def make(net: nn.Module, classes: int = 10, **options: float) -> ClassificationTask:
    return ClassificationTask(
        net,
        num_classes=classes,
        image_shape=(3, 32, 32),
        make_optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        schedule=Constant(),
        progress=lambda _: 0.0,
        **options,
    )


class Table(nn.Module):
    """Returns prepared logits: row i for image i."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits[x[:, 0, 0, 0].long()]


def test_scores_over_uneven_batches_are_scikit_learns() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(101, 10), torch.randint(0, 10, (101,))
    labels[:10] = torch.arange(10)
    task = make(Table(logits))
    logged: dict[str, float] = {}
    task.log = lambda key, value, **_: logged.update({key: float(value)})  # type: ignore[assignment]
    images = torch.arange(101.0).reshape(101, 1, 1, 1)
    for part in torch.arange(101).split(32):
        task.validation_step((images[part], labels[part]), 0)
    task.on_validation_epoch_end()
    p = logits.softmax(1).double()
    p = p / p.sum(1, keepdim=True)
    assert logged["val/acc"] == pytest.approx(accuracy_score(labels, p.argmax(1)))
    assert logged["val/acc5"] == pytest.approx(top_k_accuracy_score(labels, p, k=5))
    assert logged["val/loss"] == pytest.approx(log_loss(labels, p, labels=range(10)), rel=1e-5)


def test_logits_of_nan_have_no_score() -> None:
    """Their largest would be the first class's, right in one case of ten."""
    logits = torch.zeros(20, 10)
    logits[13] = torch.nan
    task = make(Table(logits))
    logged: dict[str, float] = {}
    task.log = lambda key, value, **_: logged.update({key: float(value)})  # type: ignore[assignment]
    for part in torch.arange(20).split(8):
        task.validation_step((part.float().reshape(-1, 1, 1, 1), torch.zeros_like(part)), 0)
    task.on_validation_epoch_end()
    assert set(logged) == {"val/loss", "val/acc", "val/acc5"}
    assert all(value != value for value in logged.values())


def test_accuracy_counts_samples_and_not_classes() -> None:
    """Nine of ten right is 90%, also where the tenth is the only one of its class."""
    logits = nn.functional.one_hot(torch.zeros(10, dtype=torch.long), 2).float()
    labels = torch.tensor([0] * 9 + [1])
    task = make(Table(logits), classes=2)
    task.evaluate((torch.arange(10.0).reshape(10, 1, 1, 1), labels), "val")
    assert float(task.scores["val"].read()["acc"]) == pytest.approx(0.9)


def test_label_smoothing_is_the_closed_form() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 10), torch.arange(6)
    out = make(Table(logits), label_smoothing=0.1).training_step(
        (torch.arange(6.0).reshape(6, 1, 1, 1), labels), 0
    )
    log_p = logits.log_softmax(1)
    target = 0.9 * nn.functional.one_hot(labels, 10) + 0.1 / 10
    assert float(out["loss"]) == pytest.approx(float(-(target * log_p).sum(1).mean()), rel=1e-6)


@pytest.mark.parametrize("option", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_mixing_leaves_the_batch_alone_and_claims_no_accuracy(option: dict[str, float]) -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8)
    before = images.clone()
    out = make(CifarResNet(depth=8, width=4), **option).training_step((images, labels), 0)
    assert set(out["metrics"]) == {"loss"}
    assert torch.equal(images, before)


def test_flops_of_a_convolution_and_a_linear_layer_by_hand() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.head = nn.Linear(8, 10, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).mean((2, 3)))

    conv, head = 2 * 27 * 8 * 32 * 32, 2 * 8 * 10
    # Backward: each weight's gradient, and the head's input; the images need none.
    step = 5 * ((conv + head) + conv + 2 * head)
    assert flops_of_step(make(Net()), batch_size=5) == (conv + head, step)


def test_flops_of_resnet20_are_the_well_known_ones() -> None:
    """About 41 million multiply-adds (He et al.'s CIFAR ResNet-20)."""
    counted = flops_of_step(make(CifarResNet(depth=20)), batch_size=128)
    assert counted is not None
    assert counted[0] / 2 == pytest.approx(41e6, rel=0.02)
    assert 2.9 < counted[1] / 128 / counted[0] < 3.0


def test_a_model_that_the_meta_device_cannot_run_has_no_flops() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float(x.sum())

    assert flops_of_step(make(Net()), batch_size=2) is None
