"""`zoo publish`: records and boards on a W&B server, from records alone."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from zoo.errors import UserError
from zoo.leaderboard.boards import load_boards
from zoo.leaderboard.store import scan, write_atomically
from zoo.leaderboard.terminal import print_problems
from zoo.network import answers, wandb_key_is_configured, wandb_server
from zoo.verbs.options import LEADERBOARDS, AsJson, Leaderboards, OutputDir

FOLDER = "publish"  # in the output folder


def publish(
    project: Annotated[str, typer.Option(help="W&B project")] = "experiment-zoo",
    entity: Annotated[
        str | None,
        typer.Option(
            envvar="WANDB_ENTITY", help="W&B user or team; the account's default if left out"
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="write what would be sent to publish/ in the output folder"),
    ] = False,
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Send records, boards and one report to W&B, if new.

    Exit code 1: some records were refused.
    """
    if not dry_run:
        _check_server_and_key()
    from zoo.publishing.bundle import gather, listing

    boards = load_boards(leaderboards)
    stored, problems = scan(output_dir, leaderboards / "records")
    if not stored:
        raise UserError("zoo publish: no records; make one with: python train.py")
    bundle = gather(stored, boards)
    refused = [*problems, *bundle.refused]
    said: dict[str, Any]
    if dry_run:
        said = _write(bundle, listing(bundle), entity or "ENTITY", project, output_dir / FOLDER)
    else:
        said = _deliver(bundle, project, entity, output_dir / FOLDER)
    if as_json:
        bad = [{"file": p.name, "reason": p.reason} for p in refused]
        print(json.dumps({**said, "refused": bad}, indent=1))
    else:
        _print(said, dry_run)
        print_problems(Console(), refused)
    if refused:
        raise typer.Exit(1)


def _check_server_and_key() -> None:
    """Say what a person has to mend before anything is read or sent."""
    host = wandb_server()
    if not wandb_key_is_configured():
        raise UserError(
            f"W&B has no key for {host}; type wandb login, or set WANDB_API_KEY; "
            "zoo publish --dry-run needs none"
        )
    if not answers(host):
        raise UserError(
            f"W&B at {host} does not answer; look to the network or to WANDB_BASE_URL and zoo publish "
            "again, or type zoo publish --dry-run, which needs none"
        )


def _write(
    bundle: Any, listed: dict[str, Any], entity: str, project: str, folder: Path
) -> dict[str, Any]:
    from zoo.publishing.report import report_of, specification

    spec = specification(report_of(bundle.views, entity, project, None))
    written = {folder / "report.json": spec, folder / "listing.json": listed}
    for path, content in written.items():
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return {
        "written": [str(path) for path in written],
        "runs": len(bundle.runs),
        "boards": len(bundle.views),
        "files": len(listed["files"]),
    }


def _deliver(bundle: Any, project: str, entity: str | None, folder: Path) -> dict[str, Any]:
    from zoo.publishing.deliver import deliver
    from zoo.publishing.server import Patience, Server

    server = Server(project, entity, Patience())
    try:
        done = deliver(
            bundle, server, folder / "journal.jsonl",
            tell=lambda count: print(f"{count} of {len(bundle.runs)} runs", file=sys.stderr),
        )  # fmt: skip
        return {
            "project": server.path,
            "new": done.count("new"),
            "changed": done.count("changed"),
            "known": done.count("known"),
            "training": [key for key, word in done.runs.items() if word == "training"],
            "boards": {"found": done.boards, "tables": len(bundle.boards.shown)},
            "report": {"found": done.report, "url": server.report_url(done.report_id)},
        }
    finally:
        server.close()


def _print(said: dict[str, Any], dry_run: bool) -> None:
    if dry_run:
        print(
            f"{said['runs']} runs, {said['boards']} boards and one report would be sent: "
            + " ".join(said["written"])
        )
        return
    print(
        f"{said['project']}: {said['new']} runs are new, {said['changed']} changed, "
        f"{said['known']} were there"
    )
    print(f"{said['boards']['tables']} boards: {_WORDS[said['boards']['found']]}")
    print(f"report: {_WORDS[said['report']['found']]}, {said['report']['url']}")
    for run_id in said["training"]:
        print(
            f"{run_id} is left alone: its training still sends; zoo publish again when it has ended"
        )


_WORDS = {"new": "new", "changed": "brought up to date", "known": "as they should be"}
