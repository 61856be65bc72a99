"""What does not go together: one rule, one function, one sentence.

A rule's parameters are the sections that it compares, by their names, so that all combinations of
just those sections show whether it holds. It returns what to say, ending in what to type instead,
or None where the sections go together.
"""

import functools
import inspect
from typing import Any

from zoo.errors import UserError
from zoo.refusals.data import (
    a_masking_schedule_has_steps,
    a_model_has_its_data,
    a_task_has_its_data,
    adapters_are_of_lora,
    folders_are_read,
    keys_of_text_have_their_objective,
    mixup_has_pairs,
    tuning_has_a_checkpoint,
    vgg_has_pixels,
)
from zoo.refusals.delay import (
    a_correction_brings_two_passes_together,
    a_horizon_has_a_prediction,
    a_prediction_has_a_velocity,
    backward_sees_the_weights,
    braking_has_momentum,
    corrections_are_for_pipelines,
    delay_ends_before_training,
    delay_fits,
    no_delay_has_no_keys,
    one_prediction,
    peers_have_one_delay,
    predictions_are_for_pipelines,
    spectrain_is_not_stashed,
)
from zoo.refusals.devices import (
    activations_are_checkpointed_by_one_key,
    shared_weights_are_not_rounded,
    shared_weights_are_not_watched,
    shared_weights_are_present_ones,
    shared_weights_are_updated_by_element,
    shared_weights_are_whole_in_a_pass,
    shared_weights_write_nothing,
    shares_have_devices,
)
from zoo.refusals.questions import (
    evaluation_sets_are_not_learned,
    folders_of_questions_are_read,
    layouts_have_their_readers,
    plain_has_nothing_between,
    sets_have_names,
    written_answers_are_of_known_words,
)
from zoo.refusals.rule import Rule
from zoo.refusals.training import (
    batch_norm_has_a_batch,
    devices_share_a_batch,
    flash_computes_in_16_bits,
    one_clock,
    online_norm_has_one_stream,
    online_norm_keeps_gradients,
    rounding_sees_the_products,
    scaling_has_a_momentum,
    the_monitor_sees_the_products,
    training_ends,
)

__all__ = ["RULES", "Rule", "compares", "delay_fits", "refuse"]

# In this order; the first that has something to say is heard.
RULES: tuple[Rule, ...] = (
    keys_of_text_have_their_objective,
    folders_are_read,
    a_masking_schedule_has_steps,
    sets_have_names,
    evaluation_sets_are_not_learned,
    folders_of_questions_are_read,
    plain_has_nothing_between,
    written_answers_are_of_known_words,
    a_model_has_its_data,
    a_task_has_its_data,
    layouts_have_their_readers,
    tuning_has_a_checkpoint,
    adapters_are_of_lora,
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
    shares_have_devices,
    activations_are_checkpointed_by_one_key,
    shared_weights_are_whole_in_a_pass,
    shared_weights_are_present_ones,
    shared_weights_are_not_rounded,
    shared_weights_are_updated_by_element,
    shared_weights_are_not_watched,
    shared_weights_write_nothing,
    flash_computes_in_16_bits,
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
        try:
            sentence = rule(*(config[section] for section in compares(rule)))
        except KeyError as error:  # every option has the key: it was deleted, or goes with this one
            sections = " or ".join(compares(rule))
            raise UserError(
                f"{sections}: {error} is missing; leave it as the option has it"
            ) from error
        if sentence is not None:
            raise UserError(sentence)
