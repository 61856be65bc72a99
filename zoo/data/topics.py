"""The bundled corpus: the English of CPython's documentation topics (`pydoc_data.topics`).

It ships with every Python, so it needs no network and no files. Topics repeat one another's
paragraphs; each is kept once. A document is a passage: whole paragraphs that follow each other, up
to some `LENGTH` characters, about as much as 128 tokens hold.
"""

import re
from collections.abc import Iterator

LENGTH = 700


def passages(topics: dict[str, str]) -> Iterator[str]:
    r"""Yield the passages of a dictionary of topics, no paragraph twice.

    >>> list(passages({"a": "One.\n\nTwo.", "b": "Two.\n\n  Three."}))
    ['One.\n\nTwo.', '  Three.']
    """
    seen: set[str] = set()
    for name in sorted(topics):
        passage = ""
        for paragraph in re.split(r"\n\s*\n(?=[^\n])", topics[name].strip("\n")):
            words = " ".join(paragraph.split())
            if not words or words in seen:
                continue
            seen.add(words)
            if passage and len(passage) + len(paragraph) > LENGTH:
                yield passage
                passage = ""
            passage = f"{passage}\n\n{paragraph}" if passage else paragraph
        if passage:
            yield passage


def topics() -> Iterator[str]:
    """Yield the passages of this Python's topics."""
    from pydoc_data import topics as stored

    return passages(stored.topics)
