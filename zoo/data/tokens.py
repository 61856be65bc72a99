"""Token ids of a split, made once and kept in an Arrow file that is mapped into memory.

    cache_dir/tokens/KEY/tokens.arrow    a list of ids and the UTF-8 bytes of each document
    cache_dir/tokens/KEY/about.json      fingerprint of the texts, counts

KEY is a hash of what decides the content: the corpus, the split and the tokenizer. Documents are
stored whole and without special tokens, so that one file serves every length and objective. The
folder is filled beside its place and renamed: a reader sees all of it or nothing.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.corpus import Corpus
from zoo.data.documents import LeftOut, first
from zoo.data.tokenizers import TextTokenizer, batched

FORMAT = 1  # raised when the files' content changes
TOGETHER = 256  # documents tokenised at once
CHUNK = 1 << 26  # tokens of one Arrow record batch, about


@dataclass(frozen=True)
class Tokens:
    """The documents of a split as token ids.

    Args:
        values: the ids of all documents, in chunks.
        chunks: in which chunk each document is: (N,).
        starts: where it begins there: (N,).
        lengths: its tokens: (N,).
        text_bytes: its UTF-8 bytes: (N,).
        sha256: fingerprint of the texts.
        left_out: documents that are not among them.
    """

    values: list[np.ndarray]
    chunks: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    text_bytes: np.ndarray
    sha256: str
    left_out: LeftOut

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, documents: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return the ids at these places of these documents: int64, in their shape."""
        flat = self.starts[documents] + offsets
        if len(self.values) == 1:
            return self.values[0][flat].astype(np.int64)
        found = np.empty(flat.shape, dtype=np.int64)
        chunks = np.broadcast_to(self.chunks[documents], flat.shape)
        for chunk in np.unique(chunks):
            here = chunks == chunk
            found[here] = self.values[chunk][flat[here]]
        return found


def tokenised(
    corpus: Corpus,
    split: str,
    tokenizer: TextTokenizer,
    *,
    cache_dir: str,
    documents: int | None = None,
    text_bytes: int | None = None,
) -> Tokens:
    """Return a split's tokens, from the cache or made now.

    Args:
        corpus: where the texts come from.
        split: train, validation or test.
        tokenizer: makes the tokens.
        cache_dir: the cache's folder.
        documents: take so many documents at most.
        text_bytes: take the first documents that have so many bytes of text at most.

    Raises:
        UserError: what reading the corpus may raise.
    """
    words = f"{FORMAT} {corpus.key} {split} {documents} {tokenizer.sha256}"
    if text_bytes is not None:
        words += f" {text_bytes}"
    key = hashlib.sha256(words.encode()).hexdigest()[:24]
    folder = Path(cache_dir) / "tokens" / key
    with _alone(folder) as locked:
        if locked:  # what a process has left that was killed as it wrote
            for scraps in folder.parent.glob(f".{key}.*.tmp"):
                shutil.rmtree(scraps, ignore_errors=True)
        found = _load(folder)
        if found is None:
            left_out = LeftOut()
            texts = first(corpus.documents(split, left_out), documents, text_bytes)
            store(texts, tokenizer, folder, left_out)
            found = _load(folder)
            assert found is not None, "it was written just now"
    return found


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Let one process at a time make a folder; the others wait, and find it made.

    Yields False where the file system knows no locks: then the work may be done twice.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w") as lock:
        locked = False
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
            locked = True
        yield locked


def _load(folder: Path) -> Tokens | None:
    """Map a stored split into memory; None where there is none, or a damaged one (now removed)."""
    import pyarrow as pa

    if not folder.exists():
        return None
    try:
        about = json.loads((folder / "about.json").read_text())
        with pa.ipc.open_file(pa.memory_map(str(folder / "tokens.arrow"))) as file:
            batches = [file.get_batch(i) for i in range(file.num_record_batches)]
        parts = [_part(batch) for batch in batches]
        chunks = [np.full(len(part[1]), i) for i, part in enumerate(parts)]
        values, starts, lengths, text_bytes = zip(*parts, strict=True)
        tokens = Tokens(
            list(values),
            np.concatenate(chunks),
            np.concatenate(starts),
            np.concatenate(lengths),
            np.concatenate(text_bytes),
            sha256=about["sha256"],
            left_out=LeftOut(**about["left_out"]),
        )
        if len(tokens) != about["documents"]:
            raise ValueError("documents are missing")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        damaged = folder.with_name(f".{folder.name}.{os.getpid()}.damaged")
        folder.rename(damaged)
        shutil.rmtree(damaged)
        return None
    return tokens


