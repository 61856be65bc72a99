"""`zoo tokenizer train` and `zoo tokenizer compare`."""

import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.data.compression import Compression
    from zoo.data.corpus import Corpus
    from zoo.data.tokenizers import TextTokenizer

tokenizer = typer.Typer(
    help="Train tokenizers, and see how short they make text.", no_args_is_help=True
)

PAPER_SIZE = 28_896  # of BioMedLM's vocabulary

DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help="folder of corpora and tokenizers; data.root's"),
]
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="trained ones are kept here; paths.cache_dir's"),
]
Folder = Annotated[
    Path | None, typer.Option("--folder", help="of the corpus `folder`: its text files")
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="leave out broken lines of .jsonl files")
]
TrainBytes = Annotated[
    int | None, typer.Option(min=1, help="train on so many bytes of text at most")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]


class _Place:
    """Where corpora and tokenizers are looked for."""

    def __init__(
        self, root: Path | None, cache: Path | None, folder: Path | None, skip_broken: bool
    ) -> None:
        from zoo.config import compose

        config = compose(["data=text"])  # so conf/local counts, as in training
        if cache is not None:
            config.paths.cache_dir = str(cache)
        self.cache = str(Path(config.paths.cache_dir).expanduser())
        self.root = str(Path(root or config.data.root).expanduser())
        self.folder = str(folder) if folder else None
        self.skip_broken = skip_broken

    def corpus(self, name: str) -> "Corpus":
        from zoo.data.corpus import find_corpus

        return find_corpus(
            name,
            root=self.root,
            cache_dir=self.cache,
            folder=self.folder,
            skip_broken=self.skip_broken,
            key="corpus",
        )


