"""A run: its identity, its folder, what resumes it, and the record that it leaves.

outputs/ID/record.json   the record, there only when the run has ended
outputs/ID/last.ckpt     the state from which it goes on, and its final weights
outputs/ID/previous.ckpt the state before that, until the run has ended
outputs/ID/model/        of a model of text: its configuration and tokenizer, for these weights
outputs/ID/predictions.parquet    of questions: what was answered to each; of pairs: what was written
"""

import datetime
import logging
import shlex
import shutil
import warnings
from pathlib import Path
from typing import IO, Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from zoo import hardware, processes, saved
from zoo.budget import Budget
from zoo.build import build, expect, factory
from zoo.callbacks import Checkpoint, Recorder, SeedEachStep
from zoo.callbacks.checkpoint import AtomicCheckpointIO
from zoo.callbacks.write_targets import WriteTargets
from zoo.checkpoint import Start, decides
from zoo.errors import Diverged, Interrupted, UserError
from zoo.extensions import version_with
from zoo.leaderboard.record import Curve, Data, Record, decides_result, identity
from zoo.leaderboard.store import read_record, write_record
from zoo.locks import lock
from zoo.loggers import summarise
from zoo.models.checkpointing import checkpoint_activations
from zoo.models.fitting import check_batch_norm, check_takes
from zoo.models.layout import channels_last
from zoo.models.sharding import check_blocks
from zoo.optim.scaling import scaled
from zoo.overrides import ROOT
from zoo.precision import RangeMonitor
from zoo.precision.arithmetic import Arithmetic
from zoo.predictions import FILE as PREDICTIONS
from zoo.predictions import write_predictions
from zoo.refusals import delay_fits
from zoo.tasks.base import Task
from zoo.tasks.meter import Meter
from zoo.tasks.metering import metered
from zoo.tasks.multiple_choice import MultipleChoiceTask
from zoo.totals import totals
from zoo.trained import keep

# What a sweep may tune on, by task.
OBJECTIVES = {
    "classification": "val/acc",
    "causal_lm": "val/bits_per_byte",
    "multiple_choice": "val/acc",
    "sequence_classification": "val/score",
}

CURATED = ROOT / "leaderboards" / "records"

