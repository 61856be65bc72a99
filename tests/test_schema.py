"""A wrong key or value ends in one sentence; numbers have the schema's types."""

import pytest

from zoo.config import check, compose
from zoo.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["+trainer.foo=1"], "trainer.foo: no such key"),
        (["trainer.max_epochs=-1"], "trainer.max_epochs=-1: input should be greater than 0"),
        (["trainer.budget_s=0"], "trainer.budget_s=0: input should be greater than 0"),
        (["trainer.max_epochs=ten"], "trainer.max_epochs=ten: input should be a valid number"),
        (["data.batch_size=0"], "data.batch_size=0: input should be greater than or equal to 1"),
        (["seed=-1"], "seed=-1: input should be greater than or equal to 0"),
        (["optimizer.momentum=1"], "optimizer.momentum=1: input should be less than 1"),
        (["+foo=1"], "foo: no such key"),
        (["+optimzer.lr=3"], "optimzer: no such key; did you mean optimizer"),
        (["optimizer.lr=inf"], "optimizer.lr=inf: input should be a finite number"),
        (["+optimizer.dampening=nan"], "optimizer.dampening=nan: must be a finite number"),
        (["trainer.max_steps=1.5"], "trainer.max_steps=1.5: input should be a valid integer"),
        (["trainer.max_steps=10000000000000000"], "less than or equal to"),
        (["optimizer.nesterov=maybe"], "optimizer.nesterov=maybe: input should be a valid boolean"),
        (
            ["optimizer.scale_from=128"],
            "optimizer.scale_from=128: is of a number of samples; "
            "type optimizer.scale_from.batch_size=128",
        ),
        (["optimizer.scale_from.batch_size=0"], "optimizer.scale_from.batch_size=0: input should"),
        (["+optimizer.scale_from.samples=9"], "optimizer.scale_from.samples: no such key"),
        (["model.group_size_doubles=maybe"], "model.group_size_doubles=maybe: input should be"),
        (["data=text", "data.max_length=3"], "data.max_length=3: input should be greater than"),
        (["data=text", "data.mask_rate=1.1"], "data.mask_rate=1.1: input should be less than"),
        (
            ["data=text", "data.objective=both"],
            "data.objective=both: input should be 'masked', 'causal' or",
        ),
        (["data=text", "data.tokenizer=bert"], "data.tokenizer=bert: input should be 'auto', 'wo"),
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
        (["trainer.strategy=tpu"], "trainer.strategy=tpu: input should be 'auto', 'ddp' or 'fsdp'"),
        (["paths.output_dir=null"], "paths.output_dir=null: input should be a valid string"),
        (["logger.name=foo"], "input should be 'auto', 'wandb', 'csv' or 'none'; type logger.name"),
        (["seed=true"], "seed=True: value error, must be a number"),
        (["optimizer.lr=true"], "optimizer.lr=True: value error, must be a number"),
        (["trainer.max_steps=false"], "trainer.max_steps=False: value error, must be a number"),
        (["optimizer.lr=1e39"], "optimizer.lr=1e+39: input should be less than"),
        (["trainer.peak_flops=1e-100"], "trainer.peak_flops=1e-100: input should be greater than"),
        (["model=biomedlm", "model.layers=0"], "model.layers=0: input should be greater than"),
        (["model=biomedlm", "data.corpus=[pubmed,pmc]"], "type data.corpus=pubmed+pmc"),
        (["model=biomedlm", "data.corpus=null"], "type data.corpus=pubmed+pmc"),
        (["scheduler=steps", "scheduler.fractions=null"], "scheduler.fractions=null: input should"),
        (["data=digits", "+data.objective=masked"], "is missing; leave it as the option has it"),
        (["model=mosaicbert", "~data.packing"], "'packing' is missing; leave it as the option"),
        (["+local={trainer: {accelerator: cpu}}"], "write `# @package _global_` as its first line"),
        (["logger.project='a/b c?'"], "logger.project=a/b c?: string should match"),
        (
            [
                "+callbacks.mine={_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: /home/x}"
            ],
            "callbacks.mine.dirpath=/home/x: a path would enter the record",
        ),
    ],
)
def test_a_wrong_value_ends_in_one_sentence(overrides: list[str], sentence: str) -> None:
    config = compose(overrides)
    with pytest.raises(UserError) as caught:
        check(config)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_take_the_schemas_type() -> None:
    one, other = (check(compose([f"optimizer.lr={lr}"])) for lr in ("1", "1.0"))
    assert one == other
    assert isinstance(one["optimizer"]["lr"], float)


