"""Tasks: Lightning modules that say what is learned, how it is scored, and what a step costs."""

from zoo.tasks.classification import ClassificationTask

__all__ = ["ClassificationTask"]
