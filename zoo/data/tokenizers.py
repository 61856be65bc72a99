"""Tokenizers: WordPiece as BERT has it, byte-level BPE as GPT-2 and BioMedLM have it.

Given (the vocabularies of bert-base-uncased and gpt2, a folder), or trained on a corpus. The work
is done by Hugging Face's `tokenizers`; training is made a function of the texts alone, whatever
the threads and the process. Text is text: `[MASK]` written in a document is five letters and two
brackets, not the special token.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.corpus import Corpus
from zoo.data.documents import first
from zoo.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

PAD, UNK, CLS, SEP, MASK = BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
END_OF_TEXT = "<|endoftext|>"
ALPHABET = 1000  # characters that a trained WordPiece vocabulary may begin from

Texts = Callable[[], Iterable[str]]  # may be read more than once


class TextTokenizer:
    """A tokenizer with the names of its special tokens.

    Args:
        engine: of the library `tokenizers`.
        label: what it is called in sentences.
    """

    def __init__(self, engine: "Engine", label: str) -> None:
        self.engine = engine
        self.label = label
        self.engine.no_truncation()
        self.engine.no_padding()
        self.engine.encode_special_tokens = True
        vocabulary = engine.get_vocab(with_added_tokens=True)
        self.vocab_size = len(vocabulary)
        if vocabulary and max(vocabulary.values()) >= self.vocab_size:
            self.vocab_size = max(vocabulary.values()) + 1  # some give ids with gaps
        self._ids = vocabulary

    def id_of(self, *tokens: str) -> int | None:
        """Return the id of the first of these tokens that there is."""
        return next((self._ids[t] for t in tokens if t in self._ids), None)

    @property
    def unk(self) -> int | None:
        return self.id_of(UNK, "<unk>")

    @property
    def mask(self) -> int | None:
        return self.id_of(MASK, "<mask>")

    @property
    def cls(self) -> int | None:
        return self.id_of(CLS, "<s>")

    @property
    def sep(self) -> int | None:
        return self.id_of(SEP, "</s>")

    @property
    def end_of_text(self) -> int | None:
        return self.id_of(END_OF_TEXT, "</s>")

    @property
    def pad(self) -> int | None:
        """The padding token; where there is none, the end-of-text token, as in GPT-2's family."""
        found = self.id_of(PAD, "<pad>")
        return self.end_of_text if found is None else found

    @property
    def special(self) -> tuple[int, ...]:
        """Ids that stand for no text, in ascending order."""
        known = (self.pad, self.unk, self.cls, self.sep, self.mask, self.end_of_text)
        return tuple(sorted({i for i in known if i is not None}))

    @property
    def keeps_bytes(self) -> bool:
        """Whether every byte of a text is in its tokens, so that they can be counted."""
        return self._stored["model"]["type"] == "BPE" and "ByteLevel" in json.dumps(
            self._stored["pre_tokenizer"]
        ) and not self._stored["normalizer"]  # fmt: skip

    @cached_property
    def token_bytes(self) -> np.ndarray:
        """UTF-8 bytes of text that each token stands for: (vocab_size,) of int32; special: 0.

        Exact where `keeps_bytes`: there each character of a token is one byte.
        """
        lengths = np.zeros(self.vocab_size, dtype=np.int32)
        for token, number in self._ids.items():
            lengths[number] = len(token)
        for added in self._stored["added_tokens"]:  # these are stored as they are read
            lengths[added["id"]] = 0 if added["special"] else len(added["content"].encode())
        return lengths

    @cached_property
    def _stored(self) -> dict[str, Any]:
        return json.loads(self.engine.to_str())

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of what decides the tokens: vocabulary, merges and how text is cut."""
        kept = {k: self._stored[k] for k in ("normalizer", "pre_tokenizer", "model")}
        added = sorted((t["content"], t["id"]) for t in self._stored["added_tokens"])
        text = json.dumps([kept, added], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def knows_the_words_of(self, other: "TextTokenizer") -> bool:
        """Whether both have the same words under the same ids."""
        return self._ids == other._ids

    def with_special(self, tokens: list[str]) -> "TextTokenizer":
        """Return a tokenizer that has these special tokens, too; new ones come behind all others."""
        from tokenizers import AddedToken, Tokenizer

        engine = Tokenizer.from_str(self.engine.to_str())
        engine.add_special_tokens([AddedToken(token, special=True) for token in tokens])
        return TextTokenizer(engine, self.label)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of each text, without special ones."""
        found = self.engine.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def decode(self, ids: Iterable[int]) -> str:
        return self.engine.decode(list(ids), skip_special_tokens=False)

    def save(self, folder: Path) -> None:
        """Write it in Hugging Face's format: `AutoTokenizer.from_pretrained(folder)` reads it."""
        from transformers import PreTrainedTokenizerFast

        names = {
            "pad_token": self.pad,
            "unk_token": self.unk,
            "cls_token": self.cls,
            "sep_token": self.sep,
            "mask_token": self.mask,
            "bos_token": self.end_of_text,
            "eos_token": self.end_of_text,
        }
        tokens = {k: self.engine.id_to_token(i) for k, i in names.items() if i is not None}
        folder.mkdir(parents=True, exist_ok=True)
        wrapped = PreTrainedTokenizerFast(tokenizer_object=self.engine, **tokens)
        wrapped.save_pretrained(folder)
        self.engine.model.save(str(folder))  # vocab.json and merges.txt, or vocab.txt


