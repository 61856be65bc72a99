"""Which weights of a model learn when it starts from a checkpoint.

full     all of them
lora     W + (alpha / r) B A beside the projections of attention, A (r, in) and B (out, r) of low rank
         (Hu et al. 2021, arXiv 2106.09685), and the head; W stays. The library is peft
frozen   the head alone, on features that stay as they were pretrained
scratch  all of them, from new ones: the checkpoint gives its shape and its tokenizer

The head is what is not the encoder or decoder itself, and the pooler.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

# The projections of attention that are adapted: queries, keys and values, in one matrix or in three.
TARGETS = {
    "mosaicbert": ["Wqkv"],
    "bert": ["query", "key", "value"],
    "gpt2": ["c_attn"],
}
POOLER = "pooler."


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a checkpoint is tuned.

    Args:
        tune: full, lora, frozen or scratch.
        lora_rank: r.
        lora_alpha: the adapters' product is multiplied by alpha / r.
        lora_dropout: of what an adapter reads.
    """

    tune: str = "full"
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0

    def apply(self, net: Any) -> Any:
        """Let those weights of a model learn that are to, and return it."""
        if self.tune in ("full", "scratch"):
            return net
        body = net.base_model
        inside = {id(p) for name, p in body.named_parameters() if not name.startswith(POOLER)}
        head = [p for p in net.parameters() if id(p) not in inside]
        net.requires_grad_(False)
        if self.tune == "lora":
            self._inject(net)
        for parameter in head:
            parameter.requires_grad_(True)
        return net

    def _inject(self, net: Any) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        kind = net.config.model_type
        lora = LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=TARGETS[kind],
            fan_in_fan_out=kind == "gpt2",  # whose projections are stored the other way round
        )
        inject_adapter_in_model(lora, net.base_model)


def merge(net: nn.Module) -> bool:
    """Add the adapters to the weights beside which they are, in place.

    Returns:
        Whether there were any.
    """
    from peft.tuners.lora import LoraLayer

    adapted = [(n, m) for n, m in net.named_modules() if isinstance(m, LoraLayer)]
    for name, module in adapted:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, module.get_base_layer())
    return bool(adapted)
