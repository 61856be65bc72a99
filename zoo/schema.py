"""What a configuration may hold: the type and the range of every key, section by section.

`check` says what is wrong before anything is trained, in one sentence; which sections do not go
together is in zoo.refusals.
"""

import math
from typing import Annotated, Any, Literal, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from zoo.errors import UserError, first_line, suggest
from zoo.leaderboard.boards import flatten
from zoo.leaderboard.record import BY_CONTENT, decides_result
from zoo.precision.kinds import canonical_section
from zoo.refusals import refuse
from zoo.refusals.data import kind_of_model


class _Base(BaseModel):
    @field_validator("*", mode="before")
    @classmethod
    def _no_word_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic would take true for 1.
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            kinds = {annotation, *get_args(annotation)}
            if kinds & {int, float} and bool not in kinds:
                raise ValueError("must be a number")
        return value


class _Section(_Base):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class TrainerSection(_Section):
    """The types and ranges of `trainer.*`; conf/trainer/default.yaml says what each key means."""

    max_epochs: float | None = Field(gt=0, le=1e9)
    max_steps: int | None = Field(gt=0, le=10**12)
    max_samples: int | None = Field(gt=0, le=10**15)
    budget_s: float | None = Field(gt=0)
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int = Field(ge=1)
    strategy: Literal["auto", "ddp", "fsdp"]
    activation_checkpointing: bool = False  # of fsdp alone
    accumulate: int = Field(ge=1, le=10**9)
    gradient_clip: float | None = Field(gt=0)
    compile: bool
    channels_last: bool
    peak_flops: float | None = Field(ge=1e6, le=1e20, examples=["1e12"])
    eval_every_epochs: float = Field(gt=0, le=1e9)
    eval_every_steps: int | None = Field(gt=0, le=10**12)
    log_every_steps: int = Field(ge=1)


class _Open(_Base):
    """A section whose further keys belong to its `_target_`, which checks them itself."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    name: str


class ModelSection(_Open):
    depth: int | None = None
    width: int | None = None
    group_size: int | None = None
    group_size_doubles: bool = False
    pretrained: bool | None = None
    size: str | None = None
    layers: int | None = Field(None, ge=1)
    alibi: bool = True
    glu: bool = True
    glu_match_parameters: bool = False
    unpad: bool = True
    low_precision_layernorm: bool = True
    masked_only_head: bool = True
    vocab_multiple: int = Field(64, ge=1)
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    hidden_dropout: float = Field(0.1, ge=0, lt=1)
    attention_kernel: Literal["auto", "sdpa", "flex", "flash"] = "auto"
    gradient_checkpointing: bool = False
    checkpoint: str | None = None
    tune: Literal["full", "lora", "frozen", "scratch"] = Field("full", examples=["full"])
    lora_rank: int = Field(8, ge=1)
    lora_alpha: int = Field(16, ge=1)
    lora_dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _leave_out_what_is_off(self) -> "ModelSection":
        # A key that came later: without it a run has the id that it had before.
        if not self.group_size_doubles:
            self.model_fields_set.discard("group_size_doubles")
        return self


class DataSection(_Open):
    batch_size: int = Field(ge=1)
    eval_batch_size: int = Field(ge=1)
    train_samples: int | None = Field(None, gt=0)
    image_size: int = Field(32, gt=0)
    crop_padding: int = Field(0, ge=0, le=1024)
    flip: bool = False
    num_workers: int = Field(0, ge=0)
    # Of text alone. A key that a section has not is not added to it.
    objective: Literal["masked", "causal", "auto"] | None = Field(None, examples=["masked"])
    max_length: int = Field(128, ge=4, le=10**6)
    tokenizer: Literal["auto", "wordpiece", "bpe", "bert-base-uncased", "gpt2", "folder"] = "auto"
    vocab_size: int = Field(4096, ge=8, le=10**6)
    corpus: str = Field("text", min_length=1, examples=["pubmed+pmc"])
    tokenizer_corpus: str | None = None
    tokenizer_folder: str | None = None
    folder: str | None = None
    eval_corpus: str | None = None
    train_documents: int | None = Field(None, gt=0)
    train_bytes: int | None = Field(None, gt=0)
    eval_samples: int | None = Field(None, gt=0)
    eval_bytes: int | None = Field(None, gt=0)
    eval_lengths: list[Annotated[int, Field(ge=4, le=10**6)]] = []
    skip_broken: bool = False
    bucket: bool = False
    task: str | None = None
    eval_task: str | None = None
    layout: Literal["auto", "choices", "pairs"] | None = None
    answers: Literal["auto", "options", "labels", "text"] = "auto"
    format: Literal["context_first", "question_first", "plain"] = "context_first"
    markers: Literal["tokens", "words", "none"] = "words"
    truncation: Literal["keep_question", "left", "right"] = "keep_question"
    mask_rate: float = Field(0.3, gt=0, le=1)
    mask_rate_end: float | None = Field(None, gt=0, le=1)
    packing: bool = True
    end_of_text: bool = True
    within_documents: bool = False
    separator: str = Field("", min_length=1, examples=["'\\nTL;DR:'"])
    rouge_samples: int | None = Field(None, ge=0)
    max_new_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _leave_out_what_is_off(self) -> "DataSection":
        # As in the model's section.
        for key in ("train_bytes", "eval_bytes"):
            if getattr(self, key) is None:
                self.model_fields_set.discard(key)
        return self


class ScaleFrom(_Section):
    """The update for which an optimizer's lr and momentum are meant; see zoo.optim.scaling."""

    batch_size: int | None = Field(None, ge=1, le=10**9)


