"""The boards as one HTML file that needs no server and no network.

`payload` turns records into data, `html` puts the data, the style and the program into one page,
`figure` draws the same frontier as a picture for the README, `range_figure` a run's number ranges.
"""

from collections.abc import Sequence
from pathlib import Path

from zoo.leaderboard.boards import Board
from zoo.leaderboard.claims.judge import Judged
from zoo.leaderboard.methods import Method
from zoo.leaderboard.page.figure import frontier_svg
from zoo.leaderboard.page.html import render
from zoo.leaderboard.page.payload import payload
from zoo.leaderboard.store import Problem, Stored, write_atomically

__all__ = ["frontier_svg", "write_page"]


def write_page(
    out: Path,
    boards: Sequence[Board],
    stored: Sequence[Stored],
    problems: Sequence[Problem] = (),
    claims: Sequence[Judged] = (),
    methods: Sequence[Method] = (),
) -> Path:
    """Write `out/index.html`: claims, method cards, every board, every run, and nothing to fetch.

    Args:
        out: the folder, made if it is not there.
        boards: what to show, in this order.
        stored: the runs; those that match no board are listed beneath the boards.
        problems: files that hold no valid record; a footnote names them.
        claims: shown first, where there are any.
        methods: a card each, with the verdicts of its claims.

    Returns:
        The path of the page.
    """
    path = out / "index.html"
    write_atomically(path, render(payload(boards, stored, problems, claims, methods)).encode())
    return path
