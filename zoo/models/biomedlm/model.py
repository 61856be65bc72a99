"""BioMedLM (Bolton et al. 2024, arXiv 2403.18421): GPT-2 as Hugging Face has it.

    h <- wte[token] + wpe[place]
    h <- h + attention(norm(h)),  h <- h + mlp(norm(h))        L times
    logits = norm(h) wte^T

    attention in layer l = 0, 1, ...: softmax_j( q_i . k_j / (sqrt(D) (l + 1)) ), j <= i

The layers, their weights and their names are transformers'. On a batch of the zoo's loader the model
takes three short cuts, none of which changes a result: padding stands at the end of a row, so that
words, which look back only, never see it and no mask is built; the head and the loss are computed
for the words that are predicted alone; and attention inside documents is one mask for all layers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import NewGELUActivation
from transformers.modeling_outputs import CausalLMOutput

from zoo.errors import UserError
from zoo.models.cross_entropy import cross_entropy
from zoo.models.dropout import Dropout

FLASH = "flash_attention_2"  # transformers' word for the kernels of flash-attn


class BioMedLM(GPT2LMHeadModel):
    """transformers' own class, with a shorter way for the zoo's batches."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        for parent in self.transformer.modules():
            for name, child in parent.named_children():
                # The same functions, each in one pass over memory where theirs take several.
                if type(child) is nn.Dropout:
                    setattr(parent, name, Dropout(child.p))
                elif type(child) is NewGELUActivation:
                    setattr(parent, name, nn.GELU(approximate="tanh"))

    def forward(
        self,
        input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        lengths: Sequence[int] | None = None,
        targets: Tensor | None = None,
        document_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        **others: Any,
    ) -> Any:
        """Return what GPT2LMHeadModel does; of a loader's batch the logits of its targets alone.

        Args:
            input_ids: (B, S) tokens.
            labels: (B, S); label i is token i, which place i - 1 predicts; -100: no target.
            lengths: real tokens of each row, of a loader's batch; padding stands after them.
            targets: (M,) places in B x S of the labels that are targets; None: all but the first of
                each row.
            document_ids: (B, S), ascending in a row; attention is kept inside equal ids.
            position_ids: (B, S) places; None: counted from the row's begin.
            others: of GPT2LMHeadModel; and of a loader's batch what the model does not need.

        Raises:
            UserError: the rows are longer than the table of positions.
        """
        if input_ids is not None:
            check_positions(input_ids.shape[-1], self.config.n_positions)
        if lengths is None:
            return super().forward(input_ids, labels=labels, position_ids=position_ids, **others)
        assert input_ids is not None
        assert labels is not None
        states = self.states(input_ids, document_ids, position_ids)
        if targets is None:
            states, wanted = states[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        else:
            states, wanted = states.flatten(0, 1)[targets - 1], labels.flatten()[targets]
        logits = self.lm_head(states)
        return CausalLMOutput(loss=cross_entropy(logits, wanted), logits=logits)

    def states(
        self, input_ids: Tensor, document_ids: Tensor | None, position_ids: Tensor | None
    ) -> Tensor:
        """Return the last layer's states (B, S, d); rows are padded at their end, if at all."""
        gpt = self.transformer
        if position_ids is None:
            # Of every row, so that what a batch costs is a sum over its tokens.
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)
            position_ids = position_ids.expand(input_ids.shape)
        hidden = gpt.drop(gpt.wte(input_ids) + gpt.wpe(position_ids))
        B, S, d = hidden.shape
        mask, packed = None, {}
        if document_ids is not None and self.config._attn_implementation == FLASH:
            hidden, packed = hidden.view(1, B * S, d), _documents_in_a_row(document_ids)
        elif document_ids is not None:
            mask = _inside_documents(document_ids)
        if self.config._attn_implementation == "eager":  # adds its mask, and has no other
            same = torch.zeros_like(input_ids) if document_ids is None else document_ids
            mask = torch.finfo(hidden.dtype).min * ~_inside_documents(same)
        for block in gpt.h:
            hidden = block(hidden, None, mask, **packed)
        return gpt.ln_f(hidden).view(B, S, d)

    def plain(self) -> GPT2LMHeadModel:
        """Return transformers' own model with these very weights, as it is published.

        The end-of-text token is also the padding there, as in stanford-crfm/BioMedLM.
        """
        kept = {k: v for k, v in self.config.to_dict().items() if k in GPT2Config().to_dict()}
        config = GPT2Config(**{**kept, "pad_token_id": self.config.eos_token_id, "loss_type": None})
        with torch.device("meta"):
            made = GPT2LMHeadModel(config)
        made.load_state_dict(self.state_dict(), assign=True)
        made.tie_weights()
        return made.eval()


def _inside_documents(document_ids: Tensor) -> Tensor:
    """Return (B, 1, S, S), true where a word may look: back, and inside its document."""
    S = document_ids.shape[1]
    back = torch.ones(S, S, dtype=torch.bool, device=document_ids.device).tril()
    return (document_ids[:, :, None] == document_ids[:, None, :])[:, None] & back


def _documents_in_a_row(document_ids: Tensor) -> dict[str, Any]:
    """Return what flash-attn wants of all rows one after the other: where documents begin."""
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    size = document_ids.numel()
    edges = nn.functional.pad(begins.flatten().nonzero().flatten(), (0, 1), value=size).int()
    longest = int(edges.diff().max())
    return {
        "cu_seq_lens_q": edges, "cu_seq_lens_k": edges,
        "max_length_q": longest, "max_length_k": longest,
    }  # fmt: skip


def check_positions(width: int, positions: int) -> None:
    """Refuse rows that are longer than the table of positions.

    Raises:
        UserError: they are.
    """
    if width > positions:
        raise UserError(
            f"data.max_length={width}: is longer than BioMedLM's table of positions, which has "
            f"{positions}; type data.max_length={positions}"
        )
