"""Sweeps: their jobs, what is done of them, how long the rest takes, and Hydra's loop over them.

jobs         what a sweep consists of, every job composed and checked before the first one runs
fingerprints what its runs' ids are, known before they run
status       done, running, cut off, failed, left: read from the output folder
estimate     how long a job takes, by runs like it
screen       all of that on one screen
sweeper      runs what is left, through whichever of Hydra's launchers
"""
