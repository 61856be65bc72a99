"""What a run starts from: a checkpoint with its tokenizer, named by its content.

A record says `sha256:...` where a user typed outputs/ID, a folder or a name on the hub: the same
weights are the same run wherever they lie. It also says which run they are of, and what that run's
training took (`Origin`), so that one can follow it back to the pretraining.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.data.tokenizers import TextTokenizer, from_folder
from zoo.errors import UserError
from zoo.leaderboard.record import Origin, Record, deciding_config, setup
from zoo.leaderboard.store import read_record
from zoo.models.pretrained import Pretrained, find

# Of a configuration, what changes when it is saved again, and no number with it.
VOLATILE = {
    "_name_or_path", "architectures", "attn_implementation", "dtype", "torch_dtype",
    "transformers_version", "use_cache",
}  # fmt: skip
# Names of a weight that is another one's, too; files may leave it out.
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
    "lm_head.weight": "transformer.wte.weight",
}
LINEAGE = ("tokens", "train_s", "flops")  # of the pretraining, in metrics: pretraining/tokens


@dataclass(frozen=True)
class Start:
    """A checkpoint that a run starts from.

    Args:
        source: its configuration and weights.
        record: of the run that it is of, if any.
    """

    source: Pretrained
    record: Record | None

    @cached_property
    def tokenizer(self) -> TextTokenizer | None:
        """The tokenizer that lies beside the weights; None where there is none."""
        if not (self.source.folder / "tokenizer.json").is_file():
            return None
        return from_folder(str(self.source.folder), key=self.source.key)

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of the weights, the shape of the model and the tokenizer."""
        config = {k: v for k, v in self.source.config.items() if k not in VOLATILE}
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
        if self.tokenizer is not None:
            digest.update(self.tokenizer.sha256.encode())
        for name, tensor in _by_name(self.source.weights):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """What it is called where no path may be: outputs/ID, its folder's name, or the hub's."""
        if self.record is not None:
            return f"outputs/{self.record.id}"
        typed = self.source.typed.rstrip("/")
        return Path(typed).name if Path(typed).expanduser().exists() else typed

    @cached_property
    def origin(self) -> Origin:
        """What the record of a run that starts here says of it."""
        about: dict[str, Any] = {}
        if self.record is not None:
            r = self.record
            about = {
                "run": r.id,
                "model": r.config["model"]["name"],
                "data": r.data.name,
                "task": r.config["task"]["name"],
                "seed": r.seed,
                "tune": r.config["model"].get("tune"),
                "setup": setup(r),
                "tokens": r.metrics.get("train/tokens"),
                "train_s": r.metrics.get("time/train_s"),
                "flops": r.metrics.get("flops/total"),
                "origin": r.origin,
            }
        return Origin(sha256=self.sha256, name=self.name, **about)


def _by_name(weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name in sorted(weights):
        other = weights.get(TIED.get(name, ""))
        if other is None or not torch.equal(weights[name], other):
            yield name, weights[name]


def start_of(section: dict[str, Any]) -> Start | None:
    """Return what a section `model` starts from; None where all weights are new.

    Raises:
        UserError: see `opened`.
    """
    checkpoint = section.get("checkpoint")
    return None if checkpoint is None else opened(checkpoint)


def decides(settings: dict[str, Any], start: Start | None) -> dict[str, Any]:
    """Return what of a configuration decides the result, a checkpoint by its content."""
    kept = deciding_config(settings)
    if start is not None:
        kept["model"]["checkpoint"] = f"sha256:{start.sha256}"
    return kept


def tokenizer_of(start: Start | None) -> dict[str, Any]:
    """Return what a data set of text must know of a checkpoint: nothing, where there is none."""
    return {} if start is None else {"own_tokenizer": start.tokenizer}


def opened(checkpoint: str, key: str = "model.checkpoint=") -> Start:
    """Open a checkpoint.

    Args:
        checkpoint: a run that has ended, a folder of save_pretrained, or a name on the hub.
        key: for which it was typed.

    Raises:
        UserError: there is none, or it is of a run that has not ended well.
    """
    source = find(checkpoint, key)
    if not source.is_run:
        return Start(source, None)
    try:
        record = read_record(source.home / "record.json", curves=False)
    except (OSError, ValueError):
        raise UserError(
            f"{source.said}the run has no record, so it has not ended; type its command again to let it "
            "go on"
        ) from None
    if record.status != "finished":
        raise UserError(
            f"{source.said}the run has {record.status}, and its weights are of no use; type another model.checkpoint"
        )
    if not (source.folder / "config.json").is_file():
        raise UserError(
            f"{source.said}is of task={record.config['task']['name']}, and no model of text is kept "
            "there; type a run of model=mosaicbert, bert or biomedlm, or train it again with force=true"
        )
    return Start(source, record)


def pretraining(origin: Origin | None) -> dict[str, float]:
    """Return what the first run of a lineage has taken, as metrics of the last."""
    if origin is None:
        return {}
    while origin.origin is not None and origin.tune != "scratch":
        origin = origin.origin
    found = {name: getattr(origin, name) for name in LINEAGE}
    return {f"pretraining/{name}": value for name, value in found.items() if value is not None}
