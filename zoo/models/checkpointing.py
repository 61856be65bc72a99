"""Activation checkpointing of Hugging Face models, under either of its names."""

from typing import Any

from torch import nn


def checkpoint_activations(model: Any) -> None:
    """Let a model compute its activations again in the backward pass, for less memory."""
    # Not reentrant: inputs need no gradient, and precision's rounding sees what is computed again.
    options = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # transformers 5.20 renamed it
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def compute_once(net: nn.Module) -> nn.Module:
    """Let the models in a module keep their activations, and return the module."""
    part: Any
    for part in net.modules():
        if getattr(part, "is_gradient_checkpointing", False):
            renamed = getattr(part, "activation_checkpointing_disable", None)
            (renamed or part.gradient_checkpointing_disable)()
    return net
