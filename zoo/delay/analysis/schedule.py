"""What a pipeline of S stages does at each clock, and what it must keep.

A sample's forward pass is at stage s = 1, ..., S at clocks i, i + 1, ..., and its backward pass
comes the other way; the last stage does both in one clock. Between the two passes at stage s
2 (S - s) updates happen: the delay. Source: Kosson et al., arXiv 2003.11666.
"""


def delays(stages: int) -> list[int]:
    """Return each stage's delay in updates, D_s = 2 (S - s).

    >>> delays(4)
    [6, 4, 2, 0]
    """
    return [2 * (stages - stage) for stage in range(1, stages + 1)]


def clocks(stages: int, samples: int) -> int:
    """Return the clocks that `samples` take from the first forward to the last backward pass."""
    return samples + 2 * (stages - 1)


def utilisation(stages: int, samples: int) -> float:
    """Return the busy share of the stages' time, N / (N + 2 (S - 1)).

    Fill and drain pays this for each update of N samples. A pipeline that is never drained pays it
    once: with all samples of the run as N, which is 1 in all but name.

    >>> round(utilisation(34, 128), 3)
    0.66
    """
    return samples / clocks(stages, samples)


def activations(stages: int) -> int:
    """Return how many stages' activations are kept at a time: the sum of D_s + 1, which is S^2.

    >>> activations(34) == 34**2
    True
    """
    return sum(delay + 1 for delay in delays(stages))


def weight_versions(delay: int, *, stash: bool = False, predict: bool = False) -> int:
    """Return how many copies of a stage's weights there are.

    Pipelined backpropagation keeps one, and one more where weights are predicted. Weight stashing
    gives the backward pass the weights of the forward pass: D + 1 of them.

    >>> weight_versions(6), weight_versions(6, predict=True), weight_versions(6, stash=True)
    (1, 2, 7)
    """
    return delay + 1 if stash else 1 + (predict and delay > 0)
