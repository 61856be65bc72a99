"""The data set of a language model: a corpus, a tokenizer, and rows for an objective."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo.data.causal import CausalTextData
from zoo.data.corpus import SPLITS, find_corpus
from zoo.data.masked import MaskedTextData
from zoo.data.masking import Rate
from zoo.data.text_data import TextData
from zoo.data.tokenizers import TextTokenizer, bert_base_uncased, from_folder, gpt2, trained_on
from zoo.data.tokens import Tokens, tokenised
from zoo.errors import UserError
from zoo.processes import say

# What `data.tokenizer=auto` means, and the tokenizers whose files are looked for in data.root.
AUTO = {"masked": "wordpiece", "causal": "bpe", "auto": "wordpiece"}
GIVEN: dict[str, tuple[str, tuple[str, ...], Callable[..., TextTokenizer]]] = {
    "bert-base-uncased": ("google-bert/bert-base-uncased", ("vocab.txt",), bert_base_uncased),
    "gpt2": ("openai-community/gpt2", ("vocab.json", "merges.txt"), gpt2),
}


def text(
    *,
    corpus: str,
    root: str,
    cache_dir: str,
    seed: int,
    batch_size: int,
    eval_batch_size: int,
    max_length: int,
    objective: str,
    tokenizer: str = "auto",
    vocab_size: int = 4096,
    tokenizer_corpus: str | None = None,
    tokenizer_folder: str | None = None,
    folder: str | None = None,
    eval_corpus: str | None = None,
    train_documents: int | None = None,
    train_bytes: int | None = None,
    eval_samples: int | None = None,
    eval_bytes: int | None = None,
    eval_lengths: Sequence[int] = (),
    skip_broken: bool = False,
    bucket: bool = False,
    mask_rate: float = 0.3,
    mask_rate_end: float | None = None,
    packing: bool = True,
    end_of_text: bool = True,
    within_documents: bool = False,
    own_tokenizer: TextTokenizer | None = None,
) -> TextData:
    """Return a corpus as rows of tokens; conf/data/text.yaml says what each argument means.

    `own_tokenizer` is that of the checkpoint which the model starts from, where it has one.

    Raises:
        UserError: the corpus or the tokenizer is not there, is broken, or does not fit.
    """
    where: dict[str, Any] = {
        "root": root, "cache_dir": cache_dir, "folder": folder, "skip_broken": skip_broken,
    }  # fmt: skip
    train = find_corpus(corpus, **where)
    held_out = find_corpus(eval_corpus, **where, key="data.eval_corpus") if eval_corpus else train
    source = train
    if tokenizer_corpus:
        source = find_corpus(tokenizer_corpus, **where, key="data.tokenizer_corpus")

    def trained_here(kind: str) -> TextTokenizer:
        return trained_on(
            source, kind, vocab_size,
            documents=train_documents, text_bytes=train_bytes, cache_dir=cache_dir,
        )  # fmt: skip

    made = chosen_tokenizer(
        tokenizer,
        own_tokenizer,
        AUTO[objective],
        trained_here,
        root=root,
        cache_dir=cache_dir,
        folder=tokenizer_folder,
    )
    splits = {
        split: tokenised(
            train if split == "train" else held_out, split, made, cache_dir=cache_dir,
            documents=train_documents if split == "train" else None,
            text_bytes=train_bytes if split == "train" else eval_bytes,
        )
        for split in SPLITS
    }  # fmt: skip
    _say_what_is_left_out(corpus, splits)
    for split in ("validation", "test"):
        if eval_bytes is not None and not len(splits[split]):
            raise UserError(
                f"data.eval_bytes={eval_bytes}: the first document of the {split} split has more; type "
                "a larger number"
            )
    shared: dict[str, Any] = {
        "seed": seed,
        "batch_size": batch_size,
        "eval_batch_size": eval_batch_size,
        "max_length": max_length,
        "eval_samples": eval_samples,
        "bucket": bucket,
    }
    if objective != "causal":  # auto, where no model says otherwise, is masked
        return MaskedTextData(
            corpus, splits, made, rate=Rate(mask_rate, mask_rate_end), eval_lengths=eval_lengths,
            **shared,
        )  # fmt: skip
    return CausalTextData(
        corpus, splits, made, packing=packing, end_of_text=end_of_text,
        within_documents=within_documents, **shared,
    )  # fmt: skip


def chosen_tokenizer(
    kind: str,
    own: TextTokenizer | None,
    auto: str,
    trained_here: Callable[[str], TextTokenizer],
    *,
    root: str,
    cache_dir: str,
    folder: str | None,
) -> TextTokenizer:
    """Return the tokenizer that `data.tokenizer` asks for.

    Args:
        kind: as it was typed; auto: the checkpoint's, or `auto` where there is none.
        own: the checkpoint's.
        auto: a kind.
        trained_here: trains one of a kind.
        root, cache_dir: see `given`.
        folder: of kind folder.

    Raises:
        UserError: it is not there, or is not the one that the checkpoint was trained with.
    """
    if kind == "auto" and own is not None:
        return own
    kind = auto if kind == "auto" else kind
    if kind == "folder":
        assert folder is not None, "refused before"
        made = from_folder(folder)
    else:
        made = given(kind, root, cache_dir) if kind in GIVEN else trained_here(kind)
    if own is not None and not made.knows_the_words_of(own):
        raise UserError(
            f"data.tokenizer={kind}: its words are not those that model.checkpoint was trained with "
            f"({made.vocab_size} here, {own.vocab_size} there); type data.tokenizer=auto for the "
            "checkpoint's own"
        )
    return made


def given(name: str, root: str, cache_dir: str) -> TextTokenizer:
    """Return a published tokenizer from data.root or the hub.

    Args:
        name: bert-base-uncased or gpt2.
        root: looked in first, for tokenizers/NAME/.
        cache_dir: what the hub delivers is kept here.

    Raises:
        UserError: its files are not there and the hub cannot be reached.
    """
    from zoo.data.hub import file_from_hub

    repository, files, read = GIVEN[name]
    place = Path(root) / "tokenizers" / name
    paths = [place / file for file in files]
    if not all(path.is_file() for path in paths):
        paths = [
            file_from_hub(
                repository,
                file,
                cache_dir,
                missing=f"data.tokenizer={name}: no tokenizers/{name}/{file} in data.root={root}",
                put=str(place),
            )
            for file in files
        ]
    return read(*paths)


def _say_what_is_left_out(corpus: str, splits: dict[str, Tokens]) -> None:
    empty = sum(t.left_out.empty for t in splits.values())
    broken = sum(t.left_out.broken for t in splits.values())
    if empty or broken:
        said = f"corpus {corpus}: {empty} empty documents and {broken} broken lines are left out"
        say(said)


def vocabulary_without_files(section: dict[str, Any]) -> int:
    """Return the size of the vocabulary that a section `data` asks for.

    A trained one is smaller where the corpus is too small for it; of a folder's it is not known
    without the folder, and `data.vocab_size` stands for it.
    """
    known = {"bert-base-uncased": 30_522, "gpt2": 50_257}
    return known.get(section["tokenizer"], section["vocab_size"])


def pad_without_files(section: dict[str, Any]) -> int:
    """Return the padding token's id: the first, or in GPT-2's family the end-of-text token."""
    kind = section["tokenizer"]
    kind = AUTO[section["objective"]] if kind == "auto" else kind
    return vocabulary_without_files(section) - 1 if kind in ("bpe", "gpt2") else 0
