"""`zoo merge`: records among the curated ones, one's own or a colleague's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zoo.errors import UserError
from zoo.leaderboard.admission import admit, same_run, set_aside
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import Problem, read_record, record_files, scan, write_record
from zoo.leaderboard.terminal import print_problems
from zoo.verbs.options import LEADERBOARDS, AsJson, Leaderboards, OutputDir

QUARANTINE = "quarantine"  # in the output folder


def merge(
    ids: Annotated[
        list[str] | None, typer.Argument(help="run ids; every local record if left out")
    ] = None,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="files or folders of a colleague's records, instead of local ones"
        ),
    ] = None,
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    points: Annotated[
        int | None, typer.Option(min=2, help="thin each curve to so many points at most")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy records among the curated ones, which are committed.

    They lie in leaderboards/records. A colleague's are checked and never executed; what is refused is copied
    to quarantine/ in the output folder, with the reason. Exit code 1: some were refused.
    """
    refused: list[Problem] = []
    if sources:
        found, refused = _theirs(sources, leaderboards / "records")
    else:
        stored, problems = scan(output_dir, None)
        found = {s.record.id: s.record for s in stored}
    for wanted in ids or []:
        if wanted not in found and not any(p.path.stem == wanted for p in refused):
            where = ", ".join(map(str, sources)) if sources else output_dir
            raise UserError(
                f"run {wanted}: no valid record of it in {where}; type zoo records --list to see them"
            )
    chosen = [found[i] for i in ids if i in found] if ids else list(found.values())
    for record in chosen:
        curves = record.curve
        if points is not None:
            curves = {key: curve.thinned(points) for key, curve in curves.items()}
        curated = record.model_copy(update={"curve": curves})
        write_record(curated, leaderboards / "records" / f"{record.id}.json")
    for problem in refused:
        set_aside(problem.path, problem.reason, output_dir / QUARANTINE, move=False)
    if as_json:
        bad = [{"file": p.name, "reason": p.reason} for p in refused]
        print(json.dumps({"merged": [r.id for r in chosen], "refused": bad}, indent=1))
    else:
        print(f"{len(chosen)} records are curated now")
        if refused:
            print(f"{len(refused)} are refused, and lie in {output_dir / QUARANTINE}")
        print_problems(Console(), refused if sources else problems)
    if refused:
        raise typer.Exit(1)


def _theirs(sources: list[Path], curated: Path) -> tuple[dict[str, Record], list[Problem]]:
    """Return the records to admit by id, and what is refused of the files."""
    found: dict[str, Record] = {}
    refused: list[Problem] = []
    for path in _files(sources):
        try:
            record = admit(path)
            known = found.get(record.id) or _curated(curated / f"{record.id}.json")
            if known is not None and not same_run(record, known):
                raise ValueError(
                    f"another record of {record.id} says something else; zoo verify {record.id} tells "
                    "which of them can be made again"
                )
        except (ValueError, OSError) as error:
            refused.append(Problem(path, str(error)))
        else:
            if known is None:
                found[record.id] = record
    return found, refused


def _files(sources: list[Path]) -> Iterator[Path]:
    for source in sources:
        if source.is_dir():
            yield from record_files(source)
        elif source.exists():
            yield source
        else:
            raise UserError(
                f"--from {source}: is not there; type a record's file, or a folder of them"
            )


def _curated(path: Path) -> Record | None:
    try:
        return read_record(path)
    except (OSError, ValueError):
        return None
