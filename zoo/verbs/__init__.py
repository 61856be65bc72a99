"""Verbs of the `zoo` command that are too long for zoo/cli.py."""
