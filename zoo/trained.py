"""A trained language model from a folder: a run's own, or one in Hugging Face's format.

outputs/ID/last.ckpt       the weights of a run
outputs/ID/model/          its configuration and its tokenizer, written when it has ended
FOLDER/model.safetensors   what save_pretrained writes, beside config.json and tokenizer.json
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.data.tokenizers import TextTokenizer, from_folder
from zoo.errors import UserError, first_line

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

CHECKPOINT, MODEL = "last.ckpt", "model"


@dataclass(frozen=True)
class Trained:
    """A causal language model with its tokenizer.

    Attributes:
        model: transformers' own class, in evaluation mode.
        tokenizer: that it was trained with.
        begins: texts began with the end-of-text token in training; None where it is not known.
    """

    model: "GPT2LMHeadModel"
    tokenizer: TextTokenizer
    begins: bool | None

    @property
    def fingerprint(self) -> str:
        """Stands for the weights and the tokenizer: the first numbers of every tensor."""
        digest = hashlib.sha256(self.tokenizer.sha256.encode())
        for name, tensor in self.model.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten()[:256].float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def keep(folder: Path, net: Any, tokenizer: TextTokenizer) -> None:
    """Write beside a run's weights what else it takes to use them."""
    net.config.save_pretrained(folder / MODEL)
    tokenizer.save(folder / MODEL)


def load_trained(checkpoint: str) -> Trained:
    """Return the model of a folder; of the hub where there is no such folder.

    Args:
        checkpoint: as it was typed.

    Raises:
        UserError: there is none, it is of another kind, or model and tokenizer do not fit.
    """
    folder = Path(checkpoint).expanduser()
    if (folder / CHECKPOINT).is_file():
        model, begins = _of_a_run(folder, checkpoint)
        tokenizer = from_folder(str(folder / MODEL), key="--checkpoint")
    elif folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(
            f"--checkpoint {checkpoint}: has neither a run's {CHECKPOINT} nor a config.json; type the "
            "folder of a run that has ended, outputs/ID, or one that save_pretrained wrote"
        )
    else:
        from zoo.models.biomedlm.builder import load

        model, begins = load(checkpoint).plain(), None
        where = folder if folder.is_dir() else _tokenizer_of_the_hub(checkpoint)
        tokenizer = from_folder(str(where), key="--checkpoint")
    if tokenizer.end_of_text is None:
        raise UserError(
            f"--checkpoint {checkpoint}: its tokenizer has no end-of-text token, at which a text would "
            "end; train one with zoo tokenizer train"
        )
    words = model.config.vocab_size
    if tokenizer.vocab_size > words:
        raise UserError(
            f"--checkpoint {checkpoint}: its tokenizer has {tokenizer.vocab_size} tokens and the model "
            f"knows {words}; save the tokenizer that it was trained with beside it"
        )
    return Trained(model, tokenizer, begins)


def _of_a_run(folder: Path, typed: str) -> tuple["GPT2LMHeadModel", bool]:
    import torch
    from transformers import GPT2Config

    from zoo.leaderboard.store import read_record
    from zoo.models.biomedlm.model import BioMedLM

    try:
        config = read_record(folder / "record.json", curves=False).config
    except (OSError, ValueError):
        raise UserError(
            f"--checkpoint {typed}: the run has no record, so it has not ended; type its command again "
            "to let it go on"
        ) from None
    if config["task"]["name"] != "causal_lm":
        raise UserError(
            f"--checkpoint {typed}: is of task={config['task']['name']}, and no model that writes "
            "text; type a run of model=biomedlm"
        )
    try:
        known = GPT2Config.from_pretrained(folder / MODEL)
        saved = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damage leads to
        raise UserError(
            f"--checkpoint {typed}: cannot be read ({first_line(error)}); train it again with force=true"
        ) from None
    weights = {
        key.removeprefix("net.").removeprefix("_orig_mod."): value
        for key, value in saved["state_dict"].items()
        if key.startswith("net.")
    }
    known._attn_implementation = "sdpa"  # wherever it was trained
    net = BioMedLM(known)
    net.load_state_dict(weights)
    return net.plain(), bool(config["data"]["end_of_text"])


def _tokenizer_of_the_hub(checkpoint: str) -> Path:
    """Return the folder of tokenizer.json; made of vocab.json and merges.txt where that is all."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(checkpoint, allow_patterns=["tokenizer*", "vocab*", "merges*"]))