class OptimizerSection(_Open):
    lr: float = Field(ge=0, le=1e37)
    momentum: float | None = Field(None, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=1e37)
    nesterov: bool | None = None
    betas: list[Annotated[float, Field(ge=0, lt=1)]] | None = Field(
        None, min_length=2, max_length=2
    )
    eps: float | None = Field(None, ge=0)
    rho: float | None = Field(None, examples=["2"])
    granularity: Literal["filter", "tensor", "model"] | None = Field(None, examples=["filter"])
    scale_from: ScaleFrom | None = None

    @field_validator("scale_from", mode="before")
    @classmethod
    def _names_its_unit(cls, value: Any) -> Any:
        if isinstance(value, int | float | str):
            raise UserError(
                f"optimizer.scale_from={value}: is of a number of samples; "
                f"type optimizer.scale_from.batch_size={value}"
            )
        return value

    @model_validator(mode="after")
    def _leave_out_what_is_off(self) -> "OptimizerSection":
        # As in the model's section.
        if self.scale_from is None or self.scale_from.batch_size is None:
            self.model_fields_set.discard("scale_from")
        return self


class DelaySection(_Open):
    steps: int | None = Field(None, ge=0, le=10**6, strict=True, examples=["8"])
    warmup: Literal["fill", "skip"] | None = Field(None, examples=["fill"])
    stages: int | None = Field(None, ge=1, strict=True, examples=["4"])
    prediction: Literal["velocity", "weight", "spectrain"] | None = Field(
        None, examples=["velocity"]
    )
    stash_weights: bool = False


class SchedulerSection(_Open):
    warmup_fraction: float = Field(ge=0, lt=1)
    floor: float = Field(0.0, ge=0, le=1)
    factor: float = Field(0.1, gt=0, le=1)
    fractions: list[Annotated[float, Field(gt=0, lt=1)]] = []


class TaskSection(_Open):
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)


class PrecisionSection(_Open):
    loss_scale_window: int = Field(2000, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, section: Any) -> Any:
        return canonical_section(section) if isinstance(section, dict) else section


class PathsSection(_Section):
    output_dir: str
    cache_dir: str


class LoggerSection(_Section):
    name: Literal["auto", "wandb", "csv", "none"] = Field(examples=["auto"])
    project: str | None = Field(None, pattern=r"^[\w.-]{1,128}$")
    entity: str | None = None
    group: str | None = None


