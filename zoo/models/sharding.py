"""Fully sharded weights (FSDP2): each device keeps a part of every tensor, and of its optimizer state.

A model is sharded block by block (Zhao et al. 2023, arXiv 2304.11277, section 3.2): when a block is
computed, its weights are gathered, and let go of behind it. What is in no block, embeddings and the
head, is gathered with the model itself.
"""

from typing import Any

from torch import nn

from zoo.errors import UserError


def blocks_of(net: nn.Module) -> list[nn.Module]:
    """Return the blocks of a model: the modules that Hugging Face says must not be split.

    A block that shares a weight with what is outside of it (embeddings tied to the head) is none.
    """
    names = set(getattr(net, "_no_split_modules", None) or ())
    found = [module for module in net.modules() if type(module).__name__ in names]
    return [block for block in found if not _shares_weights(block, net)]


def _shares_weights(block: nn.Module, net: nn.Module) -> bool:
    inside = set(block.modules())
    own = {id(p) for p in block.parameters()}
    outside = (m for m in net.modules() if m not in inside)
    return any(id(p) in own for m in outside for p in m.parameters(recurse=False))


def check_blocks(net: nn.Module, name: str) -> None:
    """Refuse a model without blocks.

    Args:
        net: the model.
        name: its label.

    Raises:
        UserError: there are none.
    """
    if not blocks_of(net):
        raise UserError(
            f"model={name}: has no blocks by which trainer.strategy=fsdp could share its weights "
            "out; type trainer=ddp, or a transformer such as model=mosaicbert"
        )


def shard(net: nn.Module, mesh: Any) -> None:
    """Share out a model's weights, in place, once: what is shared out already stays as it is.

    Args:
        net: the same on every device of the mesh.
        mesh: a device mesh of one dimension.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if isinstance(net, FSDPModule):
        return
    for block in blocks_of(net):
        fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)
