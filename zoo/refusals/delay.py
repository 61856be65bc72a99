"""What does not go together of delays and the optimizers that make up for them."""

from zoo.refusals.rule import Section


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
