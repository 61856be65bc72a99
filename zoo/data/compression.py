"""How short a tokenizer makes text, and which terms it keeps whole (BioMedLM, tables 2 to 4)."""

from collections.abc import Iterable
from dataclasses import dataclass

from zoo.data.tokenizers import TextTokenizer, batched

# What the paper's tokenizer has as one token and GPT-2's has not.
TERMS = (
    "chromatography", "cytotoxicity", "ECG", "GATA", "Immunohistochemistry", "myocardium",
    "nanoparticles", "photosynthesis", "probiotic", "thrombin",
)  # fmt: skip
TOGETHER = 256  # texts tokenised at once


@dataclass
class Compression:
    """Counts over some texts. A word is what stands between white space."""

    documents: int = 0
    words: int = 0
    text_bytes: int = 0
    tokens: int = 0
    unknown: int = 0

    @property
    def tokens_per_word(self) -> float:
        return self.tokens / max(1, self.words)

    @property
    def bytes_per_token(self) -> float:
        return self.text_bytes / max(1, self.tokens)


def measure(tokenizer: TextTokenizer, texts: Iterable[str]) -> Compression:
    """Count the words, the UTF-8 bytes and the tokens of texts, and the unknown ones among these."""
    found = Compression()
    for batch in batched(texts, TOGETHER):
        encoded = tokenizer.encode(batch)
        found.documents += len(batch)
        found.words += sum(len(text.split()) for text in batch)
        found.text_bytes += sum(len(text.encode()) for text in batch)
        found.tokens += sum(map(len, encoded))
        if tokenizer.unk is not None:
            found.unknown += sum(ids.count(tokenizer.unk) for ids in encoded)
    return found


def pieces(tokenizer: TextTokenizer, term: str) -> list[str]:
    """Return the tokens of a term behind a space, as in running text.

    It is one where the term is whole, be it only where a text begins with it.
    """
    alone, behind_space = tokenizer.encode([term, f" {term}"])
    if len(alone) == 1 or len(behind_space) == 1:
        return [term]
    found = [str(tokenizer.engine.id_to_token(i)).removeprefix("Ġ") for i in behind_space]
    return [piece for piece in found if piece]
