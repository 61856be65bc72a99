"""BioMedLM as a configuration asks for it: new, or from a checkpoint."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config

from zoo.errors import UserError, first_line
from zoo.models.biomedlm.model import FLASH, BioMedLM, check_positions
from zoo.models.biomedlm.sizes import POSITIONS, SIZES, print_size
from zoo.models.checkpointing import checkpoint_activations
from zoo.models.mosaicbert.interop import find_checkpoint
from zoo.models.sizes import size_of


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
    checkpoint: str | None = None,
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
        checkpoint: folder or hub name of weights to start from.

    Raises:
        UserError: no such size or kernel, or the sequences, the vocabulary or the checkpoint do not
            fit.
    """
    kernel = kernel_of(attention_kernel)
    dropouts = {
        "attn_pdrop": attention_dropout, "embd_pdrop": hidden_dropout, "resid_pdrop": hidden_dropout,
    }  # fmt: skip
    if checkpoint is not None:
        model = load(checkpoint, attn_implementation=kernel, **dropouts)
        check_vocabulary(checkpoint, model.config.vocab_size, vocab_size)
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
        return "sdpa"
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


def load(checkpoint: str, **options: Any) -> BioMedLM:
    """Return the model of a checkpoint of GPT-2's family, in fp32.

    Args:
        checkpoint: a folder of `save_pretrained`, transformers' or the zoo's, or its name on the
            hub: stanford-crfm/BioMedLM.
        options: what the configuration has otherwise than the checkpoint's.

    Raises:
        UserError: there is no such checkpoint, it is of another family, or weights are missing.
    """
    folder = find_checkpoint(checkpoint)
    refusal = f"model.checkpoint={checkpoint}: "
    kind = _model_type(folder)
    if kind != "gpt2":
        raise UserError(
            f"{refusal}is of {kind}, not of gpt2; type model.checkpoint=null or another"
        )
    try:
        model, report = BioMedLM.from_pretrained(
            folder, dtype=torch.float32, pad_token_id=None, output_loading_info=True, **options
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{refusal}cannot be read ({first_line(error)}); type the folder that save_pretrained wrote"
        ) from error
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise UserError(
            f"{refusal}lacks {lacking[0]} and {len(lacking) - 1} more weights; type the folder that "
            "save_pretrained wrote"
        )
    return model


def _model_type(folder: Path) -> str:
    import json

    try:
        return str(json.loads((folder / "config.json").read_text()).get("model_type"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"model.checkpoint={folder.name}: its config.json cannot be read ({first_line(error)}); "
            "type the folder that save_pretrained wrote"
        ) from None


def check_vocabulary(checkpoint: str, words: int, vocab_size: int) -> None:
    """Refuse a checkpoint that was trained with another tokenizer.

    Raises:
        UserError: it has another number of words.
    """
    if words != vocab_size:
        raise UserError(
            f"model.checkpoint={checkpoint}: has a vocabulary of {words} words, and the tokenizer's is "
            f"{vocab_size}; type data.tokenizer=folder data.tokenizer_folder=FOLDER with the tokenizer "
            "that it was trained with"
        )
