"""What is typed is what is composed, and a mistake ends in one sentence."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from tests.jobs import job_overrides
from tests.product import AXES, covering, words
from tests.warm import cold
from zoo.config import check, compose, session
from zoo.errors import UserError
from zoo.leaderboard.record import deciding_config, identity
from zoo.overrides import CONF, DRY_RUN, groups, refuse_flags

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("choice", ["169", "1_6_9", "'169'", "fp169"])
def test_precision_169_literally(choice: str) -> None:
    config = compose([f"precision={choice}"])
    assert config.precision.name == "fp169"
    assert (config.precision.exponent_bits, config.precision.mantissa_bits) == (6, 9)


def test_precision_169_in_a_sweep_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    sweep = {
        "hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"precision": "169,32", "seed": 3}}}
    }
    (tmp_path / "sweeps" / "mine.yaml").write_text("# @package _global_\n" + yaml.safe_dump(sweep))
    monkeypatch.setattr("zoo.plugins.ROOT", tmp_path)
    assert job_overrides("mine") == [["precision=fp169", "seed=3"], ["precision=fp32", "seed=3"]]


def test_the_search_path_makes_no_group_of_other_folders() -> None:
    with session():
        listed = GlobalHydra.instance().config_loader().list_groups("")
    ours = {name for name in groups() if "/" not in name}
    assert ours <= set(listed) <= {*ours, "hydra"}


def test_help_has_examples_flags_and_every_option_in_100_columns() -> None:
    shown = subprocess.run(
        [sys.executable, "train.py", "--help", "model=vgg11"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert max(map(len, shown.splitlines())) <= 100
    head, keys = shown.split("\nKeys and their values")
    head, listed = head.split("\nGroups and their options")
    for command in re.findall(r"^  python train.py (.*?)(?:  .*)?$", head, re.MULTILINE):
        overrides = [word for word in command.split() if "=" in word]
        single = [word.partition(",")[0] for word in overrides if "sweeps" not in word]
        check(compose(single))
    for flag in re.findall(r"^  (--?[\w-]+)", head, re.MULTILINE):
        assert flag in ("-m", DRY_RUN, "--cfg", "--config-dir", "--hydra-help")
    for group, options in groups().items():
        if "/" not in group and group != "hydra":
            paragraph = re.search(rf"^  {group} +((?:.|\n {{10,}})*)", listed, re.MULTILINE)
            assert paragraph, group
            assert paragraph[1].split() == options
    config = yaml.safe_load(keys.split("\n\n")[1])
    assert config["model"]["depth"] == 11


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["model=resnt20"], "model=resnt20: no such model; did you mean resnet20"),
        (["precision=99"], "precision=99: no such precision; there are bf16"),
        (["data=cifar"], "data=cifar: no such data; did you mean cifar10"),
        (["optimizer=lamb"], "optimizer=timm optimizer.name=lamb"),
        (["sweeps=dmo"], "sweeps=dmo: no such sweep; did you mean demo"),
        (["trainer.budgett_s=3"], "trainer.budgett_s: no such key; did you mean trainer.budget_s"),
        (["optimzer=sgd"], "optimzer: no such group or key; did you mean optimizer"),
        (["model=vgg11", "model.dpth=3"], "model.dpth: no such key; did you mean model.depth"),
        (["learning_rate=0.1"], "learning_rate: no such group or key; did you mean optimizer.lr?"),
        (["qqqqqqqq=1"], "qqqqqqqq: no such group or key; python train.py --help has them all"),
        (["seed=0,1"], "seed=0,1: several values are a sweep of train.py; type -m before them"),
        (
            ["callbacks.checkpoint.every_s=3", "model=resnet8,resnet20", "seed=1"],
            "model=resnet8,resnet20: several values are",
        ),
        (["seed"], "seed: is no override; type KEY=VALUE"),
        (["model=timm", "model.width=2"], "model.width: no such key"),
        (
            ["precision=fp8_e4m3,fp8_e5m2", "precision.loss_scale=dynamic"],
            "type ++precision.loss_scale=dynamic",
        ),
        (["precision=choice(169,bf16)", "precision.los_scale=1"], "did you mean precision.loss"),
    ],
)
def test_a_mistake_ends_in_one_sentence(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        compose(overrides)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def ids(overrides: list[str]) -> str:
    return identity(deciding_config(check(compose(overrides))), "0" * 64, "v")


def test_a_run_has_one_identity_however_it_is_typed() -> None:
    assert (
        ids([]) == ids(["experiment=none", "sweeps=none"]) == ids(["sweeps=demo", "model.width=16"])
    )
    assert ids(["experiment=digits/quick"]) == ids(["trainer.max_epochs=5"]) != ids([])
    assert ids(["model=resnet8"]) == ids(["model=resnet", "model.depth=8"])
    assert ids(["logger=csv", "callbacks.progress=null", "force=true"]) == ids([])


def test_a_logger_is_whole_whichever_preset_its_name_is_typed_over() -> None:
    for preset in groups()["logger"]:
        section = check(compose([f"logger={preset}", "logger.name=wandb"]))["logger"]
        assert section.keys() == {"name", "project", "entity", "group"}


def test_a_warm_hydra_composes_what_a_cold_one_does() -> None:
    """All other tests compose with tests/warm.py; every option is here, and some pairs."""
    for row in covering(AXES, 1) + covering(AXES, 2)[::48]:
        typed = [*words(row), "trainer.max_steps=7", "+callbacks.mine={a: [1, 2]}"]
        remembered = compose(typed, with_hydra=True)
        with cold():
            again = compose(typed, with_hydra=True)
        assert OmegaConf.to_container(remembered) == OmegaConf.to_container(again)
        assert OmegaConf.to_yaml(remembered, resolve=False) == OmegaConf.to_yaml(again)
        remembered.trainer.max_steps = 8  # of this configuration, and not of the next one


def test_composing_imports_no_torch() -> None:
    code = (
        "import sys; from zoo.config import check, compose; check(compose()); "
        "sys.exit(bool({'torch', 'lightning', 'timm', 'wandb'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["--model", "resnet20"],
            "--model: there is no such flag; options have no dashes: type model=VALUE",
        ),
        (["--lr=0.1"], "type optimizer.lr=0.1"),
        (["--verbose"], "type KEY=VALUE, as in model=resnet20"),
        (["--task=classification"], "type task=classification"),
        (["--batch-size=8"], "type data.batch_size=8"),
    ],
)
def test_a_flag_that_is_none_is_an_option_with_dashes(typed: list[str], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        refuse_flags(typed)
    refuse_flags(
        [
            "-m",
            "--multirun",
            "--cfg=job",
            "--cfg",
            "job",
            "--dry-run",
            "--config-dir=x",
            "--multi",
            "--",
            "seed=1",
        ]
    )


def test_a_mistake_in_the_users_own_defaults_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = shutil.copytree(CONF, tmp_path / "conf")
    local = conf / "local" / "default.yaml"
    local.parent.mkdir(exist_ok=True)
    local.write_text("# @package _global_\ndefaults:\n  - override /model: resnet21\n")
    for name, value in (("CONF", conf), ("LOCAL", local), ("ROOT", tmp_path)):
        monkeypatch.setattr(f"zoo.config.{name}", value)
    with cold(), pytest.raises(UserError) as caught:
        compose(["seed=1"])
    assert "resnet21" in str(caught.value)
    assert str(caught.value).endswith("; mend conf/local/default.yaml")