@pytest.mark.parametrize(
    "off",
    [
        "model.group_size_doubles=false",
        "model.group_size_doubles=no",
        "optimizer.scale_from.batch_size=null",
        "optimizer.scale_from=null",
        "optimizer.scale_from={}",
        "~optimizer.scale_from",
    ],
)
def test_what_came_later_and_is_off_leaves_the_configuration_as_it_was(off: str) -> None:
    """So that runs keep the ids that they had before there was such a key."""
    config = check(compose([off]))
    assert config == check(compose())
    assert "group_size_doubles" not in config["model"]
    assert "scale_from" not in config["optimizer"]


@pytest.mark.parametrize("typed", ["scale_from.batch_size=128", "scale_from={batch_size: 128}"])
def test_the_batch_size_of_a_recipe_is_part_of_the_run(typed: str) -> None:
    for plus in ("", "+", "++"):
        section = check(compose([f"{plus}optimizer.{typed}"]))["optimizer"]
        assert section["scale_from"] == {"batch_size": 128}
        assert (section["lr"], section["momentum"]) == (0.1, 0.9)  # the recipe's, as they were


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["precision=bf16", "+precision.exponent_bits=6"],
            "precision.exponent_bits=6: precision=bf16 would be native and emulated at once",
        ),
        (
            ["precision=fp16", "+precision.loss_scale=1024"],
            "precision.loss_scale: precision=fp16 is the device's own arithmetic and has no such "
            "key; type precision=custom precision.loss_scale=...",
        ),
        (
            ["precision=169", "+precision.lightning=bf16-mixed"],
            "precision.lightning=bf16-mixed: precision=fp169 is emulated; type precision=bf16",
        ),
        (["precision=169", "precision.exponent_bits=9"], "precision.exponent_bits=9: must be"),
        (["precision=custom", "precision.mantissa_bits=0"], "precision.mantissa_bits=0: must be"),
        (
            ["precision=custom", "precision.mantissa_bits=true"],
            "precision.mantissa_bits=True: must",
        ),
        (["precision=custom", "precision.rounding=up"], "precision.rounding=up: must be nearest_"),
        (["precision=custom", "precision.specials=merged"], "precision.specials=merged: has no"),
        (
            ["precision=169", "precision.quantize.gradients=bf61"],
            "precision.quantize.gradients=bf61: no such format; did you mean bf16",
        ),
        (
            ["precision=169", "precision.quantize=null"],
            "precision.quantize=None: is set for each of weights, activations, gradients, "
            "weight_gradients; type precision.quantize.weights=none",
        ),
        (["precision=169", "precision.loss_scale=much"], "precision.loss_scale=much: must be none"),
        (["precision=169", "precision.loss_scale=-1"], "precision.loss_scale=-1: must be none"),
        (["precision=169", "precision.loss_scale=true"], "precision.loss_scale=True: must be none"),
        (
            ["precision=169", "precision.loss_scale_window=0"],
            "precision.loss_scale_window=0: input",
        ),
    ],
)
def test_what_is_no_number_format_ends_in_one_sentence(overrides: list[str], sentence: str) -> None:
    config = compose(overrides)
    with pytest.raises(UserError) as caught:
        check(config)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spellings",
    [
        ["precision.loss_scale=1024", "precision.loss_scale=1024.0", "precision.loss_scale='1024'"],
        ["precision.loss_scale=none", "precision.loss_scale=null", "precision.loss_scale=1"],
        ["precision.quantize.weights=none", "precision.quantize.weights=null",
         "precision.quantize.weights=fp32", "precision.quantize.weights=32"],
        ["precision.quantize.weights=own", "precision.quantize.weights=fp169",
         "precision.quantize.weights=169", "seed=0"],
    ],
)  # fmt: skip
def test_a_meaning_has_one_spelling(spellings: list[str]) -> None:
    found = [check(compose(["precision=169", words])) for words in spellings]
    assert all(config == found[0] for config in found)


def test_a_run_needs_no_callbacks() -> None:
    assert check(compose(["~callbacks"]))["callbacks"] == {}
