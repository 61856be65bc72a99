"""What does not go together of data, models and tasks; and of a text's own keys."""

from zoo.refusals.rule import BUDGETS, Section

# What a model takes, by its builder; all others take images.
TAKES_TEXT = {
    "zoo.models.mosaicbert.builder.masked_lm": "masked",
    "zoo.models.mosaicbert.builder.classifier": "labelled",
    "zoo.models.bert.masked_lm": "masked",
    "zoo.models.bert.classifier": "labelled",
    "zoo.models.biomedlm.causal_lm": "causal",
    "zoo.models.biomedlm.classifier": "questions",
}
# What each task learns from.
LEARNS_FROM = {
    "ClassificationTask": "images",
    "MaskedLMTask": "masked",
    "CausalLMTask": "causal",
    "SequenceClassificationTask": "labelled",
    "MultipleChoiceTask": "questions",
}
# What a data set is of that has no objective to choose; all others are of images.
IS_OF = {
    "zoo.data.glue": "labelled",
    "zoo.data.pairs": "pairs",
    "zoo.data.questions": "questions",
}
# What else a model, or a task, of a kind can do with: encoders have a head for questions, too, and a
# pair is running text whose end is learned.
ALSO = {("labelled", "questions"), ("causal", "pairs")}
# How each is called, and what brings it.
KINDS_OF_DATA = {
    "images": ("images", "data=digits", "model=resnet8", "task=classification"),
    "masked": ("text with masked words", "data=text", "model=mosaicbert", "task=masked_lm"),
    "causal": ("running text", "data=text", "model=biomedlm", "task=causal_lm"),
    "labelled": (
        "sentences with labels",
        "data=glue",
        "model=mosaicbert_classifier",
        "task=sequence_classification",
    ),
    "questions": (
        "questions with options",
        "data=questions",
        "model=biomedlm_classifier",
        "task=multiple_choice",
    ),
    "pairs": ("sources with targets", "data=pairs", "model=biomedlm", "task=causal_lm"),
}
OBJECTIVES = ("masked", "causal")  # of one and the same text


def kind_of_data(data: Section) -> str:
    """Return what a data set is of: images, masked or causal text, sentences with labels, questions, pairs."""
    if data.get("answers") == "text":
        return "pairs"
    objective = data.get("objective") or IS_OF.get(str(data.get("_target_")), "images")
    return "masked" if objective == "auto" else str(objective)  # else it is settled: zoo.schema


def kind_of_model(model: Section) -> str:
    """Return what a model takes, in the same words."""
    return TAKES_TEXT.get(str(model.get("_target_", "")), "images")


def a_model_has_its_data(data: Section, model: Section) -> str | None:
    given, taken = kind_of_data(data), kind_of_model(model)
    if given == taken or (taken, given) in ALSO:
        return None
    other = KINDS_OF_DATA[taken][1]
    if given in OBJECTIVES and taken in OBJECTIVES:
        other = f"data.objective={taken}"
    elif given == "questions" and taken == "causal":
        other = "data.answers=text"
    elif data.get("answers") == "text" and taken in ("questions", "labelled"):
        other = "data.answers=auto"
    return (
        f"model={model['name']}: takes {KINDS_OF_DATA[taken][0]}, and data={data['name']} is "
        f"{KINDS_OF_DATA[given][0]}; type {other}, or {KINDS_OF_DATA[given][2]}"
    )


def a_task_has_its_data(data: Section, task: Section) -> str | None:
    given = kind_of_data(data)
    learnt = LEARNS_FROM.get(str(task.get("_target_", "")).rpartition(".")[2], given)
    if given == learnt or (learnt == "causal" and (learnt, given) in ALSO):
        return None
    return (
        f"task={task['name']}: learns from {KINDS_OF_DATA[learnt][0]}, and data={data['name']} is "
        f"{KINDS_OF_DATA[given][0]}; type {KINDS_OF_DATA[given][3]}"
    )


def tuning_has_a_checkpoint(model: Section) -> str | None:
    tune = model.get("tune", "full")
    if tune == "full" or model.get("checkpoint") is not None:
        return None
    return (
        f"model.tune={tune}: says what becomes of a checkpoint's weights, and model.checkpoint=null; type "
        "model.checkpoint=outputs/ID of a run that has ended, or model.tune=full"
    )


def adapters_are_of_lora(model: Section) -> str | None:
    if model.get("tune", "lora") == "lora":
        return None
    for key, off in (("lora_rank", 8), ("lora_alpha", 16), ("lora_dropout", 0.0)):
        if model.get(key, off) != off:
            return (
                f"model.{key}={model[key]}: is of adapters, and model.tune={model['tune']} has none; "
                f"type model.tune=lora or model.{key}={off}"
            )
    return None


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
    if data.get("folder") is None or named or "corpus" not in data:
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
