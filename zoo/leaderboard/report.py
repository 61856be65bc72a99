"""A run in the terminal: what was trained, how well, how fast, its rank; and in a line."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.errors import UserError
from zoo.leaderboard.boards import curves_needed, get, load_boards, select, view
from zoo.leaderboard.frontier import group_key, hardware_class
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import scan

# What a run is told by, in this order, where it has them.
SCORES = (
    "test/score", "val/score", "test/acc", "val/acc", "test/bits_per_byte", "val/bits_per_byte", "test/loss", "val/loss",
)  # fmt: skip


def report(record: Record, output_dir: Path, curated_dir: Path, boards_dir: Path) -> None:
    """Print what was trained, how well, how fast, where the record is, and its rank on the boards."""
    console = Console()
    table = Table(box=box.SIMPLE, show_header=False, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    c = record.config
    typed = record.command.removeprefix("python train.py").strip()
    words = [str(get(c, f"{k}.name")) for k in ("model", "data", "precision", "optimizer", "delay")]
    table.add_row(
        "trained", Text(" + ".join(w for w in words if w != "none") + f", seed {record.seed}")
    )
    if typed:
        table.add_row("typed", Text(typed))
    scores = [(k, record.metrics.get(k)) for k in SCORES]
    table.add_row(
        "how well", "  ".join(_score(k, v) for k, v in scores if v is not None) or record.status
    )
    table.add_row("how fast", _speed(record))
    try:
        boards = [b for b in load_boards(boards_dir).values() if select(b, [record])]
    except UserError as error:  # the run is done, whatever a board's file says
        boards = []
        table.add_row("rank", Text(f"on no board: {error}"))
    stored, _ = scan(output_dir, curated_dir, curves=curves_needed(boards))
    for board in boards:
        # Ranks are among runs on the same hardware, as their times are.
        rivals = [s.record for s in stored if hardware_class(s.record) == hardware_class(record)]
        filled = view(board, rivals)
        place = next((i for i, g in enumerate(filled.groups) if g.key == group_key(record)), None)
        if place is not None and record.status == "finished":
            group = filled.groups[place]
            on = "on its frontier" if group.on_frontier else "not on its frontier"
            if len(group.records) < board.minimum_seeds:
                on = f"on no frontier with {len(group.records)} of {board.minimum_seeds} seeds"
            table.add_row(
                "rank",
                Text(f"{place + 1} of {len(filled.groups)} on board {board.name}, {on} "
                     f"(zoo board {board.name})"),
            )  # fmt: skip
    console.print(table)
    path = output_dir / record.id / "record.json"
    console.print(f"  record     {path}", markup=False, highlight=False, soft_wrap=True)


def one_line(record: Record) -> str:
    """Return the record in a line, for a sweep that goes over what is done before."""
    return f"run {record.id} was done before ({record.status}{_quality(record)}): {record.command}"


def record_line(record: Record) -> str:
    """Return the record in a line, for a list of all."""
    line = f"{record.id}  {record.status}{_quality(record)}  {record.command}"
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line
    )  # a stranger's


def _quality(record: Record) -> str:
    return next(
        (
            f", {_score(k, v)}"
            for k in ("test/score", "test/acc", "test/bits_per_byte", "test/loss")
            if (v := record.metrics.get(k)) is not None
        ),
        "",
    )


def _score(key: str, value: float) -> str:
    return f"{key} {100 * value:.2f}%" if key.endswith("acc") else f"{key} {value:.4f}"


def _speed(record: Record) -> str:
    m = record.metrics
    parts = []
    for key, form in (
        ("train/steps", "{:,.0f} steps"),
        ("time/train_s", "{:,.1f} s of training"),
        ("time/eval_s", "{:,.1f} s of evaluation"),
        ("perf/samples_per_s", "{:,.0f} samples/s"),
    ):
        value = m.get(key)
        if value is not None:
            parts.append(form.format(value))
    train, evaluated = m.get("time/train_s"), m.get("time/eval_s")
    often = (
        max((len(c.step) for k, c in record.curve.items() if k.startswith("val/")), default=0) > 1
    )
    if train and evaluated and evaluated > train and often:
        by_steps = get(record.config, "trainer.eval_every_steps") is not None
        key = f"trainer.eval_every_{'steps' if by_steps else 'epochs'}"
        parts.append(f"most of it evaluation: {key} says how often")
    share = _share_of_processor(record)
    if share is not None and share < 0.7:
        parts.append(f"with a processor for {100 * share:.0f}% of it, so these times say little")
    return ", ".join(parts) + (" (emulated arithmetic)" if record.emulated else "")


def _share_of_processor(record: Record) -> float | None:
    """Return how much of the training a run in one process on a CPU, which else computes, had one."""
    m = record.metrics
    train, cpu, waited = (m.get(f"time/{k}") for k in ("train_s", "cpu_s", "data_wait_s"))
    computing = (train or 0.0) - (waited or 0.0)
    alone = record.hardware.device == "cpu" and record.hardware.device_count == 1
    return cpu / computing if alone and cpu is not None and computing > 0 else None
