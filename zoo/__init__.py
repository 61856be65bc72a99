"""An experiment zoo: models x precisions x optimizers x delays, with an honest leaderboard.

The version is part of every record's id: raise it when the same command gives other numbers.
"""

__version__ = "0.1.0"
