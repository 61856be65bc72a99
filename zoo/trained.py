"""A trained model of text from a folder, to be used: a run's own, or one in Hugging Face's format.

outputs/ID/last.ckpt       the weights of a run
outputs/ID/model/          its configuration and its tokenizer, written when it has ended; the weights,
                           too, where adapters (LoRA) were merged into them
FOLDER/model.safetensors   what save_pretrained writes, beside config.json and tokenizer.json
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checkpoint import Start, opened
from zoo.data.questions.prompt import Form
from zoo.data.tokenizers import TextTokenizer
from zoo.errors import UserError
from zoo.models.pretrained import MODEL, Pretrained, load_transformers

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

KEY = "--checkpoint "


@dataclass(frozen=True)
class Trained:
    """A causal language model with its tokenizer.

    Attributes:
        model: transformers' own class, in evaluation mode.
        tokenizer: that it was trained with.
        begins: texts began with the end-of-text token in training; None where it is not known.
        separator: of a run of data=pairs, what stands behind a source, as it was typed.
        form: of a run that learned to write answers, how questions were written.
    """

    model: "GPT2LMHeadModel"
    tokenizer: TextTokenizer
    begins: bool | None
    separator: str | None = field(default=None, kw_only=True)
    form: Form | None = field(default=None, kw_only=True)

    @property
    def fingerprint(self) -> str:
        """Stands for the weights and the tokenizer: the first numbers of every tensor."""
        digest = hashlib.sha256(self.tokenizer.sha256.encode())
        for name, tensor in self.model.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten()[:256].float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def keep(folder: Path, net: Any, tokenizer: TextTokenizer) -> None:
    """Write beside a run's weights what else it takes to use them.

    Adapters are merged into the model, whose weights are then written, too: those of the run's
    checkpoint are apart.
    """
    from transformers.utils import logging

    from zoo.models.tuning import merge

    logging.disable_progress_bar()
    net = getattr(net, "_orig_mod", net)  # of a compiled one
    if merge(net):
        net.save_pretrained(folder / MODEL)
    net.config.architectures = [_published(net).__name__]  # not the class of ours that it is
    net.config.save_pretrained(folder / MODEL)
    tokenizer.save(folder / MODEL)


def _published(net: Any) -> type:
    """Return the class under which others know a model."""
    return getattr(net, "published", type(net))


def load_trained(checkpoint: str) -> Trained:
    """Return the causal language model of a folder; of the hub where there is no such folder.

    Args:
        checkpoint: as it was typed.

    Raises:
        UserError: there is none, it is of another kind, or model and tokenizer do not fit.
    """
    start = opened(checkpoint, KEY)
    task = start.record.config["task"]["name"] if start.record else "causal_lm"
    if task != "causal_lm" or start.source.kind != "gpt2" or has_head(start.source):
        of = f"is of {start.source.kind}"
        if task != "causal_lm" or has_head(start.source):
            of += f" and task={task}" if task != "causal_lm" else " and a head for answers"
        raise UserError(
            f"{start.source.said}{of}, and no model that writes text; type a run of model=biomedlm"
        )
    from zoo.models.biomedlm.builder import load

    model = load(start.source, attn_implementation="sdpa").plain()  # wherever it was trained
    data = None if start.record is None else start.record.config["data"]
    begins = None if data is None else bool(data.get("end_of_text", True))  # pairs always do
    tokenizer = start.tokenizer
    if tokenizer is not None and tokenizer.end_of_text is None:
        raise UserError(
            f"{start.source.said}its tokenizer has no end-of-text token, at which a text would end; "
            "train one with zoo tokenizer train"
        )
    return Trained(
        model,
        tokenizer_beside(start, model.config.vocab_size),
        begins,
        separator=(data or {}).get("separator"),
        form=form_of(start) if (data or {}).get("answers") == "text" else None,
    )


def form_of(start: Start) -> Form | None:
    """Return how questions were written in the training of a run of data=questions.

    Args:
        start: None is returned where it is no run.
    """
    if start.record is None:
        return None
    data = start.record.config["data"]
    keys = ("format", "markers", "truncation", "max_length", "end_of_text")
    return Form(**{key: data[key] for key in keys})


def has_head(source: Pretrained) -> bool:
    """Return whether a checkpoint's head scores options or classes, and tells no words."""
    heads = ("ForSequenceClassification", "ForMultipleChoice")
    return any(str(name).endswith(heads) for name in source.config.get("architectures") or [])


def tokenizer_beside(start: Start, words: int) -> TextTokenizer:
    """Return the tokenizer of a checkpoint, whose model has so many words.

    Raises:
        UserError: there is none, or it is of more words.
    """
    tokenizer = start.tokenizer
    if tokenizer is None:
        raise UserError(
            f"{start.source.said}has no tokenizer.json beside it; save the tokenizer that it was trained "
            "with there"
        )
    if tokenizer.vocab_size > words:
        raise UserError(
            f"{start.source.said}its tokenizer has {tokenizer.vocab_size} tokens and the model knows "
            f"{words}; save the tokenizer that it was trained with beside it"
        )
    return tokenizer


def load_published(checkpoint: str) -> tuple[Any, TextTokenizer]:
    """Return any model of text under the class that transformers knows, with its tokenizer.

    Args:
        checkpoint: as it was typed.

    Raises:
        UserError: see `load_trained`; or of what class it is, nobody knows.
    """
    start = opened(checkpoint, KEY)
    source = start.source
    if source.kind == "gpt2" and not has_head(source):
        trained = load_trained(checkpoint)
        return trained.model, trained.tokenizer
    import transformers

    import zoo.models.mosaicbert as ours

    name = (source.config.get("architectures") or ["?"])[0]
    found = getattr(ours, name, None) or getattr(transformers, name, None)
    if found is None:
        raise UserError(
            f"{source.said}its config.json says architectures={name}, which neither transformers nor the "
            "zoo has; save it with save_pretrained"
        )
    if hasattr(ours, name):
        from zoo.models.mosaicbert.interop import load_pretrained

        model, _ = load_pretrained(found, source)
    else:
        config = found.config_class.from_dict(source.config)
        model, _ = load_transformers(found, config, source, heads=())
    return model.eval(), tokenizer_beside(start, model.config.vocab_size)
