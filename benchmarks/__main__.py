"""Run every benchmark and print one table: python -m benchmarks [NAME ...]."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import (
    board,
    causal,
    delay,
    encoder,
    finetune,
    long,
    page,
    pipeline,
    publish,
    questions,
    rounding,
    startup,
    step,
    tokenize,
)

ALL = {
    "step": step.rows,
    "startup": startup.rows,
    "board": board.rows,
    "page": page.rows,
    "rounding": rounding.rows,
    "delay": delay.rows,
    "pipeline": pipeline.rows,
    "tokenize": tokenize.rows,
    "encoder": encoder.rows,
    "finetune": finetune.rows,
    "causal": causal.rows,
    "questions": questions.rows,
    "publish": publish.rows,
    "long": long.rows,
}

BY_NAME = {"long"}  # takes half an hour: only where it is asked for


def main() -> None:
    unknown = [name for name in sys.argv[1:] if name not in ALL]
    if unknown:
        sys.exit(f"{unknown[0]}: no such benchmark; there are {', '.join(ALL)}")
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("what", "measured", "limit", "details"):
        table.add_column(column, justify="right" if column in ("measured", "limit") else "left")
    for name in sys.argv[1:] or [n for n in ALL if n not in BY_NAME]:
        print(f"measuring {name} ...", flush=True)
        for row in ALL[name]():
            print(
                f"  {row[0]}: {row[1]}", flush=True
            )  # what is measured stays, whatever comes after
            table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
