"""BioMedLM with a linear head on the last token: a score of an option, or one for each label.

    score of an option = w . h(last token of "prompt option")        softmax over a question's options
    logits of labels   = W h(last token of the prompt)               softmax over yes, no and maybe

h is the last layer's state. The paper's head for options has a bias, which adds the same to every option
and so changes nothing; here there is none, and both heads are transformers' GPT2ForSequenceClassification.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2ForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from zoo.models.biomedlm.layers import Layers
from zoo.models.biomedlm.model import check_positions


class BioMedLMClassifier(Layers, GPT2ForSequenceClassification):
    """transformers' own class, with a shorter way for the zoo's batches."""

    published = GPT2ForSequenceClassification

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self._quicken()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        lengths: Sequence[int] | None = None,
        position_ids: Tensor | None = None,
        branches: Tensor | None = None,
        ends: Tensor | None = None,
        **others: Any,
    ) -> Any:
        """Return what GPT2ForSequenceClassification does; of a loader's batch the `logits` alone.

        Args:
            input_ids: (B, S) tokens.
            lengths: real tokens of each row, of a loader's batch; padding stands after them.
            position_ids: (B, S) places; None: counted from the row's begin.
            branches: of a batch of zoo.data.questions.choices; None: a row is a prompt alone.
            ends: (R,) places in B x S of the last tokens of the options, likewise.
            others: of GPT2ForSequenceClassification; and of a loader's batch what is not needed.

        Returns:
            With logits (R, 1), one an option, or (B, labels).

        Raises:
            UserError: the rows are longer than the table of positions.
        """
        if lengths is None or input_ids is None:
            if input_ids is not None:
                check_positions(input_ids.shape[-1], self.config.n_positions)
            return super().forward(input_ids, position_ids=position_ids, **others)
        if branches is None:
            check_positions(input_ids.shape[1], self.config.n_positions)
            states = self.states(input_ids, None, position_ids)
            last = torch.tensor(lengths, device=states.device) - 1
            states = states[torch.arange(len(lengths), device=states.device), last]
        else:  # longer than the table, where there are many options: their places are not
            assert position_ids is not None
            assert ends is not None
            states = self.states_of_branches(input_ids, position_ids, branches, lengths, ends)
        return SequenceClassifierOutput(logits=self.score(states))
