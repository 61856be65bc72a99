"""Any of timm's optimizers by name."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from zoo.errors import UserError, suggest


def timm_optimizer(params: Iterable[Tensor], opt: str, **options: Any) -> Optimizer:
    """Return timm's optimizer `opt` over these parameters, every one of them decayed.

    Args:
        params: parameters.
        opt: a name of `timm.optim.list_optimizers()`.
        options: lr, weight_decay, momentum and what else that optimizer takes.

    Raises:
        UserError: timm has no such optimizer.
    """
    from timm.optim import create_optimizer_v2, list_optimizers

    names = list_optimizers()
    if opt == "adahessian":
        raise UserError(
            f"optimizer.name={opt}: needs second derivatives, which Lightning's step does not "
            "make; type optimizer.name=adamw or another of timm's"
        )
    if opt not in names:
        raise UserError(f"optimizer.name={opt}: timm has no such optimizer{suggest(opt, names)}")
    return create_optimizer_v2(list(params), opt=opt, **options)


def register() -> None:
    """Make our optimizers known to timm, so that its own tools find them by name.

    No underscore: what stands before one is a wrapper's name to timm.
    """
    from timm.optim import OptimInfo
    from timm.optim._optim_factory import default_registry  # the only one that there is

    from zoo.optim.braking import AdaptiveBraking, AdaptiveBrakingAdamW

    for name, cls, what in (
        ("adaptivebraking", AdaptiveBraking, "SGD with Adaptive Braking (arXiv 2007.01397)"),
        ("adaptivebrakingw", AdaptiveBrakingAdamW, "AdamW with Adaptive Braking"),
    ):
        default_registry.register(
            OptimInfo(
                name=name,
                opt_class=cls,
                description=what,
                has_momentum=cls is AdaptiveBraking,
                has_betas=cls is not AdaptiveBraking,
            )
        )
