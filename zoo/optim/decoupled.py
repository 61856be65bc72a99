"""AdamW whose decay does not scale with the learning rate's peak.

    w <- w - (lr_t / lr_peak) wd w,   then Adam's step

torch.optim.AdamW takes lr_t * wd' of each weight, so it is the same rule with wd' = wd / lr_peak
(Loshchilov & Hutter 2019, arXiv 1711.05101, with the schedule multiplier eta_t = lr_t / lr_peak;
the form that MosaicBERT's recipe uses: wd = 1e-5 at lr_peak = 5e-4 is 0.02 for torch's AdamW).
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import AdamW

from zoo.errors import UserError


class DecoupledAdamW(AdamW):
    """torch's AdamW with `weight_decay` as the share that one step at the peak takes away.

    Args:
        params: parameters, or groups of them; a group may have its own `lr` and `weight_decay`.
        lr: the peak of the schedule.
        betas, eps: Adam's.
        weight_decay: share of a weight removed by one step at the peak.
        options: further arguments of torch.optim.AdamW (foreach, fused, ...).

    Raises:
        UserError: lr is 0, so that the decay has nothing to be relative to.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 1e-5,
        **options: Any,
    ) -> None:
        given: list[Any] = list(params)
        are_groups = bool(given) and isinstance(given[0], dict)
        groups: list[dict[str, Any]] = (
            [dict(g) for g in given] if are_groups else [{"params": given}]
        )
        for group in groups:
            peak = group.get("lr", lr)
            if not peak > 0:
                raise UserError(
                    f"optimizer.lr={peak}: decoupled_adamw's decay is relative to the peak; "
                    "type a positive optimizer.lr"
                )
            group["weight_decay"] = group.get("weight_decay", weight_decay) / peak
        super().__init__(groups, lr=lr, betas=tuple(betas), eps=eps, **options)  # type: ignore[arg-type]
