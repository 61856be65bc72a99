"""The stages of a fine-grained pipeline, and the delay of each one's gradients.

Kosson et al. 2020 (arXiv 2003.11666) give every layer of a network a stage of its own: of S
stages, stage s = 1..S applies the gradient of a sample D_s = 2(S - s) updates after the sample
passed it. What counts as one layer is not published; the rule here is ours, and gives the paper's
numbers of stages for its CIFAR networks. docs/stages.md explains it.

1. A product (convolution, linear layer, attention, embedding), a pool, a normalisation, a sum of
   two branches and the loss are a stage each, with parameters or without. Activations, dropout and
   scales go with the normalisation or the sum that they follow; else they are a stage, too.
2. Between a fork and its join, a cut has to hand on the shortcut as well. Cuts are fewer there:
   normalisations and activations stay with the layer that they feed, where it is only one.
3. Branches run side by side: a stage's number is the longest way to it from the input.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.delay.balance import balanced_cuts
from zoo.delay.graph import INPUT, Layer, Unfit, trace
from zoo.errors import UserError


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One stage of a pipeline.

    Attributes:
        number: s, from 1.
        delay: D_s = 2(S - s), in updates.
        layers: the names of its layers, in the order in which they run.
        parameters: those of the model's trainable parameters that it holds, by name.
        flops: of the forward pass of the example, 2 per multiply-add.
        activation_bytes: what its forward pass of the example keeps for the backward pass.
    """

    number: int
    delay: int
    layers: tuple[str, ...]
    parameters: dict[str, nn.Parameter]
    flops: int
    activation_bytes: int = 0

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters.values())

    @property
    def parameter_bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.parameters.values())


def pipeline_stages(
    model: nn.Module, example: Any = None, stages: int | None = None
) -> list[Stage]:
    """Cut a model into pipeline stages; every trainable parameter is in exactly one of them.

    A parameter that several layers use, such as an embedding that is also the decoder, is in the
    stage of its first use: that is where the last part of its gradient arrives.

    Args:
        model: any model that runs on its example; it is copied, not run.
        example: its input, a tensor, a tuple of arguments or a dict of keyword arguments, on any
            device. Left out: guessed from timm's configuration, from `dummy_inputs` of a
            Hugging Face model, or from the first layer.
        stages: so many consecutive groups of the fine stages, the FLOPs of the largest as few as
            possible. None: the fine stages.

    Raises:
        UserError: the model does not run on the example, does not reach a parameter, or has not
            so many stages.
    """
    model = getattr(model, "_orig_mod", model)  # what was compiled
    layers = trace(model, guess_example(model) if example is None else example)
    named = list(model.named_parameters())
    _check_reached(named, layers)
    levels = _levels(layers)
    if stages is None:
        groups = levels
    else:
        if not 1 <= stages <= len(levels):
            raise UserError(
                f"delay.stages={stages}: {type(model).__name__} has {len(levels)} stages; "
                f"type a number from 1 to {len(levels)}"
            )
        flops = [sum(layers[i].flops for i in level) for level in levels]
        ends = balanced_cuts(flops, stages)
        groups = [
            [i for level in levels[start:end] for i in level]
            for start, end in zip([0, *ends], ends, strict=False)
        ]
    return _stages(groups, layers, named)


def _stages(
    groups: list[list[int]], layers: list[Layer], named: list[tuple[str, nn.Parameter]]
) -> list[Stage]:
    placed: set[int] = set()
    result = []
    for number, group in enumerate(groups, 1):
        held: dict[str, nn.Parameter] = {}
        for place in (p for i in group for p in sorted(layers[i].parameters)):
            if place not in placed and named[place][1].requires_grad:
                held[named[place][0]] = named[place][1]
            placed.add(place)
        names = tuple(layers[i].name for i in group)
        flops = sum(layers[i].flops for i in group)
        kept: dict[int, int] = {}
        for i in group:
            kept |= layers[i].kept  # what two of its layers keep is there once
        delay = 2 * (len(groups) - number)
        result.append(Stage(number, delay, names, held, flops, sum(kept.values())))
    return result


def _check_reached(named: list[tuple[str, nn.Parameter]], layers: list[Layer]) -> None:
    reached: set[int] = set().union(*(layer.parameters for layer in layers))
    missed = [n for i, (n, p) in enumerate(named) if p.requires_grad and i not in reached]
    if missed:
        more = f" and {len(missed) - 1} more parameters" if len(missed) > 1 else ""
        raise Unfit(
            f"a forward pass does not use {missed[0]}{more}",
            "give an example=... that does, or freeze them with requires_grad_(False)",
        )


