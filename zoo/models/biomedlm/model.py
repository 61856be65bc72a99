"""BioMedLM (Bolton et al. 2024, arXiv 2403.18421): GPT-2 as Hugging Face has it.

    h <- wte[token] + wpe[place]
    h <- h + attention(norm(h)),  h <- h + mlp(norm(h))        L times
    logits = norm(h) wte^T

    attention in layer l = 0, 1, ...: softmax_j( q_i . k_j / (sqrt(D) (l + 1)) ), j <= i

The layers, their weights and their names are transformers'. On a batch of the zoo's loader the model
takes three short cuts, none of which changes a result: padding stands at the end of a row, so that
words, which look back only, never see it and no mask is built; the head and the loss are computed
for the words that are predicted alone; and of documents that share a row each is attended to alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.modeling_outputs import CausalLMOutput

from zoo.errors import UserError
from zoo.models.biomedlm import documents
from zoo.models.biomedlm.layers import Layers
from zoo.models.cross_entropy import cross_entropy

ROWS = 64  # times a vocabulary of 8,192 in fp32: 2 MB


class BioMedLM(Layers, GPT2LMHeadModel):
    """transformers' own class, with a shorter way for the zoo's batches."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self._quicken()

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

    def option_log_likelihoods(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        branches: Tensor,
        lengths: Sequence[int],
        asked: Tensor,
        answered: Tensor,
        targets: Tensor,
        owners: Tensor,
        option_tokens: Tensor,
        **others: Any,
    ) -> Tensor:
        """Return (R,): sum of log p(token | prompt, option before it) over each option, in fp32.

        Args:
            input_ids: of a batch of zoo.data.questions.choices, as all that follows.
            position_ids: ...
            branches: ...
            lengths: ...
            asked: ...
            answered: ...
            targets: ...
            owners: ...
            option_tokens: ...
            others: what else is in the batch.
        """
        states = self.states_of_branches(input_ids, position_ids, branches, lengths, asked)
        # Of the vocabulary only the sum is wanted: a few rows at a time, while they are in the cache.
        totals = [self.lm_head(x).float().logsumexp(-1) for x in torch.split(states, ROWS)]
        words = self.lm_head.weight.index_select(0, targets)
        scores = (states.index_select(0, answered) * words).float().sum(-1)
        log_p = scores - torch.cat(totals).index_select(0, answered)
        return log_p.new_zeros(len(option_tokens)).index_add(0, owners, log_p)

    @classmethod
    def of(cls, plain: GPT2LMHeadModel) -> "BioMedLM":
        """Return the model with the very weights of transformers' own: what `plain` undoes."""
        config = GPT2Config(**{**plain.config.to_dict(), "pad_token_id": None})
        config._attn_implementation = documents.SDPA
        with torch.device("meta"):
            made = cls(config)
        made.load_state_dict(plain.state_dict(), assign=True)
        made.tie_weights()
        return made.eval()

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
