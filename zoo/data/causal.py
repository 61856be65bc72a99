"""Text for causal language models: packed into blocks of `max_length` tokens, or a document a row.

A split is one stream of tokens, in the order of its documents. An end-of-text token opens each
document, and closes the last one, so that every word is predicted from something:

    <|endoftext|> document 1 <|endoftext|> document 2 <|endoftext|>

Without end-of-text tokens (BioMedLM's own way) the documents alone follow each other. Every row is
a window of the stream:

    packed, training      blocks side by side; the tokens that fill no block are left out
    packed, evaluation    each block begins with the token that ended the one before: so every
                          token of the split is predicted once, and its bytes are the text's bytes
    not packed            a document with its end-of-text tokens, cut to max_length and padded

A batch is a mapping:

    input_ids       (B, S) int64
    attention_mask  (B, S) int64, 1 where there is a token; None where nothing is padding
    labels          (B, S) int64, as transformers has them: label i is token i, which position i - 1
                    predicts; -100 for padding and for the first of a row, which nothing predicts
    lengths         B numbers: real tokens of each row
    targets         (M,) int64, places in B x S of the labels that are no -100; None where these are
                    all but the first of each row
    predicted       B numbers: targets of each row
    bytes           UTF-8 bytes of the labels' text, for bits per byte
    document_ids    (B, S) int64, only with `within_documents`: attention is kept inside equal ids
    position_ids    (B, S) int64, likewise: places counted from the document's or the row's begin
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from zoo.data.masking import IGNORED
from zoo.data.stream import BucketOrder, EpochOrder
from zoo.data.text_data import Batch, TextData
from zoo.data.tokenizers import TextTokenizer
from zoo.data.tokens import Tokens
from zoo.errors import UserError


class Stream:
    """The documents of a split, one after the other.

    Args:
        tokens: of the split.
        end_of_text: the token that opens each document and closes the last; None: there is none.
    """

    def __init__(self, tokens: Tokens, end_of_text: int | None) -> None:
        self.tokens = tokens
        self.end_of_text = end_of_text
        self.opened = int(end_of_text is not None)  # tokens that open a document
        self.begins = np.concatenate([[0], np.cumsum(tokens.lengths + self.opened)])
        self.length = int(self.begins[-1]) + self.opened

    def documents(self, places: np.ndarray) -> np.ndarray:
        """Return the number of the document at each place; what closes the last one is a next."""
        return np.searchsorted(self.begins, places, side="right") - 1

    def at(self, places: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Return the tokens at these places, whose documents are known."""
        offsets = places - self.begins[documents] - self.opened
        last = len(self.tokens) - 1
        found = self.tokens.take(np.minimum(documents, last), np.maximum(offsets, 0))
        return found if self.end_of_text is None else np.where(offsets < 0, self.end_of_text, found)


class Windows(NamedTuple):
    """Where the rows of a split begin in its stream, and how long they are: both (rows,)."""

    begins: np.ndarray
    lengths: np.ndarray


