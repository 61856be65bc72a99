"""What a trained model writes to sources whose targets are known, and how near it comes: ROUGE.

    P = overlap / n-grams of the text,   R = overlap / n-grams of the target,   F = 2 P R / (P + R)

ROUGE-1 and ROUGE-2 count words and pairs of words, each as often as it is in both; ROUGE-L's overlap is
the longest common subsequence of words (Lin 2004). Words are runs of a to z and 0 to 9 in lower case, as
in the package rouge-score; there is no stemmer. F is torchmetrics', its mean is over the pairs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.data.pairs.pair_data import ToWrite
from zoo.data.tokenizers import TextTokenizer
from zoo.generation import Settings, generate
from zoo.predictions import KEYS, WrittenTexts
from zoo.trained import Trained


class WriteTargets(Callback):
    """Lets the model write when the test split has been read; logs test/rouge1, rouge2 and rougeL.

    The likeliest token is taken each time, many prompts at once. Of several ranks each writes its
    share.

    Args:
        asked: the pairs.
        tokenizer: of the model.
        batch_size: prompts at once.

    Attributes:
        found: what was written; None: nothing yet.
    """

    def __init__(self, asked: ToWrite, tokenizer: TextTokenizer, batch_size: int) -> None:
        self.asked = asked
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.found: WrittenTexts | None = None

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rank, world = trainer.global_rank, trainer.world_size
        net: Any = getattr(pl_module.net, "_orig_mod", pl_module.net)  # of a compiled one
        trained = Trained(net.plain(), self.tokenizer, begins=True)
        with trainer.precision_plugin.test_step_context():  # in the run's own arithmetic
            own = self._write(trained, range(rank, len(self.asked), world))
        written = shared_out(own, len(self.asked), world)
        scores = [rouge(text, t) for text, t in zip(written, self.asked.targets, strict=True)]
        asked = self.asked
        self.found = WrittenTexts(asked.ids, asked.sources, asked.targets, written, scores)
        for key in KEYS:
            mean = sum(score[key] for score in scores) / len(scores)
            # Every rank has all of them: their mean is the same number.
            pl_module.log(f"test/{key}", mean, sync_dist=True)

    def _write(self, trained: Trained, places: Sequence[int]) -> list[str]:
        settings = Settings(max_new_tokens=self.asked.max_new_tokens)
        end, texts = self.tokenizer.end_of_text, []
        for first in range(0, len(places), self.batch_size):
            some = places[first : first + self.batch_size]
            rows = generate(trained, [self.asked.prompts[p] for p in some], some, settings)
            texts += [self.tokenizer.decode([i for i in row if i != end]).strip() for row in rows]
        return texts


def shared_out(own: list[str], count: int, world: int) -> list[str]:
    """Return the texts of all ranks, who take turns, in order."""
    if world == 1:
        return own
    parts: list[list[str]] = [[] for _ in range(world)]
    torch.distributed.all_gather_object(parts, own)
    return [parts[place % world][place // world] for place in range(count)]


def rouge(text: str, target: str) -> dict[str, float]:
    """Return F of ROUGE-1, ROUGE-2 and ROUGE-L.

    >>> {key: round(score, 3) for key, score in rouge("Zinc is a metal.", "zinc, a metal").items()}
    {'rouge1': 0.857, 'rouge2': 0.4, 'rougeL': 0.857}
    """
    from torchmetrics.functional.text import rouge_score

    # Its other keys, and its stemmer, would want nltk.
    found = rouge_score(text, target, rouge_keys=KEYS)
    return {key: float(found[f"{key}_fmeasure"]) for key in KEYS}
