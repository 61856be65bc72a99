"""Image classification: cross-entropy, with accuracy and top-5 accuracy over all samples."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from zoo.errors import UserError
from zoo.tasks.base import Task, meta
from zoo.tasks.mean import Mean


class Scores(nn.Module):
    """Cross-entropy, accuracy (micro) and, beyond five classes, top-5 accuracy of a split."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.loss = Mean()
        self.acc = MulticlassAccuracy(num_classes, average="micro")
        top5 = (
            MulticlassAccuracy(num_classes, average="micro", top_k=5) if num_classes > 5 else None
        )
        self.acc5 = top5

    def forward(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits (B, num_classes) and labels (B,)."""
        self.loss.update(F.cross_entropy(logits, labels), weight=len(labels))
        self.acc.update(logits, labels)
        if self.acc5 is not None:
            self.acc5.update(logits, labels)

    def read(self) -> dict[str, Tensor]:
        """Return the scores over all batches, and start anew; where the loss is NaN, all are."""
        metrics: dict[str, Metric | None] = {"loss": self.loss, "acc": self.acc, "acc5": self.acc5}
        values = {}
        for key, metric in metrics.items():
            if metric is not None:
                values[key] = metric.compute()
                metric.reset()
        # A class is answered for logits of NaN, too: the first.
        loss = values["loss"]
        return dict.fromkeys(values, loss) if loss.isnan() else values


class ClassificationTask(Task):
    """Learn classes of images.

    Args:
        net: images (B, C, H, W) to logits (B, num_classes).
        num_classes: classes of the labels.
        image_shape: (C, H, W).
        label_smoothing: share of the target that is spread over all classes.
        mixup, cutmix: alphas of timm's Mixup; 0: off. Training accuracy is then not defined.
        shared: see `Task`.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        num_classes: int,
        image_shape: tuple[int, int, int],
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        **shared: Any,
    ) -> None:
        super().__init__(net, **shared)
        self.num_classes = num_classes
        self.image_shape = image_shape
        self.label_smoothing = label_smoothing
        self._mixup = None
        if mixup or cutmix:
            from timm.data import Mixup

            self._mixup = Mixup(
                mixup, cutmix, label_smoothing=label_smoothing, num_classes=num_classes
            )
        self.scores = nn.ModuleDict({"val": Scores(num_classes), "test": Scores(num_classes)})

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Any]:
        images, labels = batch
        if self._mixup is not None:
            images, targets = self._mixup(images.clone(), labels)
            loss = F.cross_entropy(self._logits(images), targets)
            return {"loss": loss, "metrics": {"loss": loss.detach()}}
        logits = self._logits(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        hits = (logits.detach().argmax(1) == labels).float().mean()
        return {"loss": loss, "metrics": {"loss": loss.detach(), "acc": hits}}

    def evaluate(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        images, labels = batch
        self.scores[split](self._logits(images), labels)

    def _logits(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        wanted = (len(images), self.num_classes)
        if not isinstance(logits, Tensor) or logits.shape != wanted:
            made = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise UserError(
                f"model: has given {made} where logits of (batch, num_classes) {wanted} are needed; "
                "mend its forward, or type another model"
            )
        return logits.float()

    def publish(self, split: str) -> None:
        scores = self.scores[split]
        assert isinstance(scores, Scores)
        for key, value in scores.read().items():
            # The metric has summed over the ranks already: their mean is the same number.
            self.log(f"{split}/{key}", value, sync_dist=True)

    def count(self, batch: tuple[Tensor, Tensor]) -> tuple[int, int | None]:
        return len(batch[1]), None

    def example(self, samples: int) -> Tensor:
        return meta(samples, *self.image_shape)