# -- given ---------------------------------------------------------------------------------------


def bert_base_uncased(vocabulary: Path) -> TextTokenizer:
    """Return BERT's tokenizer: lower case, accents stripped, WordPiece over its vocab.txt."""
    from tokenizers.models import WordPiece

    words = vocabulary.read_text(encoding="utf-8").rstrip("\n").split("\n")
    model = WordPiece({w: i for i, w in enumerate(words)}, unk_token=UNK)
    return TextTokenizer(_wordpiece(model), "bert-base-uncased")


def _wordpiece(model: Any) -> "Engine":
    """Wrap a WordPiece model as BERT does."""
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors

    engine = Tokenizer(model)
    engine.normalizer = normalizers.BertNormalizer(lowercase=True)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece()
    engine.add_special_tokens([AddedToken(t, special=True) for t in BERT_SPECIAL])
    engine.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(t, engine.token_to_id(t)) for t in (CLS, SEP)],
    )
    return engine


def gpt2(vocabulary: Path, merges: Path) -> TextTokenizer:
    """Return GPT-2's byte-level BPE."""
    from tokenizers.models import BPE

    model = BPE.from_file(str(vocabulary), str(merges))
    return TextTokenizer(_byte_level(model), "gpt2")


def _byte_level(model: Any) -> "Engine":
    """Wrap a BPE model as GPT-2 and BioMedLM do; the end-of-text token comes last."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors

    engine = Tokenizer(model)
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.post_processor = processors.ByteLevel(trim_offsets=True)
    engine.add_special_tokens([AddedToken(END_OF_TEXT, special=True)])
    return engine


def from_folder(folder: str, *, key: str = "data.tokenizer_folder=") -> TextTokenizer:
    """Return the tokenizer whose tokenizer.json is in a folder.

    Args:
        folder: as it was typed.
        key: what it was typed behind.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    from tokenizers import Tokenizer

    path = Path(folder).expanduser() / "tokenizer.json"
    if not path.is_file():
        raise UserError(
            f"{key}{folder}: has no tokenizer.json; save one with "
            "tokenizer.save_pretrained(FOLDER) or zoo tokenizer train"
        )
    try:
        engine = Tokenizer.from_file(str(path))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises plain Exception, and panics, which are none
        raise UserError(
            f"{key}{folder}: its tokenizer.json cannot be read ({error}); save the tokenizer again"
        ) from None
    return TextTokenizer(engine, "folder")


# -- trained -------------------------------------------------------------------------------------


def train_wordpiece(texts: Texts, vocab_size: int, *, progress: bool = False) -> TextTokenizer:
    """Train a lower-case WordPiece vocabulary; at most `vocab_size` tokens, five special ones.

    The library numbers the `##` letters in the order of a hash map, so that its vocabularies
    differ from one training to the next. Here letters are numbered first, in their own order; the
    merges then depend on the texts alone.
    """
    from tokenizers.models import WordPiece

    engine = _wordpiece(WordPiece(unk_token=UNK))
    seen: Counter[str] = Counter()
    for text in texts():
        seen.update(engine.normalizer.normalize_str(text))
    for blank in [c for c in seen if c.isspace()]:
        del seen[blank]
    alphabet = sorted(sorted(seen, key=lambda c: (-seen[c], c))[:ALPHABET])
    trainer = {"initial_alphabet": alphabet, "limit_alphabet": max(1, len(alphabet))}
    letters = _train(
        engine, "WordPieceTrainer", texts, vocab_size=0, special_tokens=[], **trainer,
    )  # fmt: skip
    first = [*BERT_SPECIAL, *sorted(set(letters) - set(BERT_SPECIAL))]
    if len(first) > vocab_size:
        raise UserError(
            f"data.vocab_size={vocab_size}: the corpus has {len(first)} letters and special tokens; "
            f"type data.vocab_size={2 * len(first)}"
        )
    vocabulary = _train(
        engine, "WordPieceTrainer", texts, vocab_size=vocab_size, special_tokens=first,
        show_progress=progress, **trainer,
    )  # fmt: skip
    return TextTokenizer(_wordpiece(WordPiece(vocabulary, unk_token=UNK)), "wordpiece")


