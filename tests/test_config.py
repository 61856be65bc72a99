"""Every combination composes or is refused in one sentence; what is built is what is allowed."""

import itertools
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from zoo.config import build, check, check_plain, compose, factory
from zoo.errors import UserError
from zoo.leaderboard.record import deciding_config, identity
from zoo.overrides import groups

ROOT = Path(__file__).resolve().parent.parent
AXES = {
    name: options
    for name, options in groups().items()
    if options and name not in ("paths", "hydra", "sweeps") and "/" not in name
}


def covering(axes: dict[str, list[str]], strength: int) -> list[dict[str, str]]:
    """Return rows in which every combination of `strength` options of different axes occurs."""
    rng = random.Random(0)
    names = list(axes)
    open_sets = {
        (chosen, options)
        for chosen in itertools.combinations(names, strength)
        for options in itertools.product(*(axes[n] for n in chosen))
    }
    rows = []
    while open_sets:
        best: tuple[int, dict[str, str]] = (-1, {})
        seeds = sorted(open_sets)
        for _ in range(6):
            chosen, options = rng.choice(seeds)
            row = dict(zip(chosen, options, strict=True))
            for name in names:
                row.setdefault(name, rng.choice(axes[name]))
            gain = sum(
                (c, tuple(row[n] for n in c)) in open_sets
                for c in itertools.combinations(names, strength)
            )
            best = max(best, (gain, row), key=lambda pair: pair[0])
        rows.append(best[1])
        for c in itertools.combinations(names, strength):
            open_sets.discard((c, tuple(best[1][n] for n in c)))
    return rows


def compose_and_check(row: dict[str, str]) -> None:
    overrides = [f"{group}={option}" for group, option in row.items()]
    config = compose(overrides)
    try:
        check(config)
    except UserError as refusal:
        text = str(refusal)
        assert "type " in text, text  # says what to type instead
        assert "\n" not in text


def sections() -> dict[str, list[dict[str, Any]]]:
    """Return, for each group that decides a result, its sections as Hydra composes them alone."""
    deciding = ("model", "data", "task", "precision", "optimizer", "scheduler", "delay", "trainer")
    return {
        group: [
            OmegaConf.to_container(compose([f"{group}={o}"]), resolve=True)[group]
            for o in AXES[group]
        ]  # type: ignore[call-overload, index]
        for group in deciding
    }


def test_every_combination_of_the_groups_that_decide_a_result() -> None:
    """All of them go through the check; that Hydra composes them is shown pair by pair below."""
    parts = sections()
    base = OmegaConf.to_container(compose(), resolve=True)
    assert isinstance(base, dict)
    count = refused = 0
    for chosen in itertools.product(*parts.values()):
        plain = {**base, **dict(zip(parts, chosen, strict=True))}
        count += 1
        try:
            check_plain(plain)
        except UserError as refusal:
            refused += 1
            assert "type " in str(refusal)
            assert "\n" not in str(refusal)
    expected = 1
    for part in parts.values():
        expected *= len(part)
    assert count == expected > 10_000
    assert 0 < refused < count / 4


@pytest.mark.parametrize("model", AXES["model"])
def test_hydra_composes_every_model_with_every_data_precision_optimizer_and_delay(
    model: str,
) -> None:
    others = ("data", "precision", "optimizer", "delay")
    for options in itertools.product(*(AXES[name] for name in others)):
        compose_and_check({"model": model, **dict(zip(others, options, strict=True))})


def test_every_pair_of_options_of_all_groups() -> None:
    rows = covering(AXES, 2)
    seen = {(n, row[n]) for row in rows for n in AXES}
    assert seen == {(n, o) for n, options in AXES.items() for o in options}
    for row in rows:
        compose_and_check(row)


def job_overrides(sweep: str) -> list[list[str]]:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    config = compose([f"sweeps={sweep}"], with_hydra=True)
    assert str(config.hydra.mode) == "RunMode.MULTIRUN"
    params = OmegaConf.to_container(config.hydra.sweeper.params)
    assert isinstance(params, dict)
    parser = OverridesParser.create()
    parsed = parser.parse_overrides([f"{k}={v}" for k, v in params.items()])
    return BasicSweeper.split_arguments(parsed, None)[0]


