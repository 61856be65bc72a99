"""What does not go together with weights that are shared out over devices (trainer=fsdp)."""

from zoo.refusals.rule import Section


def _shared_out(trainer: Section) -> bool:
    return bool(trainer["strategy"] == "fsdp")


def shares_have_devices(trainer: Section) -> str | None:
    if not _shared_out(trainer) or trainer["devices"] > 1:
        return None
    return (
        "trainer.strategy=fsdp: shares the weights out among devices, and trainer.devices=1; type "
        "trainer.devices=2, or trainer.strategy=auto"
    )


def activations_are_checkpointed_by_one_key(trainer: Section) -> str | None:
    if _shared_out(trainer) or not trainer.get("activation_checkpointing"):
        return None
    return (
        f"trainer.activation_checkpointing=True: is of trainer.strategy=fsdp, and this is "
        f"trainer.strategy={trainer['strategy']}; type trainer.activation_checkpointing=false "
        "model.gradient_checkpointing=true"
    )


def shared_weights_are_whole_in_a_pass(trainer: Section) -> str | None:
    if not _shared_out(trainer) or not trainer["compile"]:
        return None
    return (
        "trainer.compile=True: a compiled model is one piece, and trainer.strategy=fsdp shares its "
        "blocks out; type trainer.compile=false or trainer=ddp"
    )


def shared_weights_are_present_ones(delay: Section, trainer: Section) -> str | None:
    if not _shared_out(trainer) or delay["name"] == "none":
        return None
    return (
        f"delay={delay['name']}: swaps whole weights, of which trainer.strategy=fsdp leaves each "
        "device a part; type delay=none or trainer=ddp"
    )


def shared_weights_are_not_rounded(precision: Section, trainer: Section) -> str | None:
    if not _shared_out(trainer) or precision.get("lightning") in ("32-true", "bf16-mixed"):
        return None
    return (
        f"precision={precision['name']}: its roundings and its loss scale see whole tensors, of which "
        "trainer.strategy=fsdp leaves each device a part; type precision=fp32, precision=bf16 or "
        "trainer=ddp"
    )


# Optimizers to which every element of a weight is alone, so that a part is as good as the whole.
BY_ELEMENT = (
    "torch.optim.SGD",
    "torch.optim.AdamW",
    "zoo.optim.DecoupledAdamW",
    "zoo.optim.CompensatedSGD",
)


def shared_weights_are_updated_by_element(optimizer: Section, trainer: Section) -> str | None:
    if not _shared_out(trainer) or optimizer.get("_target_") in BY_ELEMENT:
        return None
    return (
        f"optimizer={optimizer['name']}: may look at whole weights, of which trainer.strategy=fsdp "
        "leaves each device a part; type optimizer=decoupled_adamw, optimizer=adamw, optimizer=sgd "
        "or trainer=ddp"
    )


def shared_weights_are_not_watched(callbacks: Section, trainer: Section) -> str | None:
    if not _shared_out(trainer) or not callbacks.get("ranges"):
        return None
    return (
        "callbacks=ranges: watches whole tensors, of which trainer.strategy=fsdp leaves each device a "
        "part; type callbacks=default or trainer=ddp"
    )


def shared_weights_write_nothing(data: Section, trainer: Section) -> str | None:
    if not _shared_out(trainer) or data.get("rouge_samples", 0) == 0:
        return None
    typed = "null" if data["rouge_samples"] is None else data["rouge_samples"]
    return (
        f"data.rouge_samples={typed}: texts are written with whole weights, of which trainer.strategy=fsdp "
        "leaves each device a part; type data.rouge_samples=0 or trainer=ddp"
    )
