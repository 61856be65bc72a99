"""Tasks: Lightning modules that say what is learned, how it is scored, and what a step costs."""

from zoo.tasks.causal_lm import CausalLMTask
from zoo.tasks.classification import ClassificationTask
from zoo.tasks.masked_lm import MaskedLMTask

__all__ = ["CausalLMTask", "ClassificationTask", "MaskedLMTask"]
