"""The one report: for each board what it asks, its table, its frontier and its runs."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces.reports.v2 import internal

from zoo.leaderboard.boards import View
from zoo.publishing.boards import RUN
from zoo.publishing.run import AXES

TITLE = "The experiment zoo"
CHART = "wandb/line/v0"  # a preset of every W&B server
ABOUT = (
    "How much accuracy for how much time? `zoo publish` made this report from records, and writes it "
    "anew: what is changed here by hand is lost."
)


def report_of(
    views: Sequence[View], entity: str, project: str, project_id: str | None
) -> wr.Report:
    """Return the report of these boards.

    Args:
        views: boards that have records.
        entity: W&B user or team.
        project: W&B project.
        project_id: the server's number of the project; None where no server was asked.
    """

    class OurReport(wr.Report):
        """A run set asks the server for its project's number, each anew: one answer is enough."""

        def _to_model(self) -> internal.ReportViewspec:
            model = super()._to_model()
            for block in model.spec.blocks:
                if isinstance(block, internal.PanelGrid):
                    for runset in block.metadata.run_sets:
                        runset.project = internal.Project(
                            name=project, entity_name=entity, id=project_id
                        )
            return model

    blocks: list[Any] = [wr.P(ABOUT), wr.TableOfContents()]
    for filled in views:
        blocks += _blocks(filled)
    report = OurReport(project=project, entity=entity, title=TITLE, width="fluid", blocks=blocks)
    report.description = f"{MARK}{digest(report)}"
    return report


# By which a report is known for one of ours, whatever its title is; the digest of it follows.
MARK = "Made by zoo publish from records. sha256:"


def specification(report: wr.Report) -> dict[str, Any]:
    """Return the report as it is sent, without the server's numbers."""
    spec = json.loads(report._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    for block in spec["blocks"]:
        for runset in block.get("metadata", {}).get("runSets", []):
            runset["project"].pop("id", None)
    return spec


def digest(report: wr.Report) -> str:
    """Return the sha256 of a report's specification."""
    text = json.dumps(specification(report), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _blocks(filled: View) -> list[Any]:
    board = filled.board
    said = [wr.H2(board.title), wr.P(board.question)]
    if board.paper:
        said.append(wr.P(f"Paper: {board.paper}"))
    tables = wr.PanelGrid(
        runsets=[_runset(f"{board.name}.table", "the board", f"Metric('ID') == '{RUN}'")],
        panels=[
            wr.WeavePanelSummaryTable(
                table_name=f"board/{board.name}", layout=wr.Layout(x=0, y=0, w=24, h=9)
            ),
            wr.CustomChart(
                query={"summaryTable": {"tableKey": f"frontier/{board.name}_table"}},
                chart_name=CHART,
                chart_fields={"x": filled.cost.key, "y": board.quality.key, "stroke": "kind"},
                chart_strings={"title": f"{board.title}: the frontier"},
                layout=wr.Layout(x=0, y=9, w=12, h=9),
            ),
            wr.MediaBrowser(
                title=f"{board.title}: the frontier",
                media_keys=[f"picture/{board.name}"],
                num_columns=1,
                layout=wr.Layout(x=12, y=9, w=12, h=9),
            ),
        ],
    )
    runs = wr.PanelGrid(
        runsets=[_runset(f"{board.name}.runs", "its runs", f"Tags('') in ['{board.name}']")],
        panels=_panels(filled),
    )
    grids = [tables, runs] if runs.panels else [tables]
    for grid in grids:
        for number, panel in enumerate(grid.panels):
            panel._id = f"{grid.runsets[0]._id}.{number}"
    return [*said, *grids]


def _runset(name: str, title: str, filters: str) -> wr.Runset:
    runset = wr.Runset(name=title, filters=filters)
    runset._id = name  # else a random one, and the same report would be another one each time
    return runset


def _panels(filled: View) -> list[Any]:
    """Charts over the board's runs, of what their records hold."""
    board, records = filled.board, [r for g in filled.groups for r in g.records]
    measured = {key for r in records for key in r.metrics}
    quality = board.quality
    panels: list[Any] = []
    if quality.key in measured:
        panels = [
            wr.ScatterPlot(
                title=f"{quality.label} against {axis.label}",
                x=wr.SummaryMetric(axis.key),
                y=wr.SummaryMetric(quality.key),
                log_x=axis.log,
                log_y=quality.log,
                layout=wr.Layout(x=12 * (i % 2), y=9 * (i // 2), w=12, h=9),
            )
            for i, axis in enumerate(a for a in board.costs if a.key in measured)
        ]
    curve = quality.key.replace("test/", "val/", 1)
    if any(curve in r.curve for r in records):
        below = 9 * ((len(panels) + 1) // 2)
        axis = AXES["samples"]
        panels.append(
            wr.LinePlot(
                title=f"{curve} over training", x=axis, y=[curve],
                layout=wr.Layout(x=0, y=below, w=24, h=9),
            )
        )  # fmt: skip
    return panels