def _train(engine: "Engine", trainer: str, texts: Texts, **options: Any) -> dict[str, int]:
    from tokenizers import Tokenizer, trainers

    fresh = Tokenizer(type(engine.model)(unk_token=UNK))
    fresh.normalizer, fresh.pre_tokenizer = engine.normalizer, engine.pre_tokenizer
    made = getattr(trainers, trainer)(**{"show_progress": False, **options})
    fresh.train_from_iterator(texts(), made)
    return fresh.get_vocab(with_added_tokens=True)


def train_bpe(texts: Texts, vocab_size: int, *, progress: bool = False) -> TextTokenizer:
    """Train byte-level BPE with BioMedLM's settings: 256 bytes to begin from, pairs that occur
    twice, no prefix space; the end-of-text token is the last one inside `vocab_size`.
    """
    from tokenizers import trainers
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    least = len(ByteLevel.alphabet()) + 1
    if vocab_size < least:
        raise UserError(
            f"data.vocab_size={vocab_size}: {least - 1} bytes and the end-of-text token are {least} "
            f"tokens already; type data.vocab_size=4096"
        )
    engine = _byte_level(BPE())
    bare = type(engine)(BPE())
    bare.pre_tokenizer = engine.pre_tokenizer
    bare.train_from_iterator(
        texts(),
        trainers.BpeTrainer(
            vocab_size=vocab_size - 1,
            min_frequency=2,
            initial_alphabet=sorted(ByteLevel.alphabet()),
            special_tokens=[],
            show_progress=progress,
        ),
    )
    return TextTokenizer(_byte_level(bare.model), "bpe")


TRAINERS = {"wordpiece": train_wordpiece, "bpe": train_bpe}


def trained_on(
    corpus: Corpus,
    kind: str,
    vocab_size: int,
    *,
    documents: int | None,
    text_bytes: int | None = None,
    cache_dir: str,
    progress: bool = False,
) -> TextTokenizer:
    """Return a tokenizer trained on a corpus' training split, on so many documents and bytes at most."""

    def texts() -> Iterator[str]:
        return first(corpus.documents("train"), documents, text_bytes)

    key = f"{corpus.key} {documents}"
    if text_bytes is not None:
        key += f" {text_bytes}"
    return trained(kind, texts, vocab_size, key=key, cache_dir=cache_dir, progress=progress)


def trained(
    kind: str, texts: Texts, vocab_size: int, *, key: str, cache_dir: str, progress: bool = False
) -> TextTokenizer:
    """Train a tokenizer, or read it where it was trained before.

    Args:
        kind: wordpiece or bpe.
        texts: the training documents.
        vocab_size: tokens at most, special ones included.
        key: stands for the content of the texts.
        cache_dir: trained ones are kept here.
        progress: show the library's progress bars.
    """
    import tokenizers
    from tokenizers import Tokenizer

    from zoo.leaderboard.store import write_atomically

    words = f"{kind} {vocab_size} {ALPHABET} {tokenizers.__version__} {key}"
    name = hashlib.sha256(words.encode()).hexdigest()[:16]
    path = Path(cache_dir) / "tokenizers" / f"{kind}-{vocab_size}-{name}.json"
    if path.exists():
        try:
            return TextTokenizer(Tokenizer.from_file(str(path)), kind)
        except Exception:  # it is damaged: made again
            path.unlink(missing_ok=True)
    made = TRAINERS[kind](texts, vocab_size, progress=progress)
    write_atomically(path, made.engine.to_str().encode())
    return made


def batched(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield lists of `size` texts; the last one may be shorter."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
