"""What several verbs take."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.overrides import ROOT

LEADERBOARDS = ROOT / "leaderboards"

OutputDir = Annotated[
    Path, typer.Option("--output-dir", envvar="ZOO_OUTPUT", help="where runs leave their records")
]
Leaderboards = Annotated[
    Path, typer.Option("--leaderboards", help="boards (*.yaml) and curated records (records/)")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
