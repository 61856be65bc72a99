"""Tasks: Lightning modules that say what is learned, how it is scored, and what a step costs."""

from zoo.tasks.causal_lm import CausalLMTask
from zoo.tasks.classification import ClassificationTask
from zoo.tasks.masked_lm import MaskedLMTask
from zoo.tasks.multiple_choice import MultipleChoiceTask
from zoo.tasks.sequence_classification import SequenceClassificationTask

__all__ = [
    "CausalLMTask",
    "ClassificationTask",
    "MaskedLMTask",
    "MultipleChoiceTask",
    "SequenceClassificationTask",
]
