"""Method cards: a YAML file in leaderboards/methods/ says what a paper's method is and how to try it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from zoo.errors import UserError, suggest
from zoo.extensions import extensions
from zoo.leaderboard.definition import read_definition

WANTED = "a card is a mapping with title, paper, idea, equations, commands"


class Method(BaseModel):
    """What a card shows; docs/page.md describes the keys.

    `equations` are lines of plain text in the paper's symbols. `claims` is a file of
    leaderboards/claims, `document` a page of docs/, both without their endings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    paper: str
    read: str | None = None
    idea: str
    equations: list[str] = Field(min_length=1)
    commands: list[str] = Field(min_length=1)
    boards: list[str] = []
    claims: str | None = None
    document: str | None = None


def load_methods(folder: Path, boards: Iterable[str], papers: Iterable[str]) -> list[Method]:
    """Read every card of a folder and of the extensions, by the name of the file.

    Args:
        folder: of the cards; it may not be there.
        boards: names of boards that a card may lead to.
        papers: names of the files of claims that it may count.

    Raises:
        UserError: a file is no valid card; the sentence names file and key.
    """
    known = {"boards": list(boards), "claims": list(papers)}
    found: dict[str, Method] = {}
    for home in (folder, *(e.leaderboards / "methods" for e in extensions())):
        for path in sorted(home.glob("*.yaml")):
            if path.stem in found:
                raise UserError(f"{path}: there is a card {path.stem} already; rename this one")
            method = read_definition(path, Method, WANTED, name=path.stem)
            found[path.stem] = method
            _must_be_known(path, "boards", method.boards, known["boards"])
            _must_be_known(
                path, "claims", [method.claims] if method.claims else [], known["claims"]
            )
    return list(found.values())


def _must_be_known(path: Path, key: str, names: Sequence[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(f"{path.name}: {key}: {name}: there is none{suggest(name, known)}")
