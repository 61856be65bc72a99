"""`zoo mcnemar`: two models compared question by question."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo.errors import UserError
from zoo.verbs.options import AsJson, OutputDir


def mcnemar(
    first: Annotated[
        str, typer.Argument(help="a run's id, its folder, or a file of zoo answer --file")
    ],
    second: Annotated[str, typer.Argument(help="another one, on the same questions")],
    split: Annotated[Literal["test", "val"], typer.Option(help="of a run's predictions")] = "test",
    output_dir: OutputDir = Path("outputs"),
    as_json: AsJson = False,
) -> None:
    """Compare two models question by question: McNemar's test."""
    from zoo.leaderboard.statistics.questions import mcnemar as compared
    from zoo.predictions import right_answers

    found = compared(*(right_answers(typed, output_dir, split) for typed in (first, second)))
    if found is None:
        raise UserError(
            f"{first} and {second}: have no question in common; type two models on the same questions"
        )
    if as_json:
        print(json.dumps({**asdict(found), "accuracies": found.accuracies}))
        return
    a, b = (f"{100 * accuracy:.1f}%" for accuracy in found.accuracies)
    print(f"{found.questions} questions: {first} {a}, {second} {b}")
    print(
        f"right with both {found.both}, with the first alone {found.first}, with the second alone "
        f"{found.second}, with neither {found.neither}"
    )
    print(f"McNemar's exact test of equal accuracy: p = {found.p:.3g}")
