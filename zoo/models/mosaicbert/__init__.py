"""MosaicBERT, the fast encoder (Portes et al. 2023, arXiv 2312.17482), as Hugging Face classes.

Importing this package imports transformers and registers the classes with its Auto classes; the
zoo itself does so only when a configuration asks for the model.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.mosaicbert.heads import (
    MosaicBertForMultipleChoice,
    MosaicBertForQuestionAnswering,
    MosaicBertForSequenceClassification,
    MosaicBertForTokenClassification,
)
from zoo.models.mosaicbert.masked_lm import MosaicBertForMaskedLM
from zoo.models.mosaicbert.model import MosaicBertModel

__all__ = [
    "MosaicBertConfig",
    "MosaicBertForMaskedLM",
    "MosaicBertForMultipleChoice",
    "MosaicBertForQuestionAnswering",
    "MosaicBertForSequenceClassification",
    "MosaicBertForTokenClassification",
    "MosaicBertModel",
]

AutoConfig.register(MosaicBertConfig.model_type, MosaicBertConfig, exist_ok=True)
for _auto, _model in (
    (AutoModel, MosaicBertModel),
    (AutoModelForMaskedLM, MosaicBertForMaskedLM),
    (AutoModelForMultipleChoice, MosaicBertForMultipleChoice),
    (AutoModelForQuestionAnswering, MosaicBertForQuestionAnswering),
    (AutoModelForSequenceClassification, MosaicBertForSequenceClassification),
    (AutoModelForTokenClassification, MosaicBertForTokenClassification),
):
    _auto.register(MosaicBertConfig, _model, exist_ok=True)
