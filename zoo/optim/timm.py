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
