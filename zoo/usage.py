"""The options of every config group, for `python train.py --help`."""

import textwrap

from zoo.overrides import groups

WIDTH = 100  # columns
# In the order of README's table; the others follow.
FIRST = ("model", "data", "precision", "optimizer", "scheduler", "delay")
LAST = ("experiment", "sweeps")


def options(width: int = WIDTH) -> str:
    """Return a paragraph for each group with its options, those of extensions included.

    Args:
        width: of the text, in columns.
    """
    known = {group: names for group, names in groups().items() if "/" not in group}
    middle = sorted(set(known) - {*FIRST, *LAST, "hydra"})
    column = max(map(len, known)) + 4
    return "\n".join(
        textwrap.fill(
            " ".join(known[group]),
            width,
            initial_indent=f"  {group}".ljust(column),
            subsequent_indent=" " * column,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for group in (*FIRST, *middle, *LAST)
    )
