"""zoo stages: the pipeline stages of a configured model, and what delaying each one costs."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.delay import Stage

SAMPLES = 2  # of the example: batch norm wants two; FLOPs are linear in them
SHOWN_AT_EACH_END = 10  # rows of a long table
KEY = "delay.stages"


def stages(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="as train.py takes them: model=resnet20 data=cifar10 delay.stages=8"),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="print every row of a long table")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Cut a model into pipeline stages: parameters, FLOPs, delay."""
    label, cut, samples = _cut(overrides or [])
    if as_json:
        print(json.dumps(_as_json(label, cut, samples), indent=1))
    else:
        _print(Console(), label, cut, samples, show_all)


def _cut(overrides: list[str]) -> tuple[str, list["Stage"], int]:
    """Build the model as train.py does, without weights and without data, and cut it.

    Returns:
        What it is called, its stages, and the samples of an update.
    """
    from zoo.config import build, check, compose, factory

    asked = [o for o in overrides if o.partition("=")[0].lstrip("+") == KEY]
    settings = check(compose([o for o in overrides if o not in asked]))
    # The same key of delay=pipeline counts where none is typed; any model can be cut.
    count = _count(asked[-1]) if asked else settings["delay"].get("stages")

    from zoo.data.shapes import arguments_without_files
    from zoo.delay import pipeline_stages
    from zoo.delay.graph import Unfit

    known = arguments_without_files(settings["data"])
    if known is None:
        data = build(settings["data"], seed=settings["seed"])
        known = data.model_arguments(), data.task_arguments()
    model_arguments, task_arguments = known
    net = _without_weights(settings["model"], model_arguments)
    task = build(
        settings["task"],
        net=net,
        make_optimizer=factory(settings["optimizer"]),
        schedule=build(settings["scheduler"]),
        progress=lambda _: 0.0,
        **task_arguments,
    )
    name, data_name = settings["model"]["name"], settings["data"]["name"]
    samples = settings["data"]["batch_size"] * settings["trainer"]["accumulate"]
    try:
        return f"{name} on {data_name}", pipeline_stages(net, task.example(SAMPLES), count), samples
    except Unfit as error:
        raise UserError(
            f"model={name}: {error.reason}; type another data.image_size or another model"
        ) from None


def _count(override: str) -> int | None:
    value = override.partition("=")[2]
    if value in ("null", "None"):
        return None
    try:
        return int(value)
    except ValueError:
        raise UserError(f"{KEY}={value}: must be a whole number; type {KEY}=8") from None


def _without_weights(section: dict[str, Any], arguments: dict[str, Any]) -> Any:
    import torch

    from zoo.config import build

    # Weights decide nothing here: none are downloaded and, where the model allows it, none made.
    section = {k: False if k == "pretrained" else v for k, v in section.items()}
    try:
        with torch.device("meta"):
            return build(section, **arguments)
    except UserError:
        return build(section, **arguments)  # in earnest; a user's mistake is said here


# -- what is shown -------------------------------------------------------------------------------


def _totals(cut: list["Stage"], samples: int) -> dict[str, float]:
    """Return sums over stages; `samples` of an update that drains the pipe."""
    from zoo.delay.analysis.schedule import utilisation, weight_versions

    def weights(**kept: bool) -> int:
        return sum(weight_versions(s.delay, **kept) * s.parameter_bytes for s in cut)

    count = sum(s.parameter_count for s in cut)
    return {
        "stages": len(cut),
        "parameters": count,
        "flops_forward": sum(s.flops for s in cut) // SAMPLES,
        "largest_delay": cut[0].delay,
        "mean_delay": sum(s.delay * s.parameter_count for s in cut) / count if count else 0.0,
        "history_bytes": sum(s.delay * s.parameter_bytes for s in cut),
        # Of a real pipeline, one sample at a time: stage s has D_s + 1 of them under way.
        "activation_bytes": sum((s.delay + 1) * s.activation_bytes for s in cut) // SAMPLES,
        "activation_bytes_of_a_sample": sum(s.activation_bytes for s in cut) // SAMPLES,
        "weight_bytes": weights(),
        "weight_bytes_predicted": weights(predict=True),
        "weight_bytes_stashed": weights(stash=True),
        "update_samples": samples,
        "utilisation_drained": utilisation(len(cut), samples),
    }