SWEEPS = [name for name in groups()["sweeps"] if name != "none"]


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_job_of_every_sweep(sweep: str) -> None:
    jobs = job_overrides(sweep)
    assert len(jobs) > 1
    for job in jobs:
        check(compose([f"sweeps={sweep}", *job]))


@pytest.mark.parametrize("experiment", groups()["experiment"])
def test_every_experiment(experiment: str) -> None:
    check(compose([f"experiment={experiment}"]))


@pytest.mark.parametrize("folder", ["conf", "sweeps"])
def test_every_key_has_a_comment_and_every_preset_its_command(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.yaml"):
        lines = path.read_text().splitlines()
        if path.name != "train.yaml" and path.parent.name not in ("hydra", "paths", "callbacks"):
            assert any(line.startswith("# python train.py") for line in lines[:3]), path
        in_defaults = False
        for number, line in enumerate(lines):
            if not line.strip() or line.lstrip().startswith(("#", "- ")):
                continue
            key = re.match(r"^(\s*)([\w.]+):(.*)$", line)
            in_defaults = line.startswith("defaults:") or (in_defaults and line.startswith(" "))
            if key is None or in_defaults or key[2] in ("_target_", "name"):
                continue
            holds_more = not key[3].strip() or key[3].strip() == "|"
            commented = "#" in key[3] or lines[number - 1].lstrip().startswith("#")
            assert holds_more or commented or path.parent.name == "hydra", f"{path.name}: {line}"


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
    shown = subprocess.run(
        [sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    listed = [
        line.split(":")[0] for line in shown.split("== Config ==")[0].splitlines() if ": " in line
    ]
    assert {name.split("/")[0] for name in listed} <= {
        *(n.split("/")[0] for n in groups()),
        "hydra",
    }


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["model=resnt20"], "model=resnt20: no such model; did you mean resnet20"),
        (["precision=17"], "precision=17: no such precision; there are bf16"),
        (["data=cifar"], "data=cifar: no such data; did you mean cifar10"),
        (["optimizer=lamb"], "optimizer=timm optimizer.name=lamb"),
        (["sweeps=dmo"], "sweeps=dmo: no such sweeps; did you mean demo"),
        (["trainer.budgett_s=3"], "trainer.budgett_s: no such key; did you mean trainer.budget_s"),
        (["optimzer=sgd"], "optimzer: no such group or key; did you mean optimizer"),
        (["model=vgg11", "model.dpth=3"], "model.dpth: no such key; did you mean model.depth"),
        (["+trainer.foo=1"], "trainer.foo: no such key"),
        (["trainer.max_epochs=-1"], "trainer.max_epochs=-1: input should be greater than 0"),
        (["trainer.budget_s=0"], "trainer.budget_s=0: input should be greater than 0"),
        (["trainer.max_epochs=ten"], "trainer.max_epochs=ten: input should be a valid number"),
        (["trainer.max_epochs=null"], "no budget is set"),
        (["data.batch_size=0"], "data.batch_size=0: input should be greater than or equal to 1"),
        (["seed=-1"], "seed=-1: input should be greater than or equal to 0"),
        (["optimizer.momentum=1"], "optimizer.momentum=1: input should be less than 1"),
        (["data.batch_size=1"], "model.norm=batch: batch norm"),
        (["model=vgg11"], "type data.image_size=32"),
        (["task.mixup=0.2", "data.batch_size=63"], "type an even number"),
        (["trainer.devices=3"], "data.batch_size=64: is shared among trainer.devices=3"),
        (["seed"], "seed: an override is KEY=VALUE"),
        (["model=timm", "model.width=2"], "model.width: no such key"),
        (["+foo=1"], "foo: no such key"),
        (["+optimzer.lr=3"], "optimzer: no such key; did you mean optimizer"),
        (["+delay.steps=3"], "delay.steps: delay=none has no such key"),
        (["optimizer.lr=inf"], "optimizer.lr=inf: input should be a finite number"),
        (["+optimizer.dampening=nan"], "optimizer.dampening=nan: must be a finite number"),
        (["trainer.max_steps=1.5"], "trainer.max_steps=1.5: input should be a valid integer"),
        (["trainer.max_steps=10000000000000000"], "less than or equal to"),
        (["optimizer.nesterov=maybe"], "optimizer.nesterov=maybe: input should be a valid boolean"),
        (["data.flip=maybe"], "data.flip=maybe: input should be a valid boolean"),
        (["scheduler=steps", "scheduler.fractions=3"], "scheduler.fractions=3: input should be"),
        (
            ["scheduler=steps", "scheduler.fractions=[2]"],
            "scheduler.fractions.0=2: input should be",
        ),
        (["scheduler=steps", "scheduler.factor=-1"], "scheduler.factor=-1: input should be"),
        (["model.width=abc"], "model.width=abc: input should be a valid integer"),
        (["model=vgg11", "data.image_size=null"], "data.image_size=null: input should be"),
        (["~model.name"], "model.name: is missing"),
        (["trainer.strategy=fsdp"], "trainer.strategy=fsdp: input should be 'auto' or 'ddp'"),
        (["trainer.devices=2", "trainer.budget_s=9"], "trainer.budget_s=9.0: the clocks"),
        (["paths.output_dir=null"], "paths.output_dir=null: input should be a valid string"),
        (["logger.name=1"], "logger.name=1: input should be a valid string"),
        (["logger.project='a/b c?'"], "logger.project=a/b c?: string should match"),
        (
            [
                "+callbacks.mine={_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: /home/x}"
            ],
            "callbacks.mine.dirpath=/home/x: a path would enter the record",
        ),
    ],
)
def test_a_mistake_ends_in_one_sentence(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        check(compose(overrides))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "torch.os.system",
        "torch.hub.load",
        "torch.load",
        "torch.serialization.load",
        "zoo.config.os.system",
        "lightning.pytorch.trainer.trainer.os.getcwd",
        "torchx.thing",
        "zoo.nothing_here",
        "zoo.leaderboard.store.write_atomically",
        "zoo.config.launch",
        "torch._inductor.codecache.PyCodeCache.load",
        "torch.fx.graph_module._exec_with_source",
        "lightning.fabric.utilities.cloud_io._load",
        "torch.from_file",
        "transformers.AutoModel.from_pretrained",
        "timm.models.create_model.__globals__",
    ],
)
def test_only_allowed_targets_are_built(target: str) -> None:
    for section in (
        {"_target_": target},
        {"_target_": "torch.nn.Identity", "x": {"_target_": target}},
    ):
        with pytest.raises(UserError, match="_target_="):
            build(section)


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.Identity",
        "torch.optim.SGD",
        "torch.optim.lr_scheduler.LinearLR",
        "lightning.pytorch.callbacks.EarlyStopping",
        "torchmetrics.MeanMetric",
        "transformers.BertForMaskedLM",
        "timm.create_model",
        "torchvision.models.resnet18",
        "zoo.models.CifarResNet",
        "zoo.data.digits",
        "zoo.callbacks.Progress",
    ],
)
def test_what_a_configuration_is_for_is_built(target: str) -> None:
    factory({"_target_": target})


