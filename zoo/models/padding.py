"""Unpadding: a batch of padded rows as one packed row of real tokens.

    (B, S) token ids with padding  ->  (N,) real tokens and where each sequence begins

A batch is packed once, before anything is computed, and stays packed through every layer. Sequences
stand in the order of their lengths, longest first, so that those of equal length are a block
(n, s) that a view shows: attention needs no copy and no mask.

Where the lengths are known on the host (a data loader knows them) nothing is asked of the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import UserError


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the N real tokens of a batch of B rows of S are.

    Attributes:
        batch: B.
        width: S.
        lengths: of the sequences, in packed order; none is empty.
        rows: the row of each sequence, in packed order.
        index: (N,) the place b * S + s of each packed token; None: packed order is the batch's own.
        positions: (N,) of the tokens in their sequences, where these are not 0, 1, 2, ...
        mask: (B, S), where padding has stayed in: which tokens are real. Then N = B * S.
        device: of all of it.
    """

    batch: int
    width: int
    lengths: tuple[int, ...]
    rows: tuple[int, ...]
    index: Tensor | None
    device: torch.device
    positions: Tensor | None = None
    mask: Tensor | None = None

    @property
    def tokens(self) -> int:
        """N."""
        return sum(self.lengths)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """(n, s) of each run of n sequences of one length s."""
        return [(len(list(run)), length) for length, run in groupby(self.lengths)]

    @property
    def max_length(self) -> int:
        return max(self.lengths, default=0)

    def starts(self) -> list[int]:
        """Return where each sequence begins in the packed row, and N at the end."""
        places = [0]
        for length in self.lengths:
            places.append(places[-1] + length)
        return places

    def cu_seqlens(self) -> Tensor:
        """Return `starts` as varlen kernels want it, (sequences + 1,) int32."""
        return torch.tensor(self.starts(), dtype=torch.int32, device=self.device)

    def columns(self) -> Tensor:
        """Return the column s of each packed token, (N,)."""
        if self.index is not None:
            return self.index.remainder(self.width)
        return torch.arange(self.width, device=self.device).repeat(self.batch)

    def pack(self, x: Tensor) -> Tensor:
        """Take the real tokens of (B, S, ...): (N, ...)."""
        flat = x.reshape(self.batch * self.width, *x.shape[2:])
        return flat if self.index is None else flat.index_select(0, self.index)

    def unpack(self, x: Tensor) -> Tensor:
        """Put packed tokens (N, d) back to where they were, zeros on padding: (B, S, d)."""
        if self.index is not None:
            filled = F.pad(x, (0, 0, 0, 1))  # padding reads a row of zeros behind the tokens
            x = filled.index_select(0, self._inverse())
        elif self.mask is not None:
            x = x * self.mask.reshape(-1, 1)
        return x.reshape(self.batch, self.width, x.shape[-1])

    def find(self, places: Tensor) -> Tensor:
        """Return where the tokens at places b * S + s are in the packed row."""
        return places if self.index is None else self._inverse().index_select(0, places)

    def is_padding(self, places: Tensor) -> bool:
        """Return whether any of the places b * S + s is padding; asks the device."""
        if self.mask is not None:
            return not bool(self.mask.flatten().index_select(0, places).all())
        return bool((self.find(places) == self.tokens).any())

    def first_tokens(self) -> Tensor:
        """Return the place b * S + s of the first real token of each sequence, in packed order."""
        starts = torch.tensor(self.starts()[:-1], dtype=torch.long, device=self.device)
        if self.mask is not None:
            columns = self.mask.to(torch.uint8).argmax(1)
            return starts + columns.index_select(0, starts // self.width)
        return starts if self.index is None else self.index.index_select(0, starts)

    def by_row(self, x: Tensor) -> Tensor:
        """Put what belongs to each sequence (sequences, d) to its row: (B, d), zeros where none."""
        if self.mask is not None:
            return x * self.mask.any(1, keepdim=True)
        place = [len(self.rows)] * self.batch
        for i, row in enumerate(self.rows):
            place[row] = i
        places = torch.tensor(place, dtype=torch.long, device=self.device)
        return F.pad(x, (0, 0, 0, 1)).index_select(0, places)

    def _inverse(self) -> Tensor:
        assert self.index is not None
        size = self.batch * self.width
        inverse = torch.full((size,), self.tokens, dtype=torch.long, device=self.device)
        return inverse.scatter(0, self.index, torch.arange(self.tokens, device=self.device))


def check_lengths(lengths: Sequence[int], width: int) -> None:
    """Refuse lengths that are none of rows of this width.

    Raises:
        UserError: one is negative, or larger than the row.
    """
    for row, length in enumerate(lengths):
        if not 0 <= length <= width:
            raise UserError(
                f"lengths: row {row} is said to hold {length} tokens, and rows are of {width}; "
                "give the number of real tokens of each row"
            )


def pack_by_lengths(lengths: Sequence[int], width: int, device: torch.device) -> Packing:
    """Pack rows of `width` whose first `lengths` tokens are real (padding on the right).

    Raises:
        UserError: a length is negative, or larger than the row.
    """
    check_lengths(lengths, width)
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    kept = tuple(row for row in order if lengths[row])
    index = None
    if any(length < width for length in lengths):
        pieces = [torch.arange(row * width, row * width + lengths[row]) for row in kept]
        index = torch.cat(pieces or [torch.arange(0)]).to(device, non_blocking=True)
    return Packing(
        len(lengths), width, tuple(lengths[row] for row in kept), kept, index, torch.device(device)
    )


def pack_by_mask(mask: Tensor) -> Packing:
    """Pack the tokens where a mask (B, S) is not zero, wherever in the row they are.

    Asks the device for the mask. A row whose tokens have gaps between them keeps their distances:
    `positions` are the columns then.
    """
    real = mask.detach().bool().cpu()
    batch, width = real.shape
    lengths: list[int] = real.sum(1).tolist()
    columns = torch.arange(width)
    if bool((real == (columns < torch.tensor(lengths)[:, None])).all()):
        return pack_by_lengths(lengths, width, mask.device)
    order = sorted(range(batch), key=lambda row: -lengths[row])
    kept = tuple(row for row in order if lengths[row])
    rows, found = real[list(kept)].nonzero(as_tuple=True)
    index = torch.tensor(kept)[rows] * width + found
    span = [int(c[-1] - c[0]) + 1 for c in torch.split(found, [lengths[row] for row in kept])]
    gapless = span == [lengths[row] for row in kept]
    return Packing(
        batch,
        width,
        tuple(lengths[row] for row in kept),
        kept,
        index.to(mask.device),
        mask.device,
        positions=None if gapless else found.to(mask.device),
    )


def keep_padding(batch: int, width: int, device: torch.device, mask: Tensor | None) -> Packing:
    """Return a batch that is computed as it stands, padding included; `mask` says what is real."""
    rows = tuple(range(batch)) if width else ()
    return Packing(
        batch,
        width,
        (width,) * len(rows),
        rows,
        None,
        torch.device(device),
        mask=None if mask is None else mask.bool(),
    )
