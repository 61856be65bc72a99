"""What a page of results is made of: `leaderboards/results/NAME.yaml`; docs/results.md has the keys."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zoo.errors import UserError, suggest
from zoo.leaderboard.boards import Board
from zoo.leaderboard.claims.claim import Choice, Claims
from zoo.leaderboard.definition import read_definition


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(Choice):
    """Rows by columns, each a condition on runs; a cell is a mean over seeds.

    Attributes:
        title: above the table.
        rows, columns: conditions by label, in this order, beside those of `where`.
        like: conditions under which the tuned keys are chosen, where these are others.
        minus: a row that is taken from the others, seed by seed; cells are differences then.
        digits: behind the point.
    """

    title: str
    rows: dict[str, dict[str, Any]] = Field(min_length=1)
    columns: dict[str, dict[str, Any]] = Field(default={"": {}}, min_length=1)
    like: dict[str, Any] | None = None
    minus: str | None = None
    minimum_seeds: int = Field(3, ge=2)
    digits: int = Field(1, ge=0, le=6)

    @model_validator(mode="after")
    def _minus_is_a_row(self) -> "Table":
        if self.minus is not None and self.minus not in self.rows:
            raise ValueError(f"minus: {self.minus}: no such row{suggest(self.minus, self.rows)}")
        return self


class Drawing(_Part):
    """A picture: a board's frontier, or the number ranges of a run."""

    board: str | None = None
    cost: str | None = None
    ranges: str | None = Field(None, pattern=r"^[0-9a-f]{16}$")  # of this run
    shows: str  # what is to be seen in it, for those who cannot see it

    @model_validator(mode="after")
    def _one_of_both(self) -> "Drawing":
        if (self.board is None) == (self.ranges is None):
            raise ValueError("a figure is of a board or of a run's ranges")
        return self


class Results(_Part):
    """A page of results.

    Attributes:
        title, question, set_up: text; Markdown.
        claims: the file of leaderboards/claims whose verdicts it has.
        commands: what is typed to make the runs.
        figure, tables: what is shown.
        says: what follows from the tables, a sentence each.
        differs: from the paper, a sentence each.
        more: pages of docs with the rest.
    """

    name: str
    title: str
    question: str
    set_up: str
    claims: str | None = None
    commands: list[str] = Field(min_length=1)
    figure: Drawing
    tables: list[Table] = Field(min_length=1)
    says: list[str] = Field(min_length=1)
    differs: list[str] = Field(min_length=1)
    more: list[str] = []


def load_results(
    folder: Path, boards: dict[str, Board], papers: dict[str, Claims]
) -> dict[str, Results]:
    """Read all pages, by name.

    Raises:
        UserError: a file is no page, or names a board or claims that are not there.
    """
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        page = read_definition(
            path, Results, "results are a mapping with title, question and tables", name=path.stem
        )
        for key, value, known in (
            ("figure.board", page.figure.board, boards),
            ("claims", page.claims, papers),
        ):
            if value is not None and value not in known:
                raise UserError(f"{path.name}: {key}={value}: there is none{suggest(value, known)}")
        found[page.name] = page
    return found