class CausalTextData(TextData):
    """Windows of a stream of documents.

    Args:
        packing: blocks of `max_length` tokens; else a document a row.
        end_of_text: put end-of-text tokens between documents.
        within_documents: say in each batch which document a token is of, so that attention can be
            kept inside documents.
        bucket: without packing: put rows of similar length into a batch.
        name, splits, tokenizer, options: see `TextData`.

    Raises:
        UserError: the tokenizer has no end-of-text token, or loses bytes of the text; the training
            text is shorter than a block.
    """

    def __init__(
        self,
        name: str,
        splits: dict[str, Tokens],
        tokenizer: TextTokenizer,
        *,
        packing: bool,
        end_of_text: bool,
        within_documents: bool,
        bucket: bool,
        max_length: int,
        **options: Any,
    ) -> None:
        keeps_bytes_and_ends(tokenizer)
        self.packing = packing
        self.within_documents = within_documents
        self.bucket = bucket
        self._streams = {
            split: Stream(tokens, tokenizer.end_of_text if end_of_text else None)
            for split, tokens in splits.items()
        }
        if packing and self._streams["train"].length < max_length:
            raise UserError(
                f"data.max_length={max_length}: the training text has only "
                f"{self._streams['train'].length} tokens, which fill no block; type a smaller "
                "data.max_length"
            )
        self._windows = {
            split: self._cut(stream, max_length, overlap=split != "train")
            for split, stream in self._streams.items()
        }
        super().__init__(name, splits, tokenizer, max_length=max_length, **options)

    def _cut(self, stream: Stream, length: int, *, overlap: bool) -> Windows:
        if not self.packing:
            whole = stream.tokens.lengths + 2 * stream.opened
            return Windows(stream.begins[:-1], np.minimum(whole, length))
        if not overlap:
            begins = np.arange(stream.length // length) * length
            return Windows(begins, np.full(len(begins), length))
        begins = np.arange(0, max(stream.length - 1, 1), length - 1)
        return Windows(begins, np.minimum(length, stream.length - begins))

    def rows(self, split: str) -> int:
        return len(self._windows[split].begins)

    def make_order(self) -> EpochOrder:
        if not self.bucket:
            return super().make_order()
        lengths = torch.from_numpy(self._windows["train"].lengths)
        return BucketOrder(lengths, self.batch_size, self.seed)

    def train_batch(self, number: int, rank: int, world: int) -> Batch:
        return self.eval_batch("train", self.order[number][rank::world].numpy())

    def eval_batch(self, split: str, rows: np.ndarray) -> Batch:
        stream, windows = self._streams[split], self._windows[split]
        begins_B, lengths_B = windows.begins[rows], windows.lengths[rows]
        place_S = np.arange(int(lengths_B.max()))
        real_BS = place_S < lengths_B[:, None]
        places_BS = np.minimum(begins_B[:, None] + place_S, stream.length - 1)
        documents_BS = stream.documents(places_BS)
        assert self.tokenizer.pad is not None, "the end-of-text token stands in for it"
        ids_BS = np.where(real_BS, stream.at(places_BS, documents_BS), self.tokenizer.pad)
        labels_BS = np.where(real_BS, ids_BS, IGNORED)
        labels_BS[:, 0] = IGNORED
        batch: Batch = {}
        if self.within_documents:
            first_BS = stream.begins[documents_BS]
            if not stream.opened:  # the first word of a document is predicted from another one
                labels_BS[places_BS == first_BS] = IGNORED
            position_BS = places_BS - np.maximum(first_BS, begins_B[:, None])
            batch["document_ids"] = torch.from_numpy(documents_BS - documents_BS[:, :1])
            batch["position_ids"] = torch.from_numpy(position_BS)
        return batch | {
            "input_ids": torch.from_numpy(ids_BS),
            "attention_mask": None if real_BS.all() else torch.from_numpy(real_BS.astype(np.int64)),
            "lengths": lengths_B.tolist(),
            **labelled(labels_BS, self.tokenizer),
        }


def labelled(labels_BS: np.ndarray, tokenizer: TextTokenizer) -> Batch:
    """Return what a batch says of its targets: `labels`, `targets`, `predicted` and `bytes`.

    Args:
        labels_BS: (B, S), -100 where nothing is predicted, as in each row's first place.
        tokenizer: made the labels.
    """
    is_target_BS = labels_BS != IGNORED
    predicted_B = is_target_BS.sum(1)
    is_whole = bool((predicted_B == labels_BS.shape[1] - 1).all())
    return {
        "labels": torch.from_numpy(labels_BS),
        "targets": None if is_whole else torch.from_numpy(np.flatnonzero(is_target_BS)),
        "predicted": predicted_B.tolist(),
        "bytes": int(tokenizer.token_bytes[labels_BS[is_target_BS]].sum()),
    }


def keeps_bytes_and_ends(tokenizer: TextTokenizer) -> None:
    """Refuse a tokenizer that a causal language model cannot do with.

    Raises:
        UserError: it has no end-of-text token, or loses bytes of the text.
    """
    if tokenizer.end_of_text is None:
        lack = "has no end-of-text token"
    elif not tokenizer.keeps_bytes:
        lack = "does not keep every byte of a text, by which models are compared"
    else:
        return
    raise UserError(
        f"data.tokenizer={tokenizer.label}: {lack}; a model of running text wants one that does: "
        "type data.tokenizer=bpe or data.tokenizer=gpt2"
    )
