import pytest

from zoo.budget import ENDLESS, Budget

SECTION = {
    "max_epochs": None,
    "max_steps": None,
    "max_samples": None,
    "budget_s": None,
    "accumulate": 1,
    "eval_every_epochs": 1.0,
    "eval_every_steps": None,
}


def budget(**section: object) -> Budget:
    return Budget({**SECTION, **section}, batches_per_epoch=19, batch_size=64)


@pytest.mark.parametrize(
    ("section", "steps"),
    [
        ({"max_steps": 7}, 7),
        ({"max_epochs": 2}, 38),
        ({"max_epochs": 0.5}, 10),
        ({"max_epochs": 0.001}, 1),
        ({"max_samples": 65}, 2),
        ({"max_samples": 64}, 1),
        ({"max_epochs": 2, "max_steps": 50}, 38),
        ({"max_epochs": 2, "accumulate": 2}, 19),
        ({"max_samples": 256, "accumulate": 2}, 2),
    ],
)
def test_every_kind_of_budget_is_so_many_steps(section: dict[str, object], steps: int) -> None:
    b = budget(**section)
    assert b.max_steps == steps
    assert b.total_batches == steps * int(str(section.get("accumulate", 1)))


def test_seconds_alone_end_a_run_and_drive_its_progress() -> None:
    b = budget(budget_s=10.0)
    assert b.max_steps is None
    assert b.total_batches == ENDLESS
    b.used(1000, 2.5)
    assert (b.progress, b.time_is_up) == (0.25, False)
    b.used(2000, 10.0)
    assert (b.progress, b.time_is_up) == (1.0, True)


def test_the_budget_that_is_used_most_is_the_progress() -> None:
    b = budget(budget_s=10.0, max_steps=100)
    b.used(50, 1.0)
    assert b.progress == 0.5
    b.used(50, 9.0)
    assert b.progress == 0.9


def test_evaluation_by_epochs_or_by_steps() -> None:
    assert budget(max_steps=9).eval_every_batches == 19
    assert budget(max_steps=9, eval_every_epochs=0.5).eval_every_batches == 10
    assert budget(max_steps=9, eval_every_steps=3, accumulate=2).eval_every_batches == 6
