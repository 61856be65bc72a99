"""Data sets from the Hugging Face hub, where there is a network."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.data.documents import LeftOut
from zoo.errors import UserError
from zoo.network import answers


def load_from_hub(
    repository: str,
    cache_dir: str,
    *,
    missing: str,
    put: str,
    configuration: str | None = None,
) -> Any:
    """Return the data set of a hub repository, downloaded once into `cache_dir`.

    Args:
        repository: its name on the hub, for example uoft-cs/cifar10.
        cache_dir: where downloads are kept.
        configuration: which of its sets; None: it has one.
        missing: the first half of the sentence that a user without network reads.
        put: where that user should put the files.

    Raises:
        UserError: the hub cannot be reached, or does not give the set.
    """
    if not answers(_endpoint()):
        # The client would retry for half a minute; offline it looks into its cache at once.
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    try:
        return datasets.load_dataset(repository, configuration, cache_dir=f"{cache_dir}/hub")
    except Exception as error:
        # The client raises its own, requests', httpx' and OS errors alike: all mean the same here.
        raise _not_given(error, repository, missing, put) from error


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def _not_given(error: Exception, repository: str, missing: str, put: str) -> UserError:
    return UserError(
        f"{missing}, and the hub did not give it ({type(error).__name__}); download the data "
        f"set {repository} from the Hugging Face hub into {put}, or type data.root=FOLDER"
    )


def documents_from_hub(
    repository: str,
    configuration: str | None,
    split: str,
    cache_dir: str,
    left_out: LeftOut,
    *,
    missing: str,
    put: str,
) -> Iterator[str]:
    """Yield the column `text` of a hub repository, streamed: only what is asked for is fetched.

    Args:
        repository, configuration, split: their names on the hub.
        cache_dir: where the client keeps what it must keep.
        left_out: counts empty documents.
        missing, put: see `load_from_hub`.

    Raises:
        UserError: the hub cannot be reached, or does not give the set.
    """
    if not answers(_endpoint()):
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    try:
        rows = datasets.load_dataset(
            repository, configuration, split=split, streaming=True, cache_dir=f"{cache_dir}/hub"
        )
        for row in rows:
            if row["text"].strip():
                yield row["text"]
            else:
                left_out.empty += 1
    except Exception as error:  # see load_from_hub
        raise _not_given(error, repository, missing, put) from error


def file_from_hub(repository: str, file: str, cache_dir: str, *, missing: str, put: str) -> Path:
    """Return a file of a model's hub repository, downloaded once into `cache_dir`.

    Args:
        repository, file: their names on the hub.
        cache_dir: where downloads are kept.
        missing, put: see `load_from_hub`.

    Raises:
        UserError: the hub cannot be reached, or has no such file.
    """
    offline = not answers(_endpoint())
    from huggingface_hub import hf_hub_download

    try:
        found = hf_hub_download(
            repository, file, cache_dir=f"{cache_dir}/hub", local_files_only=offline
        )
    except Exception as error:  # see load_from_hub
        raise UserError(
            f"{missing}, and the hub did not give it ({type(error).__name__}); download {file} of "
            f"{repository} from the Hugging Face hub into {put}, or type data.root=FOLDER"
        ) from error
    return Path(found)
