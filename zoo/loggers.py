"""Where metrics go besides the record: W&B, a CSV file, or nowhere."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from zoo.errors import UserError, first_line
from zoo.leaderboard.record import Record
from zoo.network import PRIVATE, answers, wandb_key_is_configured, wandb_server

if TYPE_CHECKING:
    from zoo.run import Run


@contextlib.contextmanager
def loggers(section: dict[str, Any], run: "Run") -> Iterator[list[Logger]]:
    """Open the loggers of a run and close them however it ends: one W&B run a job.

    Args:
        section: `logger` of the configuration.
        run: its id is W&B's too, so that a run that was cut off is one run there.

    Raises:
        UserError: an unknown logger.
    """
    kind = section["name"]
    online = wandb_key_is_configured()
    if kind == "auto":
        kept_quiet = os.environ.get("WANDB_MODE") in ("disabled", "offline")
        kind = "wandb" if online and not kept_quiet else "none"
    if kind == "none" or not run.is_main:
        yield []
    elif kind == "csv":
        # A resumed run writes a further file: Lightning would empty the first.
        yield [CSVLogger(str(run.folder), name="csv")]
    else:
        with _wandb(section, run, online=online) as logger:
            yield [logger]


@contextlib.contextmanager
def _wandb(section: dict[str, Any], run: "Run", *, online: bool) -> Iterator[WandbLogger]:
    import wandb

    settings = wandb.Settings(
        **PRIVATE,
        program="train.py",
        init_timeout=20,
        finish_timeout=120,  # a lost server must not hold the next job
    )

    if online and not answers(wandb_server()):
        # Training does not wait for a server.
        print("W&B does not answer; this run is kept offline, `wandb sync` sends it later")
        online = False
    logger = WandbLogger(
        name=run.label,
        id=run.id,
        resume="allow",
        project=section["project"],
        entity=section["entity"],
        group=section["group"],
        save_dir=str(run.folder),
        offline=not online,
        config=run.decides,
        settings=settings,
        log_model=False,
    )
    try:
        try:
            logger.experiment  # noqa: B018 - connects now and not in the first step
        except wandb.errors.Error as error:
            raise UserError(
                f"logger.name={section['name']}: W&B did not take the run ({first_line(error)}); "
                "type logger=none, or `wandb login`"
            ) from error
        yield logger
        wandb.finish()
    except BaseException:
        wandb.finish(exit_code=1)
        raise


def summarise(opened: list[Logger], record: Record) -> None:
    """Write the record's metrics into the W&B summary, and its heat maps beside them."""
    for logger in opened:
        if isinstance(logger, WandbLogger):
            summary = {**record.metrics, "status": record.status, "command": record.command}
            logger.experiment.summary.update(summary)
            _show_ranges(logger, record)


def _show_ranges(logger: WandbLogger, record: Record) -> None:
    import wandb

    from zoo.leaderboard.page.range_figure import ranges_svg

    drawn = {
        f"num/{view}": wandb.Html(svg, inject=False)
        for view in ("over_training", "by_layer")
        if (svg := ranges_svg(record, view))
    }
    if drawn:
        logger.experiment.log(drawn)
