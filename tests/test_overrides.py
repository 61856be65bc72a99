import pytest

from zoo.overrides import canonical, groups


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("precision=169", "precision=fp169"),
        ("precision=1_6_9", "precision=fp169"),
        ("precision='169'", "precision=fp169"),
        ("precision=169,fp32", "precision=fp169,fp32"),
        ("precision=fp32,169,bf16", "precision=fp32,fp169,bf16"),
        ("precision=choice(169,32)", "precision=choice(fp169,fp32)"),
        ("precision=choice(169, bf16)", "precision=choice(fp169, bf16)"),
        ("precision=32", "precision=fp32"),
        ("precision=17", "precision=17"),  # no such file: left for the error message
        ("+precision=169", "+precision=fp169"),
        ("seed=169", "seed=169"),
        ("trainer.max_steps=169", "trainer.max_steps=169"),
        ("model=resnet8", "model=resnet8"),
        ("optimizer.lr=32", "optimizer.lr=32"),
        ("precision=glob(*)", "precision=glob(*)"),
        ("--multirun", "--multirun"),
    ],
)
def test_a_numeric_choice_of_a_group_means_its_file(typed: str, meant: str) -> None:
    assert canonical(typed) == meant


def test_every_folder_of_conf_is_a_group_and_sweeps_too() -> None:
    found = groups()
    wanted = (
        "model data task precision optimizer scheduler delay trainer logger callbacks experiment"
    )
    assert set(wanted.split()) <= set(found)
    assert "demo" in found["sweeps"]
    assert "fp169" in found["precision"]
