"""BioMedLM, the biomedical language model (Bolton et al. 2024, arXiv 2403.18421)."""

from zoo.models.biomedlm.builder import causal_lm, classifier, configuration, load
from zoo.models.biomedlm.classifier import BioMedLMClassifier
from zoo.models.biomedlm.model import BioMedLM
from zoo.models.biomedlm.sizes import SIZES

__all__ = [
    "SIZES",
    "BioMedLM",
    "BioMedLMClassifier",
    "causal_lm",
    "classifier",
    "configuration",
    "load",
]
