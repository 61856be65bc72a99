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
