"""Activation checkpointing of Hugging Face models, under either of its names."""

from typing import Any


def checkpoint_activations(model: Any) -> None:
    """Let a model compute its activations again in the backward pass, for less memory."""
    # Not reentrant: inputs need no gradient, and precision's rounding sees what is computed again.
    options = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # transformers 5.20 renamed it
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
