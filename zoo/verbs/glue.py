"""`zoo glue`: every model that was tuned to GLUE, with the paper's average."""

import json
from pathlib import Path

from rich.console import Console

from zoo.leaderboard.store import scan
from zoo.leaderboard.terminal import print_problems
from zoo.verbs.options import LEADERBOARDS, AsJson, Leaderboards, OutputDir


def glue(
    output_dir: OutputDir = Path("outputs"),
    leaderboards: Leaderboards = LEADERBOARDS,
    as_json: AsJson = False,
) -> None:
    """Print GLUE's table: models by tasks, and the paper's average."""
    from zoo.leaderboard.glue import as_json as plain
    from zoo.leaderboard.glue import print_table

    stored, problems = scan(output_dir, leaderboards / "records", curves=False)
    records = [s.record for s in stored]
    if as_json:
        print(json.dumps(plain(records), indent=1))
        return
    console = Console()
    print_table(console, records)
    print_problems(console, problems)
