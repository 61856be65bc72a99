"""What does not go together of data, models and tasks; and of a text's own keys."""

from zoo.refusals.rule import BUDGETS, Section

# What a model takes, by where its builder is; all others take images.
TAKES_TEXT = {
    "zoo.models.mosaicbert.": "masked",
    "zoo.models.bert.": "masked",
    "zoo.models.biomedlm.": "causal",
}
# What each task learns from.
LEARNS_FROM = {"ClassificationTask": "images", "MaskedLMTask": "masked", "CausalLMTask": "causal"}
# How each is called, and what brings it.
KINDS_OF_DATA = {
    "images": ("images", "data=digits", "model=resnet8", "task=classification"),
    "masked": ("text with masked words", "data=text", "model=mosaicbert", "task=masked_lm"),
    "causal": ("running text", "data=text", "model=biomedlm", "task=causal_lm"),
}


def kind_of_data(data: Section) -> str:
    """Return what a data set is of: images, or text that is masked or causal."""
    objective = data.get("objective") or "images"
    return "masked" if objective == "auto" else str(objective)  # else it is settled: zoo.schema


def kind_of_model(model: Section) -> str:
    """Return what a model takes, in the same words."""
    target = str(model.get("_target_", ""))
    return next((kind for home, kind in TAKES_TEXT.items() if target.startswith(home)), "images")


def a_model_has_its_data(data: Section, model: Section) -> str | None:
    given, taken = kind_of_data(data), kind_of_model(model)
    if given == taken:
        return None
    is_image = "images" in (given, taken)
    other = KINDS_OF_DATA[taken][1] if is_image else f"data.objective={taken}"
    return (
        f"model={model['name']}: takes {KINDS_OF_DATA[taken][0]}, and data={data['name']} is "
        f"{KINDS_OF_DATA[given][0]}; type {other}, or {KINDS_OF_DATA[given][2]}"
    )


def a_task_has_its_data(data: Section, task: Section) -> str | None:
    given = kind_of_data(data)
    learnt = LEARNS_FROM.get(str(task.get("_target_", "")).rpartition(".")[2], given)
    if given == learnt:
        return None
    return (
        f"task={task['name']}: learns from {KINDS_OF_DATA[learnt][0]}, and data={data['name']} is "
        f"{KINDS_OF_DATA[given][0]}; type {KINDS_OF_DATA[given][3]}"
    )


def mixup_has_pairs(data: Section, task: Section, trainer: Section) -> str | None:
    mixes = task.get("mixup") or task.get("cutmix")
    if not mixes or (data["batch_size"] // trainer["devices"]) % 2 == 0:
        return None
    return (
        f"data.batch_size={data['batch_size']}: mixup pairs the samples of a batch; "
        "type an even number, or task.mixup=0 task.cutmix=0"
    )


# Keys of text that mean something for one objective alone, and what they are when they do nothing.
KEYS_OF_OBJECTIVE: dict[str, Section] = {
    "masked": {"mask_rate_end": None, "eval_lengths": []},
    "causal": {"packing": True, "end_of_text": True, "within_documents": False},
}


def keys_of_text_have_their_objective(data: Section) -> str | None:
    if data.get("objective") is None:  # of images
        return None
    theirs = "masked" if data["objective"] == "causal" else "causal"
    for key, off in KEYS_OF_OBJECTIVE[theirs].items():
        if data[key] != off:
            return (
                f"data.{key}={data[key]}: is of data.objective={theirs}; type "
                f"data.{key}={'null' if off is None else str(off).lower()} or data.objective={theirs}"
            )
    if data["objective"] == "causal" and data["packing"]:
        if data["bucket"]:
            return (
                "data.bucket=True: packed blocks are all of one length; type data.bucket=false or "
                "data.packing=false"
            )
    elif data["within_documents"]:
        return (
            "data.within_documents=True: a row that is not packed holds one document; type "
            "data.within_documents=false or data.packing=true"
        )
    return None


def folders_are_read(data: Section) -> str | None:
    if (data.get("tokenizer") == "folder") != (data.get("tokenizer_folder") is not None):
        return (
            f"data.tokenizer={data['tokenizer']}: data.tokenizer_folder={data['tokenizer_folder']} "
            "says otherwise; type data.tokenizer=folder data.tokenizer_folder=FOLDER"
        )
    corpora = [data.get(key) for key in ("corpus", "eval_corpus", "tokenizer_corpus")]
    named = any("folder" in (corpus or "").split("+") for corpus in corpora)
    if data.get("folder") is None or named:
        return None
    return (
        f"data.folder={data['folder']}: data.corpus={data['corpus']} does not read it; type "
        "data=folder"
    )


def a_masking_schedule_has_steps(data: Section, trainer: Section) -> str | None:
    steps = [trainer[budget] for budget in BUDGETS if budget != "budget_s"]
    if data.get("mask_rate_end") is None or any(budget is not None for budget in steps):
        return None
    return (
        f"data.mask_rate_end={data['mask_rate_end']:g}: runs over a number of steps, and "
        f"trainer.budget_s={trainer['budget_s']} alone gives none; type data.mask_rate_end=null or "
        "trainer.max_steps=1000"
    )


def vgg_has_pixels(data: Section, model: Section) -> str | None:
    small = data["name"] == "digits" and data["image_size"] < 32
    if not small or not model["name"].startswith("vgg"):
        return None
    return (
        f"data.image_size={data['image_size']}: {model['name']} halves the image five times; "
        "type data.image_size=32"
    )
