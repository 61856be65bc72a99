"""BioMedLM as a configuration asks for it: new, or from a checkpoint."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GPT2Config

from zoo.errors import UserError
from zoo.models.biomedlm.classifier import BioMedLMClassifier
from zoo.models.biomedlm.documents import FLASH, SDPA
from zoo.models.biomedlm.model import BioMedLM, check_positions
from zoo.models.biomedlm.sizes import POSITIONS, SIZES, print_size
from zoo.models.checkpointing import checkpoint_activations
from zoo.models.pretrained import (
    Pretrained,
    check_vocabulary,
    find,
    label_options,
    load_transformers,
)
from zoo.models.sizes import size_of
from zoo.models.tuning import Tuning
from zoo.processes import say

OPTION = ("option",)  # what a head of a single score is of


def causal_lm(
    size: str,
    vocab_size: int,
    pad_token_id: int,
    max_length: int,
    layers: int | None = None,
    inverse_layer_scaling: bool = True,
    attention_dropout: float = 0.1,
    hidden_dropout: float = 0.1,
    attention_kernel: str = "auto",
    gradient_checkpointing: bool = False,
    checkpoint: str | Pretrained | None = None,
) -> BioMedLM:
    """Return BioMedLM with its head over the vocabulary.

    Args:
        size: nano, mini, 125m, 1b, 2.7b, 5b or 7b; a checkpoint brings its own.
        vocab_size: words of the tokenizer, of which the end-of-text token is one.
        pad_token_id: the tokenizer's; in GPT-2's family the end-of-text token.
        max_length: of the sequences.
        layers: another depth than the size's.
        inverse_layer_scaling: divide the scores of layer l by l + 1.
        attention_dropout: of the shares of attention.
        hidden_dropout: of embeddings and of what each block adds.
        attention_kernel: auto or sdpa: torch's, which is FlashAttention on a GPU that has it; flash:
            flash-attn's own.
        gradient_checkpointing: compute activations again in the backward pass, for less memory.
        checkpoint: a run, a folder or a hub name of weights to start from.

    Raises:
        UserError: no such size or kernel, or the sequences, the vocabulary or the checkpoint do not
            fit.
    """
    kernel = kernel_of(attention_kernel)
    dropouts = {
        "attn_pdrop": attention_dropout, "embd_pdrop": hidden_dropout, "resid_pdrop": hidden_dropout,
    }  # fmt: skip
    if checkpoint is not None:
        source = find(checkpoint)
        model = load(source, attn_implementation=kernel, **dropouts)
        check_vocabulary(source, model.config.vocab_size, vocab_size)
        say(source.report("BioMedLM", ()))
    else:
        model = BioMedLM(
            configuration(
                size, vocab_size, pad_token_id, layers=layers, attn_implementation=kernel,
                scale_attn_by_inverse_layer_idx=inverse_layer_scaling, **dropouts,
            )
        )  # fmt: skip
        print_size(size, layers, model.num_parameters())
    check_positions(max_length, model.config.n_positions)
    if gradient_checkpointing:
        checkpoint_activations(model)
    return model


def classifier(
    size: str,
    vocab_size: int,
    pad_token_id: int,
    max_length: int,
    labels: Sequence[str] | None,
    new_words: int = 0,
    inverse_layer_scaling: bool = True,
    attention_dropout: float = 0.1,
    hidden_dropout: float = 0.1,
    attention_kernel: str = "auto",
    gradient_checkpointing: bool = False,
    checkpoint: str | Pretrained | None = None,
    **tuning: Any,
) -> BioMedLMClassifier:
    """Return BioMedLM with a linear head on the last token.

    Args:
        size: see `causal_lm`, as all that is not here.
        vocab_size: words of the tokenizer, new ones among them.
        pad_token_id: ...
        max_length: ...
        labels: what the head tells apart; None: it gives an option its score.
        new_words: how many of the words a checkpoint does not have: the markers.
        inverse_layer_scaling: of new weights; a checkpoint brings its own.
        attention_dropout: ...
        hidden_dropout: ...
        attention_kernel: ...
        gradient_checkpointing: ...
        checkpoint: ...
        tuning: see `Tuning`.

    Raises:
        UserError: see `causal_lm`; or new words would stay as they are.
    """
    tuned = Tuning(**tuning)
    options: dict[str, Any] = {
        "attn_pdrop": attention_dropout, "embd_pdrop": hidden_dropout, "resid_pdrop": hidden_dropout,
        "attn_implementation": kernel_of(attention_kernel),
        **label_options(OPTION if labels is None else labels),
    }  # fmt: skip
    if checkpoint is None:
        options["scale_attn_by_inverse_layer_idx"] = inverse_layer_scaling
        model = BioMedLMClassifier(configuration(size, vocab_size, pad_token_id, **options))
        print_size(size, None, model.num_parameters())
    else:
        model = _tuned_from(
            find(checkpoint), vocab_size, new_words, options, scratch=tuned.tune == "scratch"
        )
    model.config.pad_token_id = pad_token_id  # by which transformers finds a row's end
    check_positions(max_length, model.config.n_positions)
    if new_words and checkpoint is not None and tuned.tune in ("frozen", "lora"):
        raise UserError(
            f"data.markers=tokens: are {new_words} new words of the vocabulary, which model.tune={tuned.tune} "
            "would not learn; type data.markers=words or model.tune=full"
        )
    tuned.apply(model)
    if gradient_checkpointing:
        checkpoint_activations(model)
    return model


def _tuned_from(
    source: Pretrained, vocab_size: int, new_words: int, options: dict[str, Any], *, scratch: bool
) -> BioMedLMClassifier:
    source.must_be(("gpt2",), "BioMedLM")
    check_vocabulary(source, int(source.config["vocab_size"]), vocab_size - new_words)
    config = GPT2Config.from_dict({**source.config, "pad_token_id": None, **options})
    if scratch:
        say(f"{source.typed}: its shape; all weights are new")
        model = BioMedLMClassifier(config)
    else:
        model, new = load_transformers(BioMedLMClassifier, config, source, heads=("score.",))
        if new_words:
            new = [*new, f"{new_words} words of transformer.wte.weight"]
        say(source.report("BioMedLM", new))
    if new_words:
        model.resize_token_embeddings(vocab_size, mean_resizing=False)
    return model


def configuration(
    size: str, vocab_size: int, end_of_text: int, *, layers: int | None = None, **options: Any
) -> GPT2Config:
    """Return transformers' configuration of a size: the paper's, but for what is typed.

    There is no padding token in it: the end-of-text token stands in for one, and transformers would
    look for it in every batch that has no mask.
    """
    shape = size_of(size, SIZES)
    return GPT2Config(
        vocab_size=vocab_size,
        n_positions=POSITIONS,
        n_embd=shape.hidden_size,
        n_layer=shape.layers if layers is None else layers,
        n_head=shape.heads,
        activation_function="gelu_new",
        layer_norm_epsilon=1e-5,
        initializer_range=0.02,
        scale_attn_weights=True,
        use_cache=False,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        pad_token_id=None,
        **{"scale_attn_by_inverse_layer_idx": True, **options},
    )


def kernel_of(typed: str) -> str:
    """Return transformers' word for an attention kernel.

    Raises:
        UserError: there is none of this name for this model, or it cannot run here.
    """
    if typed in ("auto", "sdpa"):
        return SDPA
    if typed != "flash":
        raise UserError(
            f"model.attention_kernel={typed}: BioMedLM has none such; type model.attention_kernel=auto, "
            "sdpa or flash"
        )
    if importlib.util.find_spec("flash_attn") is None or not torch.cuda.is_available():
        raise UserError(
            "model.attention_kernel=flash: wants a GPU and flash-attn; type pip install 'zoo[flash]' "
            "on a machine with a GPU, or model.attention_kernel=auto"
        )
    return FLASH


def load(checkpoint: str | Pretrained, **options: Any) -> BioMedLM:
    """Return the model of a checkpoint of GPT-2's family, in fp32.

    Args:
        checkpoint: a run, a folder of `save_pretrained`, transformers' or the zoo's, or its name on the
            hub: stanford-crfm/BioMedLM.
        options: what the configuration has otherwise than the checkpoint's.

    Raises:
        UserError: there is no such checkpoint, it is of another family, or weights are missing.
    """
    source = find(checkpoint)
    source.must_be(("gpt2",), "BioMedLM")
    config = GPT2Config.from_dict({**source.config, "pad_token_id": None, **options})
    model, _ = load_transformers(BioMedLM, config, source, heads=())
    return model
