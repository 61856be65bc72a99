"""A checkpoint as models read it: its configuration, and its weights by name.

outputs/ID   a run that has ended: last.ckpt, and model/ with its configuration and its tokenizer
FOLDER       what save_pretrained wrote: the zoo's, transformers' or the official repository's
NAME         of a repository on the hub
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import UserError, first_line
from zoo.saved import LAST, damage

CHECKPOINT, MODEL = LAST, "model"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
TOKENIZERS = ("tokenizer*", "vocab*", "merges*")
CLASSIFIER = ("classifier.", "score.")  # what a head is called, of every encoder, and of GPT-2


@dataclass(frozen=True)
class Pretrained:
    """A checkpoint that was found.

    Args:
        typed: what the user typed.
        home: the run's folder, or `folder`.
        folder: holds config.json, and the tokenizer where there is one.
        key: for which it was typed.
    """

    typed: str
    home: Path
    folder: Path
    key: str = field(default="model.checkpoint=", compare=False)

    @property
    def said(self) -> str:
        """What a sentence about it begins with."""
        return f"{self.key}{self.typed}: "

    @property
    def is_run(self) -> bool:
        return self.home != self.folder

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json.

        Raises:
            UserError: it cannot be read.
        """
        try:
            told = json.loads((self.folder / "config.json").read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise self._unreadable("its config.json", error) from None
        if not isinstance(told, dict):
            raise UserError(f"{self.said}its config.json is no mapping; save the model again")
        return told

    @property
    def kind(self) -> str:
        """The architecture, in transformers' word: bert, mosaicbert, gpt2."""
        return str(self.config.get("model_type"))

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights by the names that the model has them under.

        Raises:
            UserError: there are none, or they cannot be read.
        """
        try:
            for name in WEIGHTS:
                path = self.folder / name
                if path.is_file() and path.suffix == ".safetensors":
                    from safetensors.torch import load_file

                    return load_file(path)
                if path.is_file():
                    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if self.is_run:
                path = self.home / CHECKPOINT
                if (wrong := damage(path)) is not None:
                    raise ValueError(wrong)
                saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
                return _of_the_net(saved["state_dict"])
        except Exception as error:  # torch and safetensors raise whatever the damage leads to
            raise self._unreadable("its weights", error) from None
        raise UserError(f"{self.said}holds no weights; put {' or '.join(WEIGHTS)} there")

    def _unreadable(self, what: str, error: BaseException) -> UserError:
        again = "train it again with force=true" if self.is_run else "save the model again"
        return UserError(f"{self.said}{what} cannot be read ({first_line(error)}); {again}")

    def must_be(self, kinds: Sequence[str], model: str) -> None:
        """Refuse a checkpoint of another architecture.

        Args:
            kinds: those that will do.
            model: the option of the group `model` that wants it.

        Raises:
            UserError: it is of another.
        """
        if self.kind not in kinds:
            raise UserError(
                f"{self.said}is of {self.kind}, and {model} takes {kinds[0]}; type another "
                "checkpoint, or the model that it is of"
            )

    def weights_for(self, model: type, labels: Sequence[str] | None) -> dict[str, Tensor]:
        """Return its weights, without a classifier of other classes.

        A classifier is of its classes: that of MNLI says nothing of RTE's, be it of their number or
        not, as in MosaicBERT's recipe, which leaves it out.

        Args:
            model: the class that they are for.
            labels: the classes' names; None: the model has none.
        """
        known = self.config.get("id2label")  # is not stored where it is the default
        own = list(known.values()) if known else ["LABEL_0", "LABEL_1"]
        names = {kind.__name__ for kind in model.__mro__}
        is_same = not names.isdisjoint(self.config.get("architectures") or [])
        if is_same and (labels is None or own == list(labels)):
            return self.weights
        return {k: v for k, v in self.weights.items() if not k.startswith(CLASSIFIER)}

    def report(self, model: str, new: Iterable[str]) -> str:
        """Say in one line which of a model's weights are not from it."""
        names = ", ".join(new)
        if names:
            return f"{self.typed}: new in {model}, and not trained: {names}"
        return f"{self.typed}: all weights of {model} are from it"


def _of_the_net(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what of a task's state is the model's, compiled or not."""
    return {
        key.removeprefix("net.").removeprefix("_orig_mod."): value
        for key, value in state.items()
        if key.startswith("net.")
    }


def find(checkpoint: "str | Pretrained", key: str = "model.checkpoint=") -> Pretrained:
    """Find a checkpoint; what is no folder here is downloaded from the hub.

    Args:
        checkpoint: as it was typed; or found already.
        key: for which it was typed.

    Raises:
        UserError: it is neither here nor there.
    """
    if isinstance(checkpoint, Pretrained):
        return checkpoint
    folder = Path(checkpoint).expanduser()
    if (folder / "config.json").is_file():
        return Pretrained(checkpoint, folder, folder, key)
    if (folder / CHECKPOINT).is_file() or (folder / "record.json").is_file():
        return Pretrained(checkpoint, folder, folder / MODEL, key)
    if folder.is_dir():
        raise UserError(
            f"{key}{checkpoint}: has neither a run's {CHECKPOINT} nor a config.json; type the folder of "
            "a run that has ended, outputs/ID, or one that save_pretrained wrote"
        )
    if checkpoint.startswith(("outputs/", "/", "~", ".")) or checkpoint.count("/") > 1:
        raise UserError(
            f"{key}{checkpoint}: is not there; type the folder of a run that has ended, outputs/ID, one that "
            "save_pretrained wrote, or a name on the hub"
        )
    found = _from_hub(checkpoint, key)
    return Pretrained(checkpoint, found, found, key)


def _from_hub(checkpoint: str, key: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    from zoo.network import answers

    offline = not answers(constants.ENDPOINT)  # the client would retry for half a minute
    try:
        wanted = ["config.json", *WEIGHTS, *TOKENIZERS]
        return Path(snapshot_download(checkpoint, allow_patterns=wanted, local_files_only=offline))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"{key}{checkpoint}: is no folder with a config.json, and cannot be had from the hub "
            f"({first_line(error)}); type the folder of a run that has ended, outputs/ID, or one that "
            "save_pretrained wrote"
        ) from error


def load_transformers(
    model: type, config: Any, source: Pretrained, heads: Sequence[str], **options: Any
) -> tuple[Any, list[str]]:
    """Return one of transformers' models with a checkpoint's weights, and the names of the new ones.

    Args:
        model: a class of transformers, or of the zoo that is made of one.
        config: its configuration.
        source: the checkpoint.
        heads: how the names begin of what a checkpoint may lack, or have for another task.
        options: of `from_pretrained`.

    Raises:
        UserError: a weight is of another shape, or is missing outside of the heads.
    """
    from transformers.utils import logging

    names = list((getattr(config, "id2label", None) or {}).values())
    # Copies: what is given becomes the model's own, which training changes.
    weights = {k: v.clone() for k, v in source.weights_for(model, names).items()}
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # its report is said in one line, by `Pretrained.report`
    logging.disable_progress_bar()
    try:
        made, found = model.from_pretrained(  # type: ignore[attr-defined]
            None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True,
            **options,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{source.said}its weights are not those of its config.json ({first_line(error)}); type the "
            "folder that save_pretrained wrote"
        ) from error
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
    new = [k for k in made.state_dict() if k in found["missing_keys"]]
    lacking = [k for k in new if not k.startswith(tuple(heads))]
    if lacking:
        more = f" and {len(lacking) - 1} more weights" if len(lacking) > 1 else ""
        raise UserError(
            f"{source.said}lacks {lacking[0]}{more}; type the folder that save_pretrained wrote"
        )
    return made.train(), new


def label_options(labels: Sequence[str]) -> dict[str, Any]:
    """Return what of a configuration says which classes there are; a single name is of a number."""
    kind = "regression" if len(labels) == 1 else "single_label_classification"
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {name: number for number, name in enumerate(labels)},
        "problem_type": kind,
    }


def check_vocabulary(source: Pretrained, words: int, vocab_size: int) -> None:
    """Refuse a checkpoint that was trained with another tokenizer.

    Args:
        source: the checkpoint.
        words: rows of its table.
        vocab_size: words of the tokenizer.

    Raises:
        UserError: the numbers differ.
    """
    if words != vocab_size:
        raise UserError(
            f"{source.said}has a vocabulary of {words} words, and the tokenizer's is {vocab_size}; type "
            "data.tokenizer=auto for its own, or data.tokenizer=folder data.tokenizer_folder=FOLDER"
        )
