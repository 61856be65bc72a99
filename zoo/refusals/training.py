"""What does not go together of budgets, devices, norms, optimizers and number formats."""

from zoo.refusals.rule import BUDGETS, Section


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


def scaling_has_a_momentum(optimizer: Section) -> str | None:
    if "scale_from" not in optimizer or optimizer.get("momentum") is not None:
        return None
    return (
        f"optimizer.scale_from.batch_size={optimizer['scale_from']['batch_size']}: the rule scales "
        f"lr and momentum together, and optimizer={optimizer['name']} has no momentum; "
        "type optimizer=sgd or optimizer.scale_from.batch_size=null"
    )


def rounding_sees_the_products(precision: Section, trainer: Section) -> str | None:
    if "exponent_bits" not in precision or not trainer["compile"]:
        return None
    return (
        f"precision={precision['name']}: products inside a compiled model cannot be rounded; "
        "type trainer.compile=false"
    )


def flash_computes_in_16_bits(model: Section, precision: Section) -> str | None:
    is_flash = model.get("attention_kernel") == "flash"
    if not is_flash or str(precision.get("lightning", "")).startswith(("bf16", "16")):
        return None
    return (
        f"model.attention_kernel=flash: computes in 16 bits, and precision={precision['name']} does "
        "not; type precision=bf16 or model.attention_kernel=auto"
    )


def the_monitor_sees_the_products(callbacks: Section, trainer: Section) -> str | None:
    if not callbacks.get("ranges") or not trainer["compile"]:
        return None
    return (
        "callbacks=ranges: products inside a compiled model cannot be watched; "
        "type trainer.compile=false"
    )
