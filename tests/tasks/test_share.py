"""An accumulated loss is the mean over the targets of the update, not a mean of means."""

from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader

from zoo.data.text_data import Share
from zoo.optim.schedules import Constant
from zoo.tasks.base import Task

SIZES = (1, 7, 2)  # targets of the batches of an update


class Regression(Task):
    """The mean of squares over the rows of a batch."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net, lambda ps: torch.optim.SGD(ps, lr=0.1), Constant(), lambda _: 0.0)
        self.shares: list[Any] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        assert set(batch) == {"x"}  # what the model takes, and no more
        loss = self.net(batch["x"]).square().mean()
        self.shares.append(self.share)
        return {"loss": loss, "metrics": {"loss": loss.detach()}}


@pytest.mark.parametrize("told", [True, False])
def test_an_update_is_that_of_all_its_targets_at_once(told: bool) -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    parts = [torch.randn(n, 3) for n in SIZES]
    net(torch.cat(parts)).square().mean().backward()
    gradients: list[Any] = [p.grad for p in net.parameters()]
    expected = [(p - 0.1 * g).detach() for p, g in zip(net.parameters(), gradients, strict=True)]
    net.zero_grad()
    task = Regression(net)
    share = [{"share": Share(n, sum(SIZES))} if told else {} for n in SIZES]
    trainer = Trainer(
        max_epochs=1, accumulate_grad_batches=3, logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    batches: Any = [{"x": x, **s} for x, s in zip(parts, share, strict=True)]
    trainer.fit(task, DataLoader(batches, batch_size=None, num_workers=0))
    same = [
        torch.allclose(p, e, atol=1e-7) for p, e in zip(net.parameters(), expected, strict=True)
    ]
    assert same == [told, told]  # untold, it is the mean of the batches' means
    if told:
        assert torch.stack(task.shares).tolist() == pytest.approx([0.3, 2.1, 0.6])
