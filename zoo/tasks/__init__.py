"""Tasks: Lightning modules that say what is learned, how it is scored, and what a step costs."""

from zoo.tasks.classification import ClassificationTask
from zoo.tasks.masked_lm import MaskedLMTask

__all__ = ["ClassificationTask", "MaskedLMTask"]