def ids(overrides: list[str]) -> str:
    return identity(deciding_config(check(compose(overrides))), "0" * 64, "v")


def test_a_run_has_one_identity_however_it_is_typed() -> None:
    assert (
        ids([]) == ids(["experiment=none", "sweeps=none"]) == ids(["sweeps=demo", "model.width=16"])
    )
    assert ids(["experiment=digits/quick"]) == ids(["trainer.max_epochs=5"]) != ids([])
    assert ids(["model=resnet8"]) == ids(["model=resnet", "model.depth=8"])
    assert ids(["logger=csv", "callbacks.progress=null", "force=true"]) == ids([])


def test_build_passes_what_only_the_caller_knows_and_no_label() -> None:
    layer: Any = build(
        {"name": "label", "_target_": "torch.nn.Linear", "in_features": 3}, out_features=2
    )
    assert layer.weight.shape == (2, 3)
    with pytest.raises(UserError, match="widht"):
        build({"name": "resnet8", "_target_": "zoo.models.CifarResNet", "depth": 8, "widht": 3})


def test_numbers_take_the_schemas_type() -> None:
    one, other = (check(compose([f"optimizer.lr={lr}"])) for lr in ("1", "1.0"))
    assert one == other
    assert isinstance(one["optimizer"]["lr"], float)
