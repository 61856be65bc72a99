"""The `zoo` command: boards, the page and the records, without importing torch."""

import dataclasses
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import zoo
from zoo.errors import UserError, suggest
from zoo.extensions import extensions
from zoo.leaderboard.boards import View, choose, curves_needed, get, load_boards, select, view
from zoo.leaderboard.certainty import Certainty, certainty
from zoo.leaderboard.frontier import Cell
from zoo.leaderboard.report import record_line
from zoo.leaderboard.statistics.interval import METHOD
from zoo.leaderboard.store import scan
from zoo.leaderboard.terminal import print_board, print_problems
from zoo.verbs.analyse import analyse
from zoo.verbs.answer import answer
from zoo.verbs.compare import compare
from zoo.verbs.doctor import doctor
from zoo.verbs.generate import export, generate
from zoo.verbs.glue import glue
from zoo.verbs.mcnemar import mcnemar
from zoo.verbs.merge import QUARANTINE, merge
from zoo.verbs.options import LEADERBOARDS, AsJson, Leaderboards, OutputDir
from zoo.verbs.publish import publish
from zoo.verbs.stages import stages
from zoo.verbs.sweep import sweep
from zoo.verbs.tokenizer import tokenizer
from zoo.verbs.verify import verify

app = typer.Typer(
    help="Boards, records and trained models of the experiment zoo; `python train.py --help` is about training. "
    "`zoo VERB --help` says more of a verb, and every verb that prints results takes --json.",
    context_settings={"help_option_names": ["--help", "-h"]},
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"zoo {zoo.__version__}")
        for extension in extensions():
            print(f"{extension.package} {extension.version}, from {extension.folder}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


def board(
    name: Annotated[
        str | None, typer.Argument(help="a board; every one with records if left out")
    ] = None,
    cost: Annotated[
        str | None, typer.Option(help="rank against this cost, e.g. flops/total")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="best rows beside the frontier's; 0: all; 30, or 5 without a name",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="the distance to the board's baseline, not the costs")
    ] = False,
    across_hardware: Annotated[
        bool, typer.Option("--across-hardware", help="times of all kinds of hardware in one table")
    ] = False,
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Print a board: mean, spread and n over seeds, frontier marked."""
    boards = load_boards(leaderboards)
    chosen = [choose(boards, name)] if name else list(boards.values())
    top = top if top is not None else 30 if name else 5
    if baseline and name and chosen[0].baseline is None:
        raise UserError(f"--baseline: board {name} has no baseline; add baseline: to {name}.yaml")
    stored, problems = scan(output_dir, leaderboards / "records", curves=curves_needed(chosen))
    records = [s.record for s in stored]
    costs = {axis.key for item in chosen for axis in item.costs}
    if cost is not None and cost not in costs:
        raise UserError(f"cost {cost}: no board has such a cost{suggest(cost, costs)}")
    views = []
    for item in chosen:
        # Without a name, boards that have no such cost keep their own first one.
        has_cost = name is not None or cost in {a.key for a in item.costs}
        views.append(view(item, records, cost if has_cost else None))
    if as_json:
        print(json.dumps([_as_json(v, certainty(v)) for v in views], indent=1))
        return
    console = Console()
    with_records = [v for v in views if v.groups]
    for filled in views if name else with_records:
        sure = certainty(filled) if filled.groups else None
        against = baseline and filled.board.baseline is not None
        print_board(
            console, filled, stored, sure, top=top, baseline=against, across=across_hardware
        )
    if not name and not with_records:
        print("No records yet; make one with: python train.py")
    print_problems(console, problems)


def _as_json(filled: View, sure: Certainty) -> dict[str, Any]:
    def cell(of: Cell) -> dict[str, Any]:
        interval = dataclasses.asdict(of.interval) if of.interval is not None else None
        values = {"mean": of.mean, "std": of.std, "n": of.n, "missing": of.missing}
        return {**values, "interval": interval}

    def against(key: str) -> dict[str, Any] | None:
        paired, p = sure.against_baseline.get(key, (None, None))
        return {**dataclasses.asdict(paired), "p_holm": p} if paired is not None else None

    return {
        "board": filled.board.name,
        "paper": filled.board.paper,
        "interval_method": METHOD,
        "reported": [row.model_dump() for row in filled.board.reported],
        "cost": filled.cost.key,
        "target": filled.board.target.model_dump() if filled.board.target else None,
        "groups": [
            {
                "label": filled.label(g),
                "config": {c: get(g.config, c) for c in filled.columns},
                "hardware": g.hardware,
                "on_frontier": g.on_frontier,
                "seeds": g.seeds,
                "records": [r.id for r in g.records],
                "probability": sure.membership.get(g.key),
                "against_baseline": against(g.key),
                "metrics": {k: cell(c) for k, c in g.cells.items()},
            }
            for g in filled.groups
        ],
    }


def claims(
    paper: Annotated[
        str | None,
        typer.Option(help="of one paper: a file of leaderboards/claims, e.g. format_169"),
    ] = None,
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Print each paper's claims, what was measured, the verdict."""
    from zoo.verbs.claims import run

    run(paper, output_dir, leaderboards, as_json)


def results(
    name: Annotated[
        str | None, typer.Argument(help="a file of leaderboards/results; every one if left out")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of the pages")] = Path("docs/results"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Write the docs' pages of results anew, from the curated records.

    Without a name and --out, also the tables of README.md and docs/ that are made of them.
    """
    from zoo.verbs.results import run

    run(name, out, leaderboards, as_json)


def page(
    out: Annotated[Path, typer.Option(help="folder of the page")] = Path("site"),
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Write all boards and claims as a static page, no network needed.

    Method cards stand on it, too; beside it lies a figure of each board.
    """
    from zoo.leaderboard.claims.claim import load_claims
    from zoo.leaderboard.methods import load_methods
    from zoo.leaderboard.page import write_page
    from zoo.leaderboard.page.figure import frontier_svg
    from zoo.leaderboard.store import write_atomically
    from zoo.verbs.claims import judge_all

    boards = load_boards(leaderboards)
    papers = load_claims(leaderboards / "claims")
    methods = load_methods(leaderboards / "methods", boards, papers)
    stored, problems = scan(output_dir, leaderboards / "records")
    gc.freeze()  # the records stay until the page is written: nobody has to look for them again
    judged = judge_all(papers, (s.record for s in stored))
    chosen = {name: select(item, (s.record for s in stored)) for name, item in boards.items()}
    filled_first = sorted(boards.values(), key=lambda b: not chosen[b.name])
    written = [write_page(out, filled_first, stored, problems, judged, methods)]
    for name, item in boards.items():
        filled = view(item, chosen[name])
        if filled.groups:
            figure = out / f"{item.name}.svg"
            write_atomically(figure, frontier_svg(filled).encode())
            written.append(figure)
    if as_json:
        print(json.dumps({"written": [str(p) for p in written], "records": len(stored)}))
    else:
        print(
            f"{len(stored)} records on {written[0]}; figures: {', '.join(p.name for p in written[1:]) or 'none'}"
        )


def figure(
    out: Annotated[Path, typer.Option(help="the SVG file")],
    name: Annotated[str | None, typer.Argument(help="a board")] = None,
    cost: Annotated[
        str | None, typer.Option(help="rank against this cost, e.g. flops/total")
    ] = None,
    ranges: Annotated[
        str | None, typer.Option(help="draw the number ranges of this run (an id or a file)")
    ] = None,
    by_layer: Annotated[bool, typer.Option(help="with --ranges: layers, not steps")] = False,
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Draw a board's frontier, or a run's number ranges, as SVG."""
    from zoo.leaderboard.store import write_atomically

    if (name is None) == (ranges is None):
        raise UserError("zoo figure: type a board, or --ranges and a run's id")
    if ranges is not None:
        drawn, said = _drawn_ranges(ranges, by_layer, output_dir, leaderboards / "records")
    else:
        drawn, said = _drawn_frontier(str(name), cost, output_dir, leaderboards)
    write_atomically(out, drawn.encode())
    print(json.dumps({"written": str(out)}) if as_json else f"{said} in {out}")


def _drawn_frontier(
    name: str, cost: str | None, output_dir: Path, leaderboards: Path
) -> tuple[str, str]:
    from zoo.leaderboard.page.figure import frontier_svg

    stored, _ = scan(output_dir, leaderboards / "records")
    filled = view(choose(load_boards(leaderboards), name), (s.record for s in stored), cost)
    if not filled.groups:
        raise UserError(f"board {name}: no records to draw; make one with: python train.py")
    return frontier_svg(filled), f"{len(filled.groups)} groups"


def _drawn_ranges(run: str, by_layer: bool, output_dir: Path, curated: Path) -> tuple[str, str]:
    from zoo.leaderboard.page.range_figure import ranges_svg
    from zoo.leaderboard.store import read_record

    if Path(run).is_file():
        try:
            found = [read_record(Path(run))]
        except ValueError as error:
            raise UserError(f"{run}: {error}") from None
    else:
        stored, _ = scan(output_dir, curated)
        found = [s.record for s in stored if s.record.id == run]
    if not found:
        raise UserError(f"run {run}: no record of it; type zoo records --list to see them")
    drawn = ranges_svg(found[0], "by_layer" if by_layer else "over_training")
    if drawn is None:
        raise UserError(
            f"run {found[0].id}: its record has no such ranges; train it again with callbacks=ranges"
        )
    return drawn, f"the ranges of {found[0].id}"


def records(
    list_all: Annotated[
        bool, typer.Option("--list", help="a line for each run: id, score, what was trained")
    ] = False,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine", help="move what is not valid to quarantine/ in the output folder"
        ),
    ] = False,
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Check every record against the schema.

    Exit code 1: one is not valid. --list names each.
    """
    stored, problems = scan(output_dir, leaderboards / "records")
    if quarantine:
        from zoo.leaderboard.admission import set_aside

        for problem in problems:
            set_aside(problem.path, problem.reason, output_dir / QUARANTINE, move=True)
    if as_json:
        listed = [
            {"id": s.record.id, "status": s.record.status, "curated": s.curated} for s in stored
        ]
        bad = [{"file": p.name, "reason": p.reason} for p in problems]
        print(json.dumps({"records": listed, "problems": bad}, indent=1))
    else:
        curated = sum(s.curated for s in stored)
        if list_all:
            for line in sorted(record_line(s.record) for s in stored):
                print(line)
        print(f"{len(stored)} valid records ({curated} curated, {len(stored) - curated} local)")
        print_problems(Console(), problems)
    if problems:
        raise typer.Exit(1)


# What `zoo --help` shows, in this order.
_VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    "Where to begin": (doctor,),
    "Results": (board, claims, glue, page, figure, results, publish),
    "Runs and records": (sweep, records, merge, verify, compare, mcnemar),
    "Trained models of text": (generate, answer, export),
    "Before training": (stages,),
}
for _panel, _verbs in _VERBS.items():
    for _verb in _verbs:
        app.command(rich_help_panel=_panel)(_verb)
app.add_typer(analyse, name="analyse", rich_help_panel="Before training")
app.add_typer(tokenizer, name="tokenizer", rich_help_panel="Before training")


def main() -> None:
    """Run a verb; a user's mistake ends in one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"zoo: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        print(f"zoo: {what}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
