"""What a model and a task must know of a data set, without its files."""

from typing import Any, NamedTuple

from zoo.data.cifar import CLASSES
from zoo.data.text import pad_without_files, vocabulary_without_files


class Images(NamedTuple):
    """Classes, channels and pixels of an image set."""

    num_classes: int
    in_chans: int
    image_size: int


# `data.image_size` overrides the last number where the set has that key.
IMAGES = {
    "zoo.data.digits": Images(10, 1, 8),
    "zoo.data.cifar10": Images(CLASSES["cifar10"], 3, 32),
    "zoo.data.cifar100": Images(CLASSES["cifar100"], 3, 32),
    "zoo.data.imagenet": Images(1000, 3, 224),
}


def arguments_without_files(
    section: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return what the set's `model_arguments()` and `task_arguments()` would.

    Args:
        section: the configuration's section `data`.

    Returns:
        None where the set is not one of ours: then only its files can tell.
    """
    if section["_target_"] == "zoo.data.text":
        task = {"max_length": section["max_length"]}
        if section["objective"] != "causal":
            task["eval_lengths"] = tuple(section["eval_lengths"])
        model = {
            "max_length": max(section["max_length"], *section["eval_lengths"], 0),
            "vocab_size": vocabulary_without_files(section),
            "pad_token_id": pad_without_files(section),
        }
        return model, task
    if section["_target_"] == "zoo.data.glue":
        from zoo.data.glue import SETS

        scored = SETS[section["task"]].scored
        known = {**section, "objective": "masked"}
        model = {
            "max_length": section["max_length"],
            "vocab_size": vocabulary_without_files(known),
            "pad_token_id": pad_without_files(known),
            "labels": scored.labels,
        }
        return model, {"max_length": section["max_length"], "scored": scored}
    if section["_target_"] == "zoo.data.pairs" or section.get("answers") == "text":
        known = {**section, "objective": "causal"}
        model = {
            "max_length": section["max_length"],
            "vocab_size": vocabulary_without_files(known),
            "pad_token_id": pad_without_files(known),
        }
        return model, {"max_length": section["max_length"]}
    if section["_target_"] == "zoo.data.questions":
        return _of_questions(section)
    images = IMAGES.get(section["_target_"])
    if images is None:
        return None
    num_classes, in_chans, own_size = images
    size = section.get("image_size", own_size)
    return (
        {"num_classes": num_classes, "in_chans": in_chans},
        {"num_classes": num_classes, "image_shape": (in_chans, size, size)},
    )


def _of_questions(section: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    from zoo.data.questions.prompt import MARKERS
    from zoo.data.questions.sets import SETS

    options = {name: about.labels for name, about in SETS.items()}
    names = [*section["task"].split("+"), *(section["eval_task"] or "").split("+")]
    found = {options.get(name) for name in names if name}
    if "folder" in names and section["answers"] != "options":
        return None
    labels = found.pop() if len(found) == 1 and section["answers"] != "options" else None
    known = {**section, "objective": "causal" if section["layout"] == "choices" else "masked"}
    words = len(MARKERS) if section["markers"] == "tokens" else 0
    model = {
        "max_length": section["max_length"],
        "vocab_size": vocabulary_without_files(known) + words,
        "pad_token_id": pad_without_files(known),
        "labels": labels,
        **({"new_words": words} if section["layout"] == "choices" else {}),
    }
    task = {
        "max_length": section["max_length"],
        "layout": section["layout"],
        "labels": labels,
        "most_frequent": 0,
    }
    return model, task