# Lightning's notices about devices, tips and its own defaults: the zoo says what matters.
for _name in ("lightning.pytorch", "lightning.fabric", "lightning"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# Compiling for a CPU, torch says that there is no GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
# Lightning 2.6 calls a function that torch 2.14 renamed; nothing that a user could change.
warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
# A loss that is NaN ends the run with a sentence.
warnings.filterwarnings("ignore", message=r"Encountered `nan` values in tensor")
# A first update that the loss scale skips; the schedule is a function of the budget that is used.
warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")


class Run:
    """One training run under one identity.

    As a context it holds the run's folder, so that two processes never train the same run.

    Args:
        config: what `zoo.config.check` returned.
        data: the data module.
        start: the checkpoint that the weights are from; None: they are new.

    Raises:
        UserError: in the constructor, what this machine cannot do; on entering, the run is being
            trained by another process.
    """

    def __init__(self, config: dict[str, Any], data: Any, start: Start | None = None) -> None:
        expect(data, LightningDataModule, "data", config["data"])
        self.config = config
        self.data = data
        self.start = start
        self.seed: int = config["seed"]
        self.decides = decides(config, start)
        self.version = version_with(config)
        self.id = identity(self.decides, data.sha256, self.version)
        self.output_dir = Path(config["paths"]["output_dir"])
        self.folder = self.output_dir / self.id
        self.device = hardware.device_type(config["trainer"]["accelerator"])
        self.arithmetic = build(config["precision"], device=self.device)
        expect(self.arithmetic, Arithmetic, "precision", config["precision"])
        self.budget = Budget(
            config["trainer"],
            batches_per_epoch=data.batches_per_epoch,
            batch_size=data.batch_size,
        )
        data.total_batches = self.budget.total_batches
        data.accumulate = config["trainer"]["accumulate"]
        refusal = delay_fits(config["delay"], self.budget.max_steps)
        if refusal is not None:
            raise UserError(refusal)
        self.recorder = Recorder(
            self.budget,
            config["trainer"]["log_every_steps"],
            compiled=config["trainer"]["compile"],
        )
        self.command = _command(start)
        self.is_main = processes.rank() == 0
        self.meter: Meter | None = None
        self.monitor: RangeMonitor | None = None
        self.delay: Any = None  # the callback, where there is a delay
        self.writer: WriteTargets | None = None  # of data=pairs
        self._lock: IO[str] | None = None
        self._again = False
        if config["trainer"]["devices"] > 1 and _in_multirun():
            raise UserError(
                f"trainer.devices={config['trainer']['devices']}: a sweep's jobs take one device "
                "each; type trainer.devices=1, or run this job alone"
            )
        processes.check_processes(config["trainer"])

    @property
    def update_size(self) -> int:
        """Samples of one update of the weights, over all devices."""
        return self.data.batch_size * self.config["trainer"]["accumulate"]

    @property
    def label(self) -> str:
        """A few words that tell a person which run this is."""
        words = [
            self.config[k]["name"] for k in ("model", "data", "precision", "optimizer", "delay")
        ]
        return " ".join([*(w for w in words if w != "none"), f"seed {self.seed}"])

    @property
    def record(self) -> Record | None:
        """The record of this very run, where it has ended before and is not to be made again.

        A curated record of the same run, from another machine perhaps, does not count.
        """
        return None if self._again else self._ended()

    def _ended(self) -> Record | None:
        path = self.folder / "record.json"
        try:
            return read_record(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            if self.is_main:
                print(f"run {self.id}: its record is not valid ({error}) and is made again")
            return None

    @property
    def checkpoint(self) -> Path | None:
        """The file from which this run goes on, where it was cut off before.

        Raises:
            UserError: the file is of something else.
        """
        if self._again:
            return None
        return saved.newest(self.folder, self.id, is_main=self.is_main)

    def __enter__(self) -> "Run":
        if self.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.folder / ".lock")
            if self._lock is None:
                raise UserError(
                    f"run {self.id}: another process is training it; wait for it, or type another seed"
                )
            for scraps in self.folder.glob(".*.tmp"):  # of a process that was killed as it wrote
                scraps.unlink()
            if (self.folder / "record.json").exists():  # killed behind its last line
                saved.forget(self.folder, saved.PREVIOUS)
            self._lock.truncate(0)
            self._lock.write(processes.starter())
            self._lock.flush()
        else:
            processes.wait_for_the_first(self.folder / ".lock")
        forced = bool(self.config["force"]) and (self.folder / "record.json").exists()
        self._again = forced or self._ended_unwatched()
        hardware.reset_peak_memory()
        return self

    def _ended_unwatched(self) -> bool:
        """Whether the run has ended without the ranges that are asked for now."""
        if not (self.config.get("callbacks") or {}).get("ranges"):
            return False
        record = self._ended()
        unwatched = record is not None and record.ranges is None
        if unwatched and self.is_main:
            print(f"run {self.id} has ended unwatched, and is trained again to see its ranges")
        return unwatched

    def begin(self) -> None:
        """Give up what a run that is made again has left; until here, a mistake loses nothing.

        A forced run that is cut off has no record then, and goes on like any other.
        """
        if self._again and self.is_main:
            saved.forget(self.folder, saved.PREVIOUS, saved.LAST)
            (self.folder / "record.json").replace(self.folder / "record.before-force.json")

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        if self._lock is not None:
            self._lock.close()
            if kind is not None and [p.name for p in self.folder.iterdir()] == [".lock"]:
                shutil.rmtree(self.folder, ignore_errors=True)  # a mistake: nothing was trained
        if isinstance(
            error, SIGTERMException
        ):  # Lightning's, as it evaluates: it means exit code 0
            raise Interrupted(
                "stopped by SIGTERM behind the last step; the checkpoint is kept, "
                "type the same command to go on"
            ) from None

    def trainer(self, loggers: list[Logger]) -> Trainer:
        """Return Lightning's Trainer for this run's section `trainer`."""
        section = self.config["trainer"]
        callbacks: list[Callback] = [SeedEachStep(self.seed), self.recorder]
        for name, entry in self.config.get("callbacks", {}).items():
            if entry is None:  # callbacks.progress=null switches it off
                continue
            if not isinstance(entry, dict) or "_target_" not in entry:
                raise UserError(
                    f"callbacks.{name}: must be a mapping with a _target_; "
                    f"type callbacks.{name}=null to switch it off"
                )
            callback = build(entry)
            expect(callback, Callback, f"callbacks.{name}", entry)
            if isinstance(callback, Checkpoint):
                callback.path = self.folder / saved.LAST
            if isinstance(callback, RangeMonitor):
                self.monitor = callback
            callbacks.append(callback)
        if "_target_" in self.config["delay"]:
            self.delay = build(self.config["delay"])
            callbacks.insert(0, self.delay)
        to_write = getattr(self.data, "to_write", None)
        if to_write is not None:
            size = self.data.eval_batch_size
            self.writer = WriteTargets(to_write, self.data.tokenizer, size)
            callbacks.append(self.writer)
        arguments = dict(self.arithmetic.trainer)
        return Trainer(
            accelerator="gpu" if self.device == "cuda" else self.device,
            devices=section["devices"],
            strategy=processes.strategy(section),
            max_epochs=1,  # one pass over the stream is the whole run
            max_steps=-1 if self.budget.max_steps is None else self.budget.max_steps,
            val_check_interval=self.budget.eval_every_batches,
            check_val_every_n_epoch=None,
            accumulate_grad_batches=section["accumulate"],
            gradient_clip_val=section["gradient_clip"],
            callbacks=callbacks,
            logger=loggers or False,
            log_every_n_steps=section["log_every_steps"],
            plugins=[AtomicCheckpointIO(), *arguments.pop("plugins", [])],
            use_distributed_sampler=False,  # the streams share themselves out
            num_sanity_val_steps=0,
            enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(self.folder),
            **arguments,
        )

    def net(self) -> nn.Module:
        """Return the model, for this data, with new weights or those of the checkpoint."""
        given = {} if self.start is None else {"checkpoint": self.start.source}
        section = self.config["model"]
        net: Any = build(section, **self.data.model_arguments(), **given)
        expect(net, nn.Module, "model", section)
        return net

    def task(self, net: nn.Module) -> Task:
        """Return the task with this run's optimizer, schedule and budget around the model."""
        section = self.config["trainer"]
        name = self.config["model"]["name"]
        check_batch_norm(net, name, self.data.batch_size, section["devices"])
        if section["strategy"] == "fsdp":
            check_blocks(net, name)
        if section["channels_last"]:
            net = channels_last(net, self.device)
        task = build(
            self.config["task"],
            net=torch.compile(net) if section["compile"] else net,
            make_optimizer=factory(scaled(self.config["optimizer"], self.update_size)),
            schedule=build(self.config["scheduler"]),
            progress=self.budget.progress_after,
            **self.data.task_arguments(),
        )
        expect(task, Task, "task", self.config["task"])
        # What does not fit is the user's mistake: found here, before any training.
        task.configure_optimizers()
        self.meter = metered(task, self.config, self.data, self.arithmetic.bits)
        if self.meter is None:
            check_takes(task.net, name, task.example(2))
        elif self.arithmetic.emulated and self.meter.escaped > 0:
            raise UserError(
                f"precision={self.config['precision']['name']}: {100 * self.meter.escaped:.0f}% of "
                f"the products of model={name} are computed where they "
                "cannot be rounded; type precision=fp32 or precision=bf16, or another model"
            )
        if section.get("activation_checkpointing"):  # FLOPs are those of computing once
            checkpoint_activations(net)
        return task

    @property
    def evaluated(self) -> bool:
        """Whether the validation split was read after the last step."""
        return self.recorder.last_evaluation == self.recorder.steps

    def finish(self, task: Task, status: str, loggers: list[Logger]) -> Record:
        """Write the record of a run that has ended, and return it.

        Args:
            task: the task that was trained.
            status: finished or diverged.
            loggers: told the final metrics.
        """
        record = Record(
            schema_version=1,
            id=self.id,
            status=status,  # type: ignore[arg-type]
            command=self.command,
            config=self.decides,
            seed=self.seed,
            zoo_version=self.version,
            created_at=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            git=hardware.git_state(ROOT),
            data=Data(
                name=self.data.dataset_name,
                sha256=self.data.sha256,
                subset=getattr(self.data, "subset", None),
                **self.data.sizes,
            ),
            metrics=totals(self, task),
            curve={k: Curve(**c.columns()) for k, c in sorted(self.recorder.curves.items())},
            hardware=hardware.describe(self.device, self.config["trainer"]["devices"]),
            libraries=hardware.libraries(),
            emulated=self.arithmetic.emulated,
            ranges=self.monitor.ranges() if self.monitor else None,
            origin=self.start.origin if self.start else None,
        )
        if self.is_main:
            if hasattr(self.data, "tokenizer"):
                keep(self.folder, task.net, self.data.tokenizer)
            if isinstance(task, MultipleChoiceTask):
                self._keep_predictions(task)
            if self.writer is not None and self.writer.found is not None:
                write_predictions(self.folder / PREDICTIONS, {"test": self.writer.found})
            summarise(loggers, record)
            write_record(record, self.folder / "record.json")
            saved.forget(self.folder, saved.PREVIOUS)
        return record

    def _keep_predictions(self, task: MultipleChoiceTask) -> None:
        """Write what was answered to each question, by which two models are compared."""
        splits = {"val": "validation", "test": "test"}
        found = {
            name: task.predictions(name, self.data.ids(split)) for name, split in splits.items()
        }
        kept = {name: answers for name, answers in found.items() if answers is not None}
        if kept:
            write_predictions(self.folder / PREDICTIONS, kept)

    def report(self, record: Record, *, again: bool = False) -> float | None:
        """Show a record and return the task's validation objective.

        Args:
            record: of this run.
            again: it was there before; nothing was trained now.

        Raises:
            Diverged: that is how the run ended; not in a sweep, where it is a result like others.
        """
        from zoo.leaderboard.report import one_line, report

        if self.is_main and again and _in_multirun():
            print(one_line(record))
        elif self.is_main:
            if again:
                print(
                    f"run {self.id} is {record.status} already; type force=true to train it again"
                )
            report(record, self.output_dir, CURATED, CURATED.parent)
        if record.status == "diverged" and not _in_multirun():
            raise Diverged(
                f"run {record.id} has diverged: the loss was no longer a finite number; "
                "type a smaller optimizer.lr or trainer.gradient_clip=1"
            )
        return record.metrics.get(OBJECTIVES.get(record.config["task"]["name"], "val/loss"))


def _command(start: Start | None) -> str:
    """Return the command that makes this run again, without what decides nothing and without paths."""
    overrides: list[str] = []
    if HydraConfig.initialized():
        overrides = list(HydraConfig.get().overrides.task)
    kept = [o for o in overrides if decides_result(o.lstrip("+~").partition("=")[0])]
    if start is not None:
        key = "model.checkpoint"
        kept = [o for o in kept if o.lstrip("+~").partition("=")[0] != key]
        kept.append(f"{key}={start.name}")
    return shlex.join(["python", "train.py", *kept])


def _in_multirun() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
