"""Train one combination of model, data, precision, optimizer and delay, and leave a record.

    python train.py                                     a small ResNet on digits
    python train.py model=resnet20 data=cifar10         CIFAR-10, from data.root or the hub
    python train.py trainer.budget_s=60 trainer.max_epochs=null
    python train.py -m model=resnet8,resnet20 seed=0,1,2
    python train.py sweeps=demo

The same command again finds its record and says so; a run that was cut off goes on.
"""

import sys

try:
    from omegaconf import DictConfig
except ModuleNotFoundError as error:
    sys.exit(f"train.py: {error.name} is not installed; type make setup, then . .venv/bin/activate")

from zoo.config import build, check, launch


def train(config: DictConfig) -> float | None:
    """Train as configured; return the validation metric that a sweep may tune on.

    Raises:
        UserError: the configuration does not go together, or cannot run here.
        Diverged: the loss was no longer finite; the record says so.
        Interrupted: Ctrl-C or SIGTERM; the checkpoint is kept.
    """
    settings = check(config)

    from zoo.checkpoint import start_of, tokenizer_of  # these import torch: not before the check
    from zoo.errors import Diverged
    from zoo.loggers import loggers
    from zoo.run import Run
    from zoo.seeding import INIT, seed_everything

    start = start_of(settings["model"])  # a checkpoint; None where all weights are new
    data = build(settings["data"], seed=settings["seed"], **tokenizer_of(start))
    with Run(settings, data, start) as run:
        if run.record is not None:
            return run.report(run.record, again=True)
        seed_everything(INIT, run.seed)  # the initial weights
        net = run.net()
        task = run.task(net)
        with loggers(settings["logger"], run) as opened:
            trainer = run.trainer(opened)
            run.begin()
            try:
                trainer.fit(task, datamodule=data, ckpt_path=run.checkpoint, weights_only=True)
                if not run.evaluated:
                    trainer.validate(task, datamodule=data, verbose=False)
                trainer.test(task, datamodule=data, verbose=False)
                record = run.finish(task, "finished", opened)
            except Diverged:
                record = run.finish(task, "diverged", opened)
    return run.report(record)


if __name__ == "__main__":
    launch(train)
