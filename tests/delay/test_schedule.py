"""The counts of a pipeline against a pipeline that is run clock by clock."""

from collections import defaultdict

import pytest

from zoo.delay.analysis import schedule
from zoo.delay.analysis.studies import pipeline


@pytest.mark.parametrize(("stages", "samples"), [(1, 1), (3, 5), (4, 32), (16, 40)])
def test_counts_of_a_pipeline_that_is_run(stages: int, samples: int) -> None:
    forward = {(i, s): i + s - 1 for i in range(samples) for s in range(1, stages + 1)}
    backward = {(i, s): i + 2 * stages - 1 - s for i, s in forward}
    last, first = max(backward.values()), min(forward.values())
    assert schedule.clocks(stages, samples) == last - first + 1

    # Each stage has a place for a forward and one for a backward pass at each clock.
    busy = len(forward) + len(backward)
    assert schedule.utilisation(stages, samples) == busy / (2 * stages * (last - first + 1))

    kept: dict[int, int] = defaultdict(int)
    for key, begins in forward.items():
        for clock in range(begins, backward[key] + 1):
            kept[clock] += 1
    if samples > 2 * stages:
        assert max(kept.values()) == schedule.activations(stages) == stages**2

    for stage, delay in enumerate(schedule.delays(stages), start=1):
        sample = samples - 1
        between = [
            i
            for i in range(sample)
            if forward[sample, stage] <= backward[i, stage] < backward[sample, stage]
        ]
        assert len(between) == min(delay, sample)


def test_known_pipelines() -> None:
    assert schedule.utilisation(34, 128) == pytest.approx(0.660, abs=5e-4)
    assert schedule.utilisation(169, 1000) == pytest.approx(0.749, abs=5e-4)
    assert schedule.utilisation(34, 10**7) == pytest.approx(1.0, abs=1e-5)
    assert schedule.delays(34)[0] == 66
    row = pipeline(4)
    assert (row["activations"], row["weights_stashed"], row["weights_predicted"]) == (16, 16, 7)