# -- the rule ------------------------------------------------------------------------------------


def _levels(layers: list[Layer]) -> list[list[int]]:
    """Return the layers of each stage, by their places in `layers`."""
    loss = len(layers) - 1
    # What neither reaches the loss nor leads to a parameter is computed for nothing.
    kept = _ancestors(layers, [loss, *(i for i, x in enumerate(layers) if x.parameters)])
    readers: list[list[int]] = [[] for _ in layers]
    for i in kept:
        for source in layers[i].inputs or {INPUT}:
            readers[source].append(i)
    unit = _units(layers, kept, readers)
    # A unit is read only where it ends, so the places of the ends are in the order of reading.
    level: dict[int, int] = {}
    for i in sorted(kept):
        level[unit[i]] = max(
            [level.get(unit[i], 1)]
            + [level[unit[p]] + 1 for p in layers[i].inputs if p != INPUT and unit[p] != unit[i]]
        )
    level[loss] = max([level[u] for u in level if u != loss], default=0) + 1
    stages: list[list[int]] = [[] for _ in range(level[loss])]
    for i in sorted(kept):
        stages[level[unit[i]] - 1].append(i)
    return stages


def _ancestors(layers: list[Layer], ends: Iterable[int]) -> list[int]:
    """Return, in order, these layers and all that they are computed from, without the input."""
    found: set[int] = set()
    waiting = list(ends)
    while waiting:
        i = waiting.pop()
        if i not in found and i != INPUT:
            found.add(i)
            waiting += layers[i].inputs
    return sorted(found)


def _units(layers: list[Layer], kept: list[int], readers: list[list[int]]) -> dict[int, int]:
    """Return the unit of each layer: layers of one unit are never cut apart."""
    unit = {i: i for i in kept}
    # Rule 1: what is pointwise goes on with the normalisation or sum (or activation) before it.
    for i in kept:
        sources = layers[i].inputs - {INPUT}
        if layers[i].kind == "pointwise" and len(layers[i].inputs) == 1 and sources:
            (source,) = sources
            first = unit[source]
            if layers[first].kind in ("norm", "join", "pointwise") and readers[source] == [i]:
                unit[i] = first
    # Rule 2: inside a branch, it stays with the layer that it feeds. Last ones first, so that
    # what is fed has found its own place.
    inside = _inside_branches(layers)
    members: dict[int, list[int]] = {}
    for i in kept:
        members.setdefault(unit[i], []).append(i)
    for first in sorted(members, reverse=True):
        last = members[first][-1]
        fed = {unit[r] for r in readers[last]}
        if layers[first].kind in ("norm", "pointwise") and last in inside and len(fed) == 1:
            (target,) = fed
            if layers[target].kind != "loss":
                for i in members[first]:
                    unit[i] = target
                members[target] = members[first] + members[target]
    return unit


def _inside_branches(layers: list[Layer]) -> set[int]:
    """Return the layers beside which another way leads from the input to the loss.

    Where a tensor is handed past layer i, from one before it to one after it, there is such a way:
    every layer is reached from the input and, of those looked at, leads to the loss.
    """
    live = _ancestors(layers, [len(layers) - 1])
    reach = dict.fromkeys([INPUT, *live], 0)
    for i in live:
        for source in layers[i].inputs or {INPUT}:
            reach[source] = max(reach[source], i)
    inside = set()
    furthest = reach[INPUT]
    for i in live:
        if furthest > i:
            inside.add(i)
        furthest = max(furthest, reach[i])
    return inside


# -- an input ------------------------------------------------------------------------------------


def guess_example(model: nn.Module) -> Any:
    """Return two samples that the model should take, without numbers.

    Raises:
        Unfit: nothing tells what they look like.
    """
    dummy = getattr(model, "dummy_inputs", None)
    if isinstance(dummy, dict):
        return dummy
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return _empty(2, module.in_channels, *_image_size(model))
        if isinstance(module, nn.Linear):
            return _empty(2, module.in_features)
        if isinstance(module, nn.Embedding):
            return _empty(2, 8, dtype=torch.long)
    raise Unfit(f"nothing tells what {type(model).__name__} takes", "give an example=...")


def _image_size(model: nn.Module) -> tuple[int, int]:
    for module in model.modules():
        size = getattr(module, "img_size", None)  # of timm's patch embeddings
        if isinstance(size, tuple):
            return size[0], size[1]
    size = (getattr(model, "pretrained_cfg", None) or {}).get("input_size", (3, 32, 32))
    return size[1], size[2]


def _empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")
