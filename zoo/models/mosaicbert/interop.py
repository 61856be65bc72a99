"""Checkpoints in and out: the zoo's own, the official ones, and Composer's.

Names of weights are those of mosaicml/mosaic-bert-base, so its state dict loads by name. What a
model has and a checkpoint has not is new, and said; what a checkpoint has and no model knows is an
error.
"""

from dataclasses import fields
from typing import Any, TypeVar

from torch import Tensor

from zoo.errors import UserError
from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.mosaicbert.model import MosaicBertPreTrainedModel
from zoo.models.pretrained import Pretrained, find

Model = TypeVar("Model", bound=MosaicBertPreTrainedModel)

EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
LABELS = {"num_labels", "id2label", "label2id", "problem_type"}  # what a classifier tells apart
# Heads, which a model may lack or have anew; buffers of other versions, which hold no weights.
HEADS = ("cls.", "classifier.", "qa_outputs.", "bert.pooler.")
BUFFERS = ("bert.embeddings.token_type_ids", "bert.embeddings.position_ids")


def load_pretrained(
    model_class: type[Model], checkpoint: str | Pretrained, **options: Any
) -> tuple[Model, str]:
    """Return a model with a checkpoint's weights, and one line that says which of its own are new.

    Args:
        model_class: any of the MosaicBERT classes, whatever head the checkpoint has.
        checkpoint: a folder of `save_pretrained` or of the official repository, a run's, or a name on
            the hub.
        options: what the configuration has otherwise than the checkpoint's.

    Raises:
        UserError: there is no such checkpoint, or it is of another vocabulary or shape.
    """
    source = find(checkpoint)
    config = read_config(source, **options)
    model = model_class(config)
    labels = list(config.id2label.values())
    new = load_weights(model, source.weights_for(model_class, labels), source.typed)
    return model, source.report(model_class.__name__, new)


def read_config(source: Pretrained, **options: Any) -> MosaicBertConfig:
    """Return a checkpoint's configuration, also an official one, which calls itself BERT's.

    The official code pads the vocabulary before it saves; of what it does not know (`alibi`, `glu`,
    ...) the defaults here are what it does.
    """
    source.must_be(("mosaicbert", "bert"), "MosaicBERT")
    known = {f.name for f in fields(MosaicBertConfig)} | LABELS
    told = dict(source.config)
    if "id2label" in told:
        told["id2label"] = {int(k): v for k, v in told["id2label"].items()}
    kept = {k: v for k, v in told.items() if k in known and k != "model_type"}
    if "id2label" in options or "num_labels" in options:
        kept = {k: v for k, v in kept.items() if k not in LABELS}
    return MosaicBertConfig(**{**kept, **options})


def official_names(state: dict[str, Any]) -> dict[str, Tensor]:
    """Return a state dict under the official names, with the tied decoder in it.

    Composer's checkpoints hold it under state and model, each name with `model.` in front; files of
    safetensors leave out what is tied.
    """
    for wrapper in ("state", "model"):
        if isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    state = {k.removeprefix("model."): v for k, v in state.items()}
    state = {k: v for k, v in state.items() if k not in BUFFERS}
    if "cls.predictions.decoder.bias" in state and EMBEDDINGS in state:
        state.setdefault("cls.predictions.decoder.weight", state[EMBEDDINGS])
    return state


def load_weights(model: MosaicBertPreTrainedModel, state: dict[str, Any], name: str) -> list[str]:
    """Load a state dict by name.

    Args:
        model: any of the MosaicBERT classes.
        state: of any of them, official or Composer's.
        name: what it is called in messages.

    Returns:
        The weights of the model's head that are not in it, and so are new.

    Raises:
        UserError: a weight is of another shape, is missing outside of the head, or is unknown.
    """
    state = official_names(state)
    own = model.state_dict()
    if model.base_model_prefix == "bert" and not any(k.startswith("bert.") for k in own):
        state = {k.removeprefix("bert."): v for k, v in state.items()}  # an encoder by itself
    heads = HEADS if any(k.startswith("bert.") for k in own) else (*HEADS, "pooler.")
    missing = [k for k in own if k not in state]
    unknown = [k for k in state if k not in own]
    for keys, what in ((missing, "lacks"), (unknown, "holds, and the model has not,")):
        strange = [k for k in keys if not k.startswith(heads)]
        if strange:
            raise UserError(
                f"model.checkpoint={name}: {what} {strange[0]}"
                + (f" and {len(strange) - 1} more" if len(strange) > 1 else "")
                + "; is it MosaicBERT's, with these model.alibi and model.glu?"
            )
    for key in own:
        if key in state and own[key].shape != state[key].shape:
            _refuse_shape(key, tuple(own[key].shape), tuple(state[key].shape), name)
    model.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
    model.tie_weights()
    return missing


def _refuse_shape(key: str, own: tuple[int, ...], other: tuple[int, ...], name: str) -> None:
    is_of_words = "word_embeddings" in key or "predictions.decoder" in key
    if is_of_words and own[0] != other[0]:
        raise UserError(
            f"model.checkpoint={name}: has a vocabulary of {other[0]} words, and the tokenizer's is "
            f"{own[0]}; use the tokenizer that it was trained with"
        )
    raise UserError(
        f"model.checkpoint={name}: {key} is {other} there and {own} here; type the model.size that it has"
    )
