"""Records in, boards out: this package knows records, not how they were made (nor torch)."""

from zoo.leaderboard.frontier import frontier
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import load_records

__all__ = ["Record", "frontier", "load_records"]