def _part(batch: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    ids = batch.column("tokens")
    offsets = ids.offsets.to_numpy()
    return (
        ids.values.to_numpy(zero_copy_only=True),
        offsets[:-1].astype(np.int64),
        np.diff(offsets).astype(np.int64),
        batch.column("bytes").to_numpy().astype(np.int64),
    )


def store(texts: Iterable[str], tokenizer: TextTokenizer, folder: Path, left_out: LeftOut) -> None:
    """Tokenise texts into `folder`, all of it or nothing.

    Args:
        texts: the documents.
        tokenizer: makes the tokens.
        folder: made here.
        left_out: told of documents without any token; written beside the tokens.
    """
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with open(scratch / "tokens.arrow", "wb") as file:
            sha256, count = _write(texts, tokenizer, file, left_out)
            _to_disk(file)
        about = {"sha256": sha256, "documents": count, "left_out": vars(left_out)}
        with open(scratch / "about.json", "w") as file:
            json.dump(about, file)
            _to_disk(file)
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _write(
    texts: Iterable[str], tokenizer: TextTokenizer, file: Any, left_out: LeftOut
) -> tuple[str, int]:
    import pyarrow as pa

    kind = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32)
    schema = pa.schema(
        [("tokens", pa.large_list(pa.from_numpy_dtype(kind))), ("bytes", pa.int64())]
    )
    digest = hashlib.sha256()
    count = 0
    chunk = _Chunk(kind, schema)
    with pa.ipc.new_file(file, schema) as writer:
        for texts_, ids in _encoded(texts, tokenizer):
            for text, tokens in zip(texts_, ids, strict=True):
                if not tokens:  # control characters alone, for example
                    left_out.empty += 1
                    continue
                content = text.encode()
                digest.update(len(content).to_bytes(8, "little") + content)
                chunk.add(tokens, len(content))
                count += 1
            if chunk.tokens >= CHUNK:
                writer.write_batch(chunk.batch())
                chunk = _Chunk(kind, schema)
        writer.write_batch(chunk.batch())
    return digest.hexdigest(), count


def _encoded(
    texts: Iterable[str], tokenizer: TextTokenizer
) -> Iterator[tuple[list[str], list[list[int]]]]:
    """Yield texts with their tokens; the next ones are tokenised while these are stored.

    Two batches are under way: while one is turned from the library's objects into lists, which
    takes one thread, the other keeps the library's own threads busy.
    """
    with ThreadPoolExecutor(2) as pool:
        under_way: deque[tuple[list[str], Future[list[list[int]]]]] = deque()
        for batch in batched(texts, TOGETHER):
            under_way.append((batch, pool.submit(tokenizer.encode, batch)))
            if len(under_way) > 2:
                before, coming = under_way.popleft()
                yield before, coming.result()
        for before, coming in under_way:
            yield before, coming.result()


class _Chunk:
    """Documents on their way into one Arrow record batch."""

    def __init__(self, kind: np.dtype, schema: Any) -> None:
        self.kind, self.schema = kind, schema
        self.tokens = 0
        self._ids: list[np.ndarray] = []
        self._bytes: list[int] = []

    def add(self, ids: list[int], text_bytes: int) -> None:
        # array() reads a list four times as fast as NumPy does, but 16 bits of it slowly.
        self._ids.append(np.frombuffer(array("I", ids), dtype=np.uintc).astype(self.kind))
        self._bytes.append(text_bytes)
        self.tokens += len(ids)

    def batch(self) -> Any:
        import pyarrow as pa

        offsets = np.concatenate([[0], np.cumsum([len(i) for i in self._ids])]).astype(np.int64)
        values = np.concatenate([np.empty(0, self.kind), *self._ids])
        lists = pa.LargeListArray.from_arrays(
            offsets, pa.array(values, self.schema[0].type.value_type)
        )
        return pa.record_batch([lists, pa.array(self._bytes, pa.int64())], schema=self.schema)
