"""Text from a trained language model, many prompts at once, and the same text again.

    next token = argmax_v ( logit_v / T + g_v ),   g_v = -log(-log u_v),  u_v uniform in (0, 1)

is a draw from softmax(logits / T) (Gumbel 1954); T = 0 leaves out the noise. The noise of a prompt
comes from the seed and from the prompt's place alone, so other prompts in its batch change nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from zoo.data.pairs.layout import prompts as sources
from zoo.errors import UserError
from zoo.lines import fill
from zoo.seeding import generator
from zoo.trained import Trained

SAMPLE = 7  # the first word of the streams of noise


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How text is made.

    Attributes:
        max_new_tokens: at most; the end-of-text token ends a text before.
        temperature: T; 0: the likeliest token each time.
        seed: of the noise.
        batch_size: prompts at once.
        begins: put the end-of-text token before a prompt, as before the documents of training.
        separator: prompts are sources of data=pairs, and this stands behind each; None: they are texts.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    batch_size: int = 8
    begins: bool = True
    separator: str | None = None


@dataclass(frozen=True)
class Text:
    """What became of a prompt; `ended` says whether the model ended the text itself."""

    place: int
    prompt: str
    text: str
    tokens: int
    ended: bool


class _Noise(LogitsProcessor):
    """Gumbel noise, a stream for each row."""

    def __init__(self, places: Sequence[int], settings: Settings) -> None:
        self.temperature = settings.temperature
        self.streams = [generator(SAMPLE, settings.seed, place) for place in places]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        u = torch.stack([torch.rand(scores.shape[1], generator=g) for g in self.streams])
        tiny = torch.finfo(u.dtype).tiny
        noise = -(-u.clamp_min(tiny).log()).clamp_min(tiny).log()
        return scores / self.temperature + noise.to(scores.device)


class _Finite(LogitsProcessor):
    """Refuses to go on with a broken model, whose likeliest token would be any."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if not scores.isfinite().all():
            raise UserError(
                "the model's scores are no finite numbers, so its weights are broken; train it again"
            )
        return scores


def encode(
    trained: Trained, prompts: Sequence[str], settings: Settings, names: Sequence[str]
) -> Any:
    """Return the tokens of prompts.

    Args:
        trained: whose tokenizer and context count.
        prompts: texts.
        settings: how text is made.
        names: of the prompts, for messages.

    Raises:
        UserError: a prompt is empty, or longer than the context that is left.
    """
    context = trained.model.config.n_positions
    if settings.separator is None:
        encoded = trained.tokenizer.encode(list(prompts))
    else:
        encoded = [ids[1:] for ids in sources(prompts, trained.tokenizer, settings.separator)[0]]
    for name, prompt, ids in zip(names, prompts, encoded, strict=True):
        if not prompt.strip() or not ids:
            raise UserError(f'{name}: is empty; type e.g. --prompt "Thrombin is"')
        if settings.begins:
            ids.insert(0, trained.tokenizer.end_of_text)  # type: ignore[arg-type]
        left = context - len(ids)
        if left < 1:
            raise UserError(
                f"{name}: has {len(ids)} tokens, and the model's context {context}; type a prompt of "
                f"at most {context - 1} tokens"
            )
        if settings.max_new_tokens > left:
            raise UserError(
                f"--max-new-tokens {settings.max_new_tokens}: {name} has {len(ids)} tokens of the "
                f"model's context of {context}; type --max-new-tokens {left}"
            )
    return encoded


def generate(
    trained: Trained, encoded: Sequence[list[int]], places: Sequence[int], settings: Settings
) -> list[list[int]]:
    """Return the new tokens of each prompt, of one batch.

    Args:
        trained: the model.
        encoded: tokens of the prompts; shorter ones are padded at their begin.
        places: of the prompts, which name their noise.
        settings: how text is made.

    Raises:
        UserError: the model's scores are no finite numbers.
    """
    end = trained.tokenizer.end_of_text
    assert end is not None
    device = trained.model.device
    width = max(map(len, encoded))
    ids = torch.tensor([[end] * (width - len(e)) + e for e in encoded], device=device)
    mask = torch.tensor([[0] * (width - len(e)) + [1] * len(e) for e in encoded], device=device)
    noise = [_Noise(places, settings)] if settings.temperature else []
    with torch.inference_mode(), _without_padding(trained.model.config):
        made = trained.model.generate(
            ids, attention_mask=mask, do_sample=False, use_cache=True,
            logits_processor=LogitsProcessorList([_Finite(), *noise]), max_new_tokens=settings.max_new_tokens, eos_token_id=end, pad_token_id=end,
        )  # fmt: skip
    rows = made[:, width:].tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


@contextmanager
def _without_padding(config: Any) -> Iterator[None]:
    """Keep transformers from warning of padding where a prompt begins with the end-of-text token."""
    pad, config.pad_token_id = config.pad_token_id, None
    try:
        yield
    finally:
        config.pad_token_id = pad


def texts(
    trained: Trained,
    prompts: Sequence[str],
    settings: Settings,
    names: Sequence[str],
    first: int = 0,
) -> Iterator[list[Text]]:
    """Yield the texts of prompts, batch by batch; all prompts are checked before the first.

    Args:
        trained: the model.
        prompts: texts.
        settings: how text is made.
        names: of the prompts, for messages.
        first: the prompt to begin with, the first of a batch.

    Raises:
        UserError: see `encode`.
    """
    encoded = encode(trained, prompts, settings, names)
    end = trained.tokenizer.end_of_text
    for begin in range(first, len(prompts), settings.batch_size):
        places = range(begin, min(begin + settings.batch_size, len(prompts)))
        batch = []
        rows = generate(trained, [encoded[p] for p in places], places, settings)
        for place, row in zip(places, rows, strict=True):
            ended = bool(row) and row[-1] == end
            said = trained.tokenizer.decode(row[:-1] if ended else row)
            batch.append(Text(place, prompts[place], said, len(row), ended))
        yield batch


# -- into a file, and on from where it ends --------------------------------------------------------


def into_file(
    trained: Trained, prompts: Sequence[str], settings: Settings, names: Sequence[str], out: Path
) -> Iterator[int]:
    """Write a line of JSON for each prompt; yield how many there are, whenever there are more.

    A file that is there already is gone on with: its whole batches are kept, what follows is made
    again, so that it ends with the same bytes wherever it was cut off.

    Raises:
        UserError: the file is of other prompts, settings or weights; and see `encode`.
    """
    encode(trained, prompts, settings, names)  # what is wrong with them is said before a file is

    def batches(first: int) -> Iterator[list[dict[str, Any]]]:
        for batch in texts(trained, prompts, settings, names, first=first):
            yield [asdict(text) for text in batch]

    about = {**asdict(settings), "model": trained.fingerprint}
    if settings.separator is None:
        about.pop("separator")  # files of before it was there are gone on with
    yield from fill(
        out, about, len(prompts), settings.batch_size, batches,
        lambda number, row: row["prompt"] == prompts[number], what="texts of other prompts",
    )  # fmt: skip
