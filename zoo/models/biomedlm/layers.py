"""GPT-2's layers on the zoo's batches, whatever head reads their states."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation

from zoo.models.biomedlm import documents
from zoo.models.biomedlm.branches import arguments
from zoo.models.dropout import Dropout


class Layers:
    """Beside one of transformers' classes of GPT-2, which has `transformer` and `config`."""

    transformer: Any
    config: Any

    def _quicken(self) -> None:
        """Put the zoo's own dropout and GELU in the place of transformers'."""
        for parent in self.transformer.modules():
            for name, child in parent.named_children():
                # The same functions, each in one pass over memory where theirs take several.
                if type(child) is nn.Dropout:
                    setattr(parent, name, Dropout(child.p))
                elif type(child) is NewGELUActivation:
                    setattr(parent, name, nn.GELU(approximate="tanh"))

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
        way, mask = self.config._attn_implementation, None
        told: dict[str, Any] = {}
        if document_ids is not None:
            in_a_row, mask, told = documents.arguments(document_ids, way)
            hidden = hidden.view(1, B * S, d) if in_a_row else hidden
        if way == "eager" and mask is None:  # has no other
            mask = documents.mask(torch.zeros_like(input_ids))
        return self._through_layers(hidden, mask, told).view(B, S, d)

    def states_of_branches(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        branches: Tensor,
        lengths: Sequence[int],
        places: Tensor,
    ) -> Tensor:
        """Return the last layer's states (U, d) at `places` in B x S; see `branches`.

        Args:
            input_ids: (B, S), padded at the end of a row.
            position_ids: (B, S).
            branches: (B, S).
            lengths: real tokens of each row.
            places: (U,), of real tokens.
        """
        gpt = self.transformer
        real, mask, told = arguments(branches, lengths, self.config._attn_implementation)
        if real is not None:
            places = torch.searchsorted(real, places)
            input_ids = input_ids.flatten().index_select(0, real)[None]
            position_ids = position_ids.flatten().index_select(0, real)[None]
        hidden = gpt.drop(gpt.wte(input_ids) + gpt.wpe(position_ids))
        return self._through_layers(hidden, mask, told).flatten(0, 1).index_select(0, places)

    def _through_layers(self, hidden: Tensor, mask: Tensor | None, told: dict[str, Any]) -> Tensor:
        if mask is not None and self.config._attn_implementation == "eager":  # adds it
            mask = torch.finfo(hidden.dtype).min * ~mask
        for block in self.transformer.h:
            hidden = block(hidden, None, mask, **told)
        return self.transformer.ln_f(hidden)
