"""Each training step draws from a stream of its own, so that a resumed run draws the same."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.seeding import STEP, seed_everything


class SeedEachStep(Callback):
    """Seed torch, numpy and random from (seed, batch, rank) before every training batch.

    Dropout, masks, mixup and stochastic rounding then depend on where training stands and not on
    what was drawn before, and no generator's state has to be saved.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        seed_everything(STEP, self.seed, batch_idx, trainer.global_rank)