@tokenizer.command()
def train(
    corpus: Annotated[
        str, typer.Argument(help="text, c4, web, pubmed, pmc, folder, or several: pubmed+pmc")
    ],
    out: Annotated[Path, typer.Option(help="folder of the tokenizer, in Hugging Face's format")],
    kind: Annotated[
        Literal["bpe", "wordpiece"], typer.Option(help="byte-level BPE, or BERT's WordPiece")
    ] = "bpe",
    vocab_size: Annotated[
        int, typer.Option(min=8, help="tokens at most, special ones included")
    ] = PAPER_SIZE,
    documents: Annotated[
        int | None, typer.Option(min=1, help="train on so many documents at most")
    ] = None,
    train_bytes: TrainBytes = None,
    folder: Folder = None,
    skip_broken: SkipBroken = False,
    data_root: DataRoot = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Train a tokenizer on a corpus' training split, the same from the same text."""
    from zoo.data.compression import measure
    from zoo.data.tokenizers import trained_on

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: is not empty; type a folder that is not there yet")
    out = out.absolute()  # of "." too
    place = _Place(data_root, cache_dir, folder, skip_broken)
    began = time.perf_counter()
    found = place.corpus(corpus)
    made = trained_on(
        found, kind, vocab_size, documents=documents, text_bytes=train_bytes,
        cache_dir=place.cache, progress=not as_json,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    held_out = measure(made, found.documents("validation"))
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        made.save(scratch)
        scratch.replace(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if as_json:
        said = {"written": str(out), "vocab_size": made.vocab_size, "sha256": made.sha256}
        print(json.dumps({**said, "seconds": seconds, "held_out": _counts(held_out)}, indent=1))
        return
    print(
        f"{made.vocab_size:,} tokens in {seconds:.1f} s, {held_out.tokens_per_word:.3f} of them a "
        f"word of held-out text; saved in {out}: data.tokenizer=folder data.tokenizer_folder={out}"
    )
    if made.vocab_size < vocab_size:
        print(f"The text gives no more than {made.vocab_size:,} of {vocab_size:,} tokens.")


@tokenizer.command()
def compare(
    tokenizers: Annotated[
        list[str],
        typer.Argument(
            help="gpt2, bert-base-uncased, a folder with a tokenizer.json, or KIND:CORPUS, trained "
            "now: bpe:pubmed, wordpiece:c4"
        ),
    ],
    corpora: Annotated[str, typer.Option(help="held-out text, with commas")] = "text",
    terms: Annotated[
        str | None, typer.Option(help="terms with commas, or a file with one a line")
    ] = None,
    vocab_size: Annotated[
        int, typer.Option(min=8, help="of those that are trained now")
    ] = PAPER_SIZE,
    documents: Annotated[
        int | None, typer.Option(min=1, help="train and compare on so many documents at most")
    ] = None,
    train_bytes: TrainBytes = None,
    folder: Folder = None,
    skip_broken: SkipBroken = False,
    data_root: DataRoot = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Count tokens per word and bytes per token on validation splits, and terms that stay whole."""
    from itertools import islice

    from zoo.data.compression import measure, pieces

    place = _Place(data_root, cache_dir, folder, skip_broken)
    words = _terms(terms)
    texts = {name: place.corpus(name) for name in dict.fromkeys(corpora.split(","))}
    made = {
        name: _named(name, place, vocab_size, documents, train_bytes, progress=not as_json)
        for name in dict.fromkeys(tokenizers)
    }
    counts = {
        (name, corpus): measure(t, islice(texts[corpus].documents("validation"), documents))
        for name, t in made.items()
        for corpus in texts
    }
    split = {name: {word: pieces(t, word) for word in words} for name, t in made.items()}
    if as_json:
        rows = [
            {"tokenizer": name, "corpus": corpus, "vocab_size": made[name].vocab_size, **_counts(c)}
            for (name, corpus), c in counts.items()
        ]
        print(json.dumps({"rows": rows, "terms": split}, indent=1))
    else:
        sizes = {name: t.vocab_size for name, t in made.items()}
        _print(Console(), counts, sizes, split)


def _named(
    name: str,
    place: _Place,
    vocab_size: int,
    documents: int | None,
    text_bytes: int | None,
    *,
    progress: bool,
) -> "TextTokenizer":
    from zoo.data.text import GIVEN, given
    from zoo.data.tokenizers import TRAINERS, from_folder, trained_on

    kind, colon, corpus = name.partition(":")
    if name in GIVEN:
        return given(name, place.root, place.cache)
    if colon and kind in TRAINERS:
        found = place.corpus(corpus)
        return trained_on(
            found, kind, vocab_size, documents=documents, text_bytes=text_bytes,
            cache_dir=place.cache, progress=progress,
        )  # fmt: skip
    if Path(name).is_dir():
        return from_folder(name, key="tokenizer=")
    raise UserError(
        f"tokenizer {name}: no such one; type gpt2, bert-base-uncased, a folder with a "
        "tokenizer.json, bpe:CORPUS or wordpiece:CORPUS"
    )


def _terms(typed: str | None) -> tuple[str, ...]:
    """Return the terms of a list with commas or of a file; the paper's where none is typed."""
    from zoo.data.compression import TERMS

    if typed is None:
        return TERMS
    listed: Iterable[str] = typed.split(",")
    if Path(typed).is_file():
        try:
            listed = Path(typed).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise UserError(f"--terms {typed}: is no text in UTF-8; type another file") from None
    found = tuple(dict.fromkeys(term.strip() for term in listed if term.strip()))
    if not found:
        raise UserError(f"--terms {typed}: has no term; type e.g. --terms thrombin,myocardium")
    return found


def _counts(counts: "Compression") -> dict[str, Any]:
    return {
        **vars(counts),
        "tokens_per_word": counts.tokens_per_word,
        "bytes_per_token": counts.bytes_per_token,
    }


def _print(
    console: Console,
    counts: dict[tuple[str, str], "Compression"],
    sizes: dict[str, int],
    split: dict[str, dict[str, list[str]]],
) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=Text("Held-out text"), title_justify="left")
    for heading in ("tokenizer", "corpus"):
        table.add_column(heading, overflow="fold")
    for heading in ("vocabulary", "tokens per word", "bytes per token", "unknown"):
        table.add_column(heading, justify="right")
    for (name, corpus), c in counts.items():
        unknown = f"{100 * c.unknown / max(1, c.tokens):.2f}%" if c.unknown else ""
        table.add_row(
            Text(name), Text(corpus), f"{sizes[name]:,}", f"{c.tokens_per_word:.3f}",
            f"{c.bytes_per_token:.3f}", unknown,
        )  # fmt: skip
    console.print(table)
    table = Table(box=box.SIMPLE_HEAD, title=Text("Terms"), title_justify="left")
    table.add_column("term", overflow="fold")
    for name in split:
        table.add_column(Text(name), overflow="fold")
    for term in next(iter(split.values())):
        table.add_row(Text(term), *(Text("|".join(split[name][term])) for name in split))
    whole = {name: sum(len(p) == 1 for p in found.values()) for name, found in split.items()}
    table.add_section()
    table.add_row("whole", *(f"{whole[name]} of {len(found)}" for name, found in split.items()))
    console.print(table)