class Schema(_Section):
    """Types and ranges of a whole configuration; no section's depend on another section."""

    seed: int = Field(ge=0, lt=2**32)
    force: bool
    paths: PathsSection
    data: DataSection
    task: TaskSection
    model: ModelSection
    precision: PrecisionSection
    optimizer: OptimizerSection
    scheduler: SchedulerSection
    delay: DelaySection
    trainer: TrainerSection
    callbacks: dict[str, Any] = Field(default_factory=dict)
    logger: LoggerSection


def check(config: DictConfig) -> dict[str, Any]:
    """Check types, ranges and combinations.

    Returns:
        The resolved configuration as plain data, numbers in the types of the schema (so that
        `lr=1` and `lr=1.0` are one configuration).

    Raises:
        UserError: the first thing that is wrong, in one sentence.
    """
    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key or 'config'}: {first_line(error)}") from None
    plain.pop("hydra", None)
    return check_plain(plain)


def check_plain(plain: dict[str, Any]) -> dict[str, Any]:
    """Do what `check` does, for a configuration that is plain data already."""
    checked = validate(plain)
    settle(checked)
    refuse(checked)
    return checked


def settle(checked: dict[str, Any]) -> None:
    """Replace what is to be decided by another section, so that a record says what was done."""
    if checked["data"].get("objective") == "auto":
        causal = kind_of_model(checked["model"]) == "causal"
        checked["data"]["objective"] = "causal" if causal else "masked"
    if checked["data"].get("layout") == "auto":
        reads_back = kind_of_model(checked["model"]) in ("questions", "causal")
        checked["data"]["layout"] = "choices" if reads_back else "pairs"


def validate(plain: dict[str, Any]) -> dict[str, Any]:
    """Check every key by itself, for types and ranges; how sections go together is not asked.

    Raises:
        UserError: the first key that is wrong.
    """
    try:
        checked = Schema.model_validate(plain).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(p) for p in first["loc"])
        if first["type"] == "extra_forbidden" and key.startswith("local"):
            raise UserError(
                "conf/local/default.yaml: is no section of its own; write `# @package _global_` as its "
                "first line"
            ) from None
        if first["type"] == "extra_forbidden":
            known = flatten({name: _keys_of(field) for name, field in Schema.model_fields.items()})
            raise UserError(f"{key}: no such key{suggest(key, known)}") from None
        if first["type"] == "missing":
            raise UserError(f"{key}: is missing; leave it as the group has it") from None
        value = "null" if first["input"] is None else first["input"]
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UserError(f"{key}={value}: {message}{_example(first['loc'])}") from None
    checked.setdefault("callbacks", {})
    for key, value in flatten(checked).items():
        _check_leaf(key, value)
    return checked


def _example(place: tuple[int | str, ...]) -> str:
    """Return what to type instead, where the schema says so."""
    section = Schema.model_fields[str(place[0])].annotation if place else None
    if len(place) < 2 or not (isinstance(section, type) and issubclass(section, BaseModel)):
        return ""
    field = section.model_fields.get(str(place[1]))
    if field is None or not field.examples:
        return ""
    return f"; type {place[0]}.{place[1]}={field.examples[0]}"


def _keys_of(field: FieldInfo) -> Any:
    section = field.annotation
    if isinstance(section, type) and issubclass(section, BaseModel):
        return dict.fromkeys(section.model_fields)
    return None


def _check_leaf(key: str, value: Any) -> None:
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, float) and not math.isfinite(item):
            raise UserError(f"{key}={value}: must be a finite number; type one")
        is_path = isinstance(item, str) and item.startswith(("/", "~", "file:"))
        if is_path and decides_result(key) and key not in BY_CONTENT:
            raise UserError(
                f"{key}={item}: a path would enter the record, and decides nothing elsewhere; "
                "type one that is relative to this folder"
            )