def _as_json(label: str, cut: list["Stage"], samples: int) -> dict[str, Any]:
    rows = [
        {
            "stage": s.number,
            "delay": s.delay,
            "layers": list(s.layers),
            "parameters": list(s.parameters),
            "parameter_count": s.parameter_count,
            "flops_forward": s.flops // SAMPLES,
            "activation_bytes": s.activation_bytes // SAMPLES,
        }
        for s in cut
    ]
    return {"model": label, "stages": rows, "totals": _totals(cut, samples)}


def _print(console: Console, label: str, cut: list["Stage"], samples: int, show_all: bool) -> None:
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=Text(f"Pipeline stages of {label}"),
        title_justify="left",
    )
    counts = [f"{s.parameter_count:,}" if s.parameters else "" for s in cut]
    # The numbers are shown whole; what is left of the line is for the names.
    widths = [5, max(len("parameters"), *map(len, counts)), 6, 5]
    left = max(console.width - sum(widths) - 11, 10)  # 11: padding and the box
    table.add_column("stage", justify="right", min_width=widths[0])
    table.add_column("layers", no_wrap=True, overflow="ellipsis", max_width=left)
    for heading, width in zip(("parameters", "FLOPs", "delay"), widths[1:], strict=True):
        table.add_column(heading, justify="right", min_width=width)
    flops = sum(s.flops for s in cut)
    hidden = 0 if show_all else max(len(cut) - 2 * SHOWN_AT_EACH_END, 0)
    if hidden == 1:
        hidden = 0  # the row that says so would be as long
    for stage in cut:
        if hidden and stage.number == SHOWN_AT_EACH_END + 1:
            table.add_row("...", Text(f"{hidden} more stages with --all", style="dim"))
        if hidden and SHOWN_AT_EACH_END < stage.number <= SHOWN_AT_EACH_END + hidden:
            continue
        share = f"{100 * stage.flops / flops:.1f}%" if stage.flops else ""
        count = counts[stage.number - 1]
        # Text, not markup: a name with brackets in it is only a name.
        table.add_row(
            str(stage.number), Text(shorten(stage.layers)), count, share, str(stage.delay)
        )
    console.print(table)
    t = _totals(cut, samples)
    console.print(
        f"{t['stages']} stages; delays of up to {t['largest_delay']} updates, {t['mean_delay']:.1f} "
        f"as the mean over {t['parameters']:,} parameters; their history, delay times bytes, takes "
        f"{_bytes(t['history_bytes'])}. A real pipeline, one sample at a time, keeps "
        f"{_bytes(t['activation_bytes'])} of activations ({_bytes(t['activation_bytes_of_a_sample'])} "
        f"a sample, D + 1 samples a stage) and {_bytes(t['weight_bytes'])} of weights "
        f"({_bytes(t['weight_bytes_predicted'])} predicted, {_bytes(t['weight_bytes_stashed'])} "
        f"stashed); drained for every update of {samples}, it would be busy for "
        f"{100 * t['utilisation_drained']:.1f}% of the time.",
        markup=False,
        highlight=False,
    )


def shorten(names: tuple[str, ...]) -> str:
    """Return the layers of a stage in a few words.

    >>> shorten(("blocks.0.norm1", "blocks.0.relu", "blocks.0.conv1"))
    'blocks.0: norm1, relu, conv1'
    >>> shorten(("stem", "a.0", "a.1", "b.0", "b.1"))
    '5 layers: stem ... b.1'
    """
    if len(names) > 4:
        return f"{len(names)} layers: {names[0]} ... {names[-1]}"
    split = [name.split(".") for name in names]
    shared = 0
    if len(names) > 1:
        shortest = min(len(parts) for parts in split) - 1
        while shared < shortest and len({parts[shared] for parts in split}) == 1:
            shared += 1
    listed = ", ".join(".".join(parts[shared:]) for parts in split)
    return f"{'.'.join(split[0][:shared])}: {listed}" if shared else listed


def _bytes(count: float) -> str:
    """Return a size in the unit in which it has one to three digits before the point.

    >>> _bytes(24_270_544)
    '24.3 MB'
    """
    units = iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while count >= 1000 and unit != "TB":
        count, unit = count / 1000, next(units)
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
