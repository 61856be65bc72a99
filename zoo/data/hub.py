"""Data sets from the Hugging Face hub, where there is a network."""

import os
from typing import Any

from zoo.errors import UserError
from zoo.network import answers


def load_from_hub(repository: str, cache_dir: str, *, missing: str, put: str) -> Any:
    """Return the data set of a hub repository, downloaded once into `cache_dir`.

    Args:
        repository: its name on the hub, for example uoft-cs/cifar10.
        cache_dir: where downloads are kept.
        missing: the first half of the sentence that a user without network reads.
        put: where that user should put the files.

    Raises:
        UserError: the hub cannot be reached, or does not give the set.
    """
    if not answers(os.environ.get("HF_ENDPOINT", "https://huggingface.co")):
        # The client would retry for half a minute; offline it looks into its cache at once.
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    try:
        return datasets.load_dataset(repository, cache_dir=f"{cache_dir}/hub")
    except Exception as error:
        # The client raises its own, requests', httpx' and OS errors alike: all mean the same here.
        raise UserError(
            f"{missing}, and the hub did not give it ({type(error).__name__}); download the data "
            f"set {repository} from the Hugging Face hub into {put}, or type data.root=FOLDER"
        ) from error
