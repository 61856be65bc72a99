"""What does not go together: one rule, one function, one sentence.

A rule's parameters are the sections that it compares, by their names, so that all combinations of
just those sections show whether it holds. It returns what to say, ending in what to type instead,
or None where the sections go together.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from zoo.errors import UserError

Section = dict[str, Any]
Rule = Callable[..., str | None]

BUDGETS = ("max_epochs", "max_steps", "max_samples", "budget_s")


def training_ends(trainer: Section) -> str | None:
    if any(trainer[budget] is not None for budget in BUDGETS):
        return None
    return (
        "trainer: no budget is set, so training would never end; type trainer.max_epochs=10, "
        "trainer.max_steps=1000, trainer.max_samples=100000 or trainer.budget_s=60"
    )


def devices_share_a_batch(data: Section, trainer: Section) -> str | None:
    if data["batch_size"] % trainer["devices"] == 0:
        return None
    return (
        f"data.batch_size={data['batch_size']}: is shared among trainer.devices="
        f"{trainer['devices']}; type a multiple of it"
    )


def batch_norm_has_a_batch(data: Section, model: Section, trainer: Section) -> str | None:
    if data["batch_size"] != trainer["devices"] or model.get("norm") != "batch":
        return None
    return (
        "model.norm=batch: batch norm has no variance to take at one sample a device; "
        "type model.norm=group, group_ws, frn or online, or a larger data.batch_size"
    )


def online_norm_has_one_stream(model: Section, trainer: Section) -> str | None:
    if model.get("norm") != "online" or trainer["devices"] == 1:
        return None
    return (
        f"model.norm=online: its statistics follow one stream of samples, and trainer.devices="
        f"{trainer['devices']} have as many; type trainer.devices=1 or model.norm=group"
    )


def online_norm_keeps_gradients(model: Section, precision: Section) -> str | None:
    dynamic = precision.get("loss_scale") == "dynamic" or precision.get("lightning") == "16-mixed"
    if model.get("norm") != "online" or not dynamic:
        return None
    return (
        f"model.norm=online: adds up gradients over samples, and the loss scale of precision="
        f"{precision['name']} changes between them; type precision=bf16 or model.norm=group"
    )


def one_clock(trainer: Section) -> str | None:
    if trainer["devices"] == 1 or trainer["budget_s"] is None:
        return None
    return (
        f"trainer.budget_s={trainer['budget_s']}: the clocks of trainer.devices="
        f"{trainer['devices']} differ; type trainer.max_steps=1000 or trainer.devices=1"
    )


def no_delay_has_no_keys(delay: Section) -> str | None:
    extra = [key for key in delay if key != "name"]
    if delay["name"] != "none" or not extra:
        return None
    return f"delay.{extra[0]}: delay=none has no such key; type delay=none alone"


def delay_ends_before_training(delay: Section, trainer: Section) -> str | None:
    return delay_fits(delay, trainer["max_steps"])


def delay_fits(delay: Section, updates: int | None) -> str | None:
    """Say so where no gradient would be as late as it is meant to be; `updates` of the training."""
    steps = delay.get("steps") or 0
    if updates is None or steps < updates:
        return None
    return (
        f"delay.steps={steps}: the training ends after {updates} updates; type a smaller "
        "delay.steps, or a larger budget such as trainer.max_epochs=20"
    )


def _pipelined(delay: Section) -> bool:
    return str(delay.get("_target_", "")).endswith(".PipelineDelay")


# Of these the formulas have one delay, or want the weights of the forward pass at the update.
OF_ONE_DELAY = (
    ".GapAware", ".DelayCompensated", ".Dana", ".StalenessAware", ".DelayScaledLR",
    ".LoweredMomentum",
)  # fmt: skip


def peers_have_one_delay(delay: Section, optimizer: Section) -> str | None:
    if not _pipelined(delay) or not str(optimizer.get("_target_", "")).endswith(OF_ONE_DELAY):
        return None
    return (
        f"optimizer={optimizer['name']}: is made for one delay, and the stages of "
        f"delay={delay['name']} have many; type delay=constant, or optimizer=lwpv_sc"
    )


def a_prediction_has_a_velocity(delay: Section, optimizer: Section) -> str | None:
    kind = delay.get("prediction") or optimizer.get("prediction")
    if kind is None or (optimizer.get("momentum") and "velocities" not in optimizer):
        return None
    return (
        f"optimizer={optimizer['name']}: has no velocity along which to predict weights "
        f"(prediction={kind}); type optimizer=sgd optimizer.momentum=0.9, or prediction=null"
    )


def one_prediction(delay: Section, optimizer: Section) -> str | None:
    if not (delay.get("prediction") and optimizer.get("prediction")):
        return None
    return (
        f"delay.prediction={delay['prediction']}: optimizer={optimizer['name']} has one already; "
        "type delay.prediction=null, or optimizer=spike_compensation"
    )


def predictions_are_for_pipelines(delay: Section, optimizer: Section) -> str | None:
    if not optimizer.get("prediction") or _pipelined(delay):
        return None
    return (
        f"optimizer={optimizer['name']}: predicts weights for the stages of a pipeline; "
        f"type delay=pipeline, or optimizer=spike_compensation for delay={delay['name']}"
    )


def spectrain_is_not_stashed(delay: Section, optimizer: Section) -> str | None:
    kind = delay.get("prediction") or optimizer.get("prediction")
    if kind != "spectrain" or not delay.get("stash_weights"):
        return None
    return (
        "delay.stash_weights=True: SpecTrain predicts the weights of both passes; "
        "type delay.stash_weights=false"
    )


def a_horizon_has_a_prediction(delay: Section, optimizer: Section) -> str | None:
    if delay.get("horizon") is None or delay.get("prediction") or optimizer.get("prediction"):
        return None
    return (
        f"delay.horizon={delay['horizon']}: is of a prediction, and there is none; "
        "type delay.prediction=velocity or delay.horizon=null"
    )


def corrections_are_for_pipelines(delay: Section, optimizer: Section) -> str | None:
    if optimizer.get("correction") is None or _pipelined(delay):
        return None
    return (
        f"optimizer={optimizer['name']}: corrects the backward weights of a pipeline's stages; "
        f"type delay=pipeline, or optimizer.correction=null for delay={delay['name']}"
    )


def a_correction_brings_two_passes_together(delay: Section, optimizer: Section) -> str | None:
    correction = optimizer.get("correction")
    if correction is None:
        return None
    sentence = f"optimizer.correction={correction}: brings the backward weights to those of the "
    if delay.get("stash_weights"):
        return (
            f"{sentence}forward pass, and with delay.stash_weights=True they are; "
            "type optimizer.correction=null or delay.stash_weights=false"
        )
    kind = delay.get("prediction") or optimizer.get("prediction")
    if kind is not None:
        return (
            f"{sentence}forward pass, and prediction={kind} those of the forward pass to the present; "
            "type optimizer.correction=null or prediction=null"
        )
    return None


def backward_sees_the_weights(
    delay: Section, model: Section, precision: Section, trainer: Section
) -> str | None:
    """Refuse what computes on copies of the weights that the backward pass would see again."""
    if not _pipelined(delay) or delay.get("stash_weights"):
        return None
    if model.get("norm") == "group_ws":
        return (
            "model.norm=group_ws: standardised weights are copies, of which the backward pass of "
            f"delay={delay['name']} would see old ones; type model.norm=group or "
            "delay.stash_weights=true"
        )
    if trainer["compile"]:
        return (
            f"delay={delay['name']}: a compiled model may keep copies of the weights for its backward "
            "pass; type trainer.compile=false or delay.stash_weights=true"
        )
    if str(precision.get("lightning", "")).startswith("bf16"):
        return (
            f"precision={precision['name']}: autocast keeps copies of the weights for the backward "
            f"pass, which delay={delay['name']} cannot change; type precision=bf16_emulated or "
            "delay.stash_weights=true"
        )
    return None


def braking_has_momentum(optimizer: Section) -> str | None:
    betas = optimizer.get("betas") or [None]
    if "rho" not in optimizer or 0 not in (optimizer.get("momentum"), betas[0]):
        return None
    return (
        f"optimizer={optimizer['name']}: without momentum there is no velocity to brake; "
        "type optimizer.momentum=0.9, optimizer.betas=[0.9,0.999] or optimizer=sgd"
    )


def scaling_has_a_momentum(optimizer: Section) -> str | None:
    if "scale_from" not in optimizer or optimizer.get("momentum") is not None:
        return None
    return (
        f"optimizer.scale_from.batch_size={optimizer['scale_from']['batch_size']}: the rule scales "
        f"lr and momentum together, and optimizer={optimizer['name']} has no momentum; "
        "type optimizer=sgd or optimizer.scale_from.batch_size=null"
    )


# What a model takes, by where its builder is; all others take images.
TAKES_TEXT = {
    "zoo.models.mosaicbert.": "masked",
    "zoo.models.bert.": "masked",
}
# What each task learns from.
LEARNS_FROM = {"ClassificationTask": "images", "MaskedLMTask": "masked"}
# How each is called, and what brings it.
KINDS_OF_DATA = {
    "images": ("images", "data=digits", "model=resnet8", "task=classification"),
    "masked": ("text with masked words", "data=text", "model=mosaicbert", "task=masked_lm"),
    # Of which no model of the zoo learns yet.
    "causal": (
        "running text",
        "",
        "data.objective=masked model=mosaicbert",
        "data.objective=masked",
    ),
}


def kind_of_data(data: Section) -> str:
    """Return what a data set is of: images, or text that is masked or causal."""
    return str(data.get("objective") or "images")


def kind_of_model(model: Section) -> str:
    """Return what a model takes, in the same words."""
    target = str(model.get("_target_", ""))
    return next((kind for home, kind in TAKES_TEXT.items() if target.startswith(home)), "images")


def a_model_has_its_data(data: Section, model: Section) -> str | None:
    given, taken = kind_of_data(data), kind_of_model(model)
    if given == taken:
        return None
    return (
        f"model={model['name']}: takes {KINDS_OF_DATA[taken][0]}, and data={data['name']} is "
        f"{KINDS_OF_DATA[given][0]}; type {KINDS_OF_DATA[taken][1]}, or {KINDS_OF_DATA[given][2]}"
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


def sequences_take_one_device(data: Section, trainer: Section) -> str | None:
    if kind_of_data(data) == "images" or trainer["devices"] == 1:
        return None
    return (
        f"trainer.devices={trainer['devices']}: the loss is not yet averaged over the tokens of "
        f"several devices for data={data['name']}; type trainer.devices=1"
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
    "masked": {"mask_rate_end": None},
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


def rounding_sees_the_products(precision: Section, trainer: Section) -> str | None:
    if "exponent_bits" not in precision or not trainer["compile"]:
        return None
    return (
        f"precision={precision['name']}: products inside a compiled model cannot be rounded; "
        "type trainer.compile=false"
    )


def the_monitor_sees_the_products(callbacks: Section, trainer: Section) -> str | None:
    if not callbacks.get("ranges") or not trainer["compile"]:
        return None
    return (
        "callbacks=ranges: products inside a compiled model cannot be watched; "
        "type trainer.compile=false"
    )


# In this order; the first that has something to say is heard.
RULES: tuple[Rule, ...] = (
    keys_of_text_have_their_objective,
    folders_are_read,
    a_masking_schedule_has_steps,
    a_model_has_its_data,
    a_task_has_its_data,
    sequences_take_one_device,
    training_ends,
    devices_share_a_batch,
    batch_norm_has_a_batch,
    online_norm_has_one_stream,
    online_norm_keeps_gradients,
    scaling_has_a_momentum,
    one_clock,
    no_delay_has_no_keys,
    delay_ends_before_training,
    braking_has_momentum,
    peers_have_one_delay,
    a_prediction_has_a_velocity,
    one_prediction,
    predictions_are_for_pipelines,
    spectrain_is_not_stashed,
    a_horizon_has_a_prediction,
    corrections_are_for_pipelines,
    a_correction_brings_two_passes_together,
    backward_sees_the_weights,
    mixup_has_pairs,
    vgg_has_pixels,
    rounding_sees_the_products,
    the_monitor_sees_the_products,
)


@functools.cache
def compares(rule: Rule) -> tuple[str, ...]:
    """Return the names of the sections that a rule compares.

    >>> compares(vgg_has_pixels)
    ('data', 'model')
    """
    return tuple(inspect.signature(rule).parameters)


def refuse(config: dict[str, Any]) -> None:
    """Refuse a checked configuration whose sections do not go together.

    Raises:
        UserError: what the first rule that is broken says.
    """
    for rule in RULES:
        sentence = rule(*(config[section] for section in compares(rule)))
        if sentence is not None:
            raise UserError(sentence)
