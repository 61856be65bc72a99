"""From one batch size to another: learning rate and momentum of SGD, without tuning.

Kosson et al. 2020 (arXiv 2003.11666) and Chiley et al. 2019 (arXiv 1905.05894). From updates of N_r
samples to updates of N,

    m = m_r^(N / N_r)        eta = eta_r (1 - m) N / ((1 - m_r) N_r)

keep, counted in samples, how long the velocity remembers a gradient (m^(1/N)) and how far a sample
moves the weights in all, eta / ((1 - m) N) with the gradient as a mean over the update. The schedule
over the budget and the weight decay stay. The velocity is that of torch's SGD: v <- m v + g.
"""

import math
from typing import Any


def scale_hyperparameters(
    lr: float, momentum: float, *, batch_size: int, new_batch_size: int
) -> tuple[float, float]:
    """Carry a learning rate and a momentum to updates of another size.

    Args:
        lr: eta_r, at least 0.
        momentum: m_r, in [0, 1).
        batch_size: N_r, samples of an update that they are meant for.
        new_batch_size: N, samples of an update that they are wanted for.

    Returns:
        (eta, m).

    Raises:
        ValueError: an argument outside of its range.

    >>> lr, momentum = scale_hyperparameters(0.1, 0.9, batch_size=128, new_batch_size=1)
    >>> f"{lr:.3e} {momentum:.6f}"
    '6.428e-06 0.999177'
    """
    if not (0 <= lr < math.inf and 0 <= momentum < 1):
        raise ValueError(f"lr={lr}, momentum={momentum}: must be in [0, inf) and [0, 1)")
    if batch_size < 1 or new_batch_size < 1:
        raise ValueError(f"batch sizes {batch_size}, {new_batch_size}: must be at least 1")
    if batch_size == new_batch_size:
        return lr, momentum
    share = new_batch_size / batch_size
    if momentum == 0:
        return lr * share, 0.0
    log = math.log(momentum)
    # 1 - m^share without cancellation: at batch size one m is as near to 1 as N_r is large.
    return lr * share * math.expm1(share * log) / math.expm1(log), math.exp(share * log)


def scaled(optimizer: dict[str, Any], update_size: int) -> dict[str, Any]:
    """Return a configuration's section `optimizer` with lr and momentum for updates of this size.

    Args:
        optimizer: the section; `scale_from.batch_size` in it, where there is one, is the size of
            the updates that its lr and momentum are meant for.
        update_size: samples of an update.
    """
    section = dict(optimizer)
    reference = section.pop("scale_from", None)
    if reference is not None:
        section["lr"], section["momentum"] = scale_hyperparameters(
            section["lr"],
            section["momentum"],
            batch_size=reference["batch_size"],
            new_batch_size=update_size,
        )
    return section
