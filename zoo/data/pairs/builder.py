"""Pairs as a configuration asks for them; conf/data/pairs.yaml says what each argument means."""

from zoo.data.causal import keeps_bytes_and_ends
from zoo.data.images import require_at_most
from zoo.data.pairs.layout import Cut, lay_out, prompts, targets
from zoo.data.pairs.pair import Pair, Pairs, in_folder
from zoo.data.pairs.pair_data import PairData, ToWrite
from zoo.data.text import chosen_tokenizer
from zoo.data.text_data import evenly
from zoo.data.tokenizers import TextTokenizer, trained
from zoo.errors import UserError
from zoo.processes import say


def pairs(
    *,
    folder: str | None,
    root: str,
    cache_dir: str,
    seed: int,
    batch_size: int,
    eval_batch_size: int,
    max_length: int,
    separator: str,
    tokenizer: str = "auto",
    vocab_size: int = 4096,
    tokenizer_folder: str | None = None,
    train_samples: int | None = None,
    eval_samples: int | None = None,
    rouge_samples: int | None = None,
    max_new_tokens: int | None = None,
    own_tokenizer: TextTokenizer | None = None,
) -> PairData:
    """Return a folder of pairs as rows of tokens, `own_tokenizer` being the checkpoint's.

    Raises:
        UserError: files are not there or are broken, or the tokenizer does not fit, or a target is too
            long.
    """
    splits = in_folder(folder)
    train = splits["train"].pairs
    count = require_at_most(train_samples, len(train), "data.train_samples")
    splits["train"] = Pairs([train[i] for i in evenly(len(train), count)])

    def trained_here(kind: str) -> TextTokenizer:
        texts = [t for pair in splits["train"].pairs for t in (pair.source, pair.target)]
        key = f"pairs {splits['train'].sha256}"
        return trained(kind, lambda: texts, vocab_size, key=key, cache_dir=cache_dir)

    made = chosen_tokenizer(
        tokenizer, own_tokenizer, "bpe", trained_here,
        root=root, cache_dir=cache_dir, folder=tokenizer_folder,
    )  # fmt: skip
    keeps_bytes_and_ends(made)
    rows, cut = {}, Cut()
    for split, part in splits.items():
        rows[split], own = lay_out(part.pairs, made, separator, max_length)
        cut = cut.plus(own)
    data = PairData(
        "pairs", splits, rows, made, seed=seed, batch_size=batch_size,
        eval_batch_size=eval_batch_size, max_length=max_length, eval_samples=eval_samples,
    )  # fmt: skip
    _tell(cut, f"data.max_length={max_length}")
    if rouge_samples != 0:
        tested = data.eval_rows["test"]
        some = [splits["test"].pairs[i] for i in tested[evenly(len(tested), rouge_samples)]]
        data.to_write = _to_write(some, made, separator, max_length, max_new_tokens)
    return data


def _to_write(
    some: list[Pair],
    tokenizer: TextTokenizer,
    separator: str,
    max_length: int,
    max_new_tokens: int | None,
) -> ToWrite:
    """Return what a model is to write; a prompt leaves as much room for all of these texts."""
    wanted = [pair.target for pair in some]
    # The longest target and the end-of-text token: of all together, so that no prompt tells its own.
    most = max_new_tokens or 1 + max(map(len, targets(wanted, tokenizer)))
    room = max_length - most
    least = 1 + len(prompts([""], tokenizer, separator)[0][0])  # one token of the source
    if room < least:
        raise UserError(
            f"data.max_new_tokens={most}: leaves no room for a source within data.max_length={max_length}; "
            f"type data.max_new_tokens={max(max_length - least, 1)} or less, or a larger data.max_length"
        )
    sources = [pair.source for pair in some]
    found, cut = prompts(sources, tokenizer, separator, [room] * len(some))
    _tell(cut, f"data.max_new_tokens={most}")
    return ToWrite([pair.id for pair in some], sources, wanted, found, most)


def _tell(cut: Cut, why: str) -> None:
    """Say how much of the sources is cut, where something is."""
    if cut.tokens:
        say(
            f"{why}: {cut.tokens:,} of the {cut.whole:,} tokens of the sources are cut, in "
            f"{cut.sources:,} of {cut.all:,} pairs"
        )
