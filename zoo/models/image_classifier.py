"""What networks for small images share: timm's interface, and how convolutions begin."""

from torch import Tensor, nn


class ImageClassifier(nn.Module):
    """Features and a linear layer; a subclass has `forward_features`, `forward_head`, `num_features`."""

    num_classes: int
    num_features: int
    head: nn.Module

    def forward_features(self, x_BCHW: Tensor) -> Tensor:
        raise NotImplementedError

    def forward_head(self, x_BCHW: Tensor, pre_logits: bool = False) -> Tensor:
        raise NotImplementedError

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x_BCHW))

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a new one of `num_classes` outputs (timm's interface)."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def begin_convolutions(self) -> None:
        """Give convolutions their first weights (He et al. 2015, arXiv 1502.01852), and no bias."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
