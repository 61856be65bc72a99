"""Every registered option trains a few steps, or is refused in one sentence."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import TINY
from zoo import saved
from zoo.errors import Diverged, UserError
from zoo.overrides import groups
from zoo.run import Run

OPTIONS = groups()
Train = Callable[..., Any]

SHORT = ["data.max_length=16", "data.vocab_size=300"]
BIG = {
    "bert_classifier": SHORT,
    "biomedlm_classifier": ["data.max_length=64", "data.vocab_size=300"],
    "mosaicbert_classifier": SHORT,
    "vgg": ["data.image_size=32", "model.width=4"],
    "timm": ["data.image_size=32", "model.name=resnet10t"],
    "bert": (WORDS := [*SHORT, "data.eval_samples=8"]),
    "mosaicbert": WORDS,
    "biomedlm": WORDS,
}


@pytest.fixture
def labels_are_at_hand(glue_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(glue_root))


@pytest.mark.usefixtures("labels_are_at_hand")
@pytest.mark.parametrize("model", OPTIONS["model"])
def test_every_model_trains(train_here: Train, model: str) -> None:
    special = next((v for k, v in BIG.items() if model.startswith(k)), ["model.width=2"])
    record = train_here(
        f"model={model}", "trainer.max_epochs=null", "trainer.max_steps=2", *special
    )
    assert record.status == "finished"
    assert math.isfinite(record.metrics["val/loss"])


@pytest.mark.parametrize("precision", OPTIONS["precision"])
def test_every_precision_trains(train_here: Train, precision: str) -> None:
    record = train_here(*TINY, f"precision={precision}")
    assert record.config["precision"]["name"] == precision
    assert record.status == "finished"
    assert record.emulated is (precision not in ("fp32", "bf16"))  # here, on a CPU
    # fp32's own accuracy in a few steps, or near: nothing overflowed, nothing was lost for good.
    assert math.isfinite(record.metrics["test/loss"])
    assert record.metrics["cost/bytes_moved"] > 0


def test_two_formats_are_two_runs_with_different_numbers(train_here: Train) -> None:
    losses = {
        words: train_here(*TINY, *words).metrics["test/loss"]
        for words in (
            ("precision=fp32",),
            ("precision=169",),
            ("precision=custom", "precision.exponent_bits=5", "precision.mantissa_bits=8"),
            ("precision=169", "precision.quantize.weights=fp8_e5m2"),
            ("precision=169", "precision.rounding=stochastic"),
            ("precision=custom", "precision.exponent_bits=8", "precision.mantissa_bits=23"),
        )
    }
    values = list(losses.values())
    assert values[0] == values[-1]  # rounding to fp32 is none
    assert len(set(values)) == len(values) - 1


@pytest.mark.parametrize("optimizer", OPTIONS["optimizer"])
@pytest.mark.parametrize("delay", OPTIONS["delay"])
def test_every_optimizer_with_every_delay(train_here: Train, optimizer: str, delay: str) -> None:
    words = [f"optimizer={optimizer}", f"delay={delay}", "trainer.log_every_steps=1"]
    if delay == "constant":
        words.append("delay.steps=2")
    one_delay = ("staleness_aware", "delay_scaled_lr", "lowered_momentum", "gap_aware", "dc_asgd")
    if delay == "pipeline" and optimizer in (*one_delay, "dana"):
        with pytest.raises(UserError, match="is made for one delay"):
            train_here(*TINY, *words)
        return
    if delay != "pipeline" and optimizer == "pipemare":
        with pytest.raises(UserError, match="corrects the backward weights of a pipeline's stages"):
            train_here(*TINY, *words)
        return
    predicts = ("weight_prediction", "lwpv_sc", "lwpw_sc", "spectrain")
    if delay != "pipeline" and optimizer in predicts:
        with pytest.raises(UserError, match="predicts weights for the stages of a pipeline"):
            train_here(*TINY, *words)
        return
    record = train_here(*TINY, *words)
    assert record.status == "finished"
    weights = 4 * record.metrics["model/parameters"]
    history = record.metrics.get("mem/history_bytes")
    if delay in ("constant", "pipedream_2bw"):
        steps = {"constant": 2, "pipedream_2bw": 1}[delay]
        assert history == (steps + (optimizer == "dana")) * weights
        assert record.curve["num/delay/updates"].value == [min(t, steps) for t in range(6)]
    elif delay == "pipeline":
        assert history > weights
        assert record.metrics["num/pipeline/distance"] > 0
    else:
        assert history is None
    assert ("num/brake/alpha_p50" in record.metrics) == optimizer.startswith("adaptive_braking")


def test_coarser_stages_are_less_late(train_here: Train) -> None:
    fine, coarse = (
        train_here(*TINY, "delay=pipeline", *stages, "trainer.log_every_steps=2")
        for stages in ([], ["delay.stages=3"])
    )
    assert coarse.metrics["mem/history_bytes"] < fine.metrics["mem/history_bytes"]
    per_stage = [k for k in coarse.metrics if k.startswith("num/pipeline/distance/")]
    assert len(per_stage) <= 3
    assert coarse.metrics["num/pipeline/distance/003"] == 0  # the last stage is not late


def test_too_many_stages_leave_nothing_behind(train_here: Train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"delay.stages=99: CifarResNet has 16 stages; type a"):
        train_here(*TINY, "delay=pipeline", "delay.stages=99")
    assert not list((tmp_path / "outputs").iterdir())


def test_batch_norm_of_timm_has_a_batch(train_here: Train, tmp_path: Path) -> None:
    sentence = r"data.batch_size=1: model=resnet10t has batch norm, .*; type a larger data.batch"
    with pytest.raises(UserError, match=sentence):
        train_here("model=timm", "model.name=resnet10t", "data.batch_size=1", "delay=pipeline")
    assert not list((tmp_path / "outputs").iterdir())


@pytest.mark.usefixtures("labels_are_at_hand")
@pytest.mark.parametrize("model", OPTIONS["model"])
def test_every_model_is_a_pipeline_in_1_6_9(train_here: Train, model: str) -> None:
    special = next((v for k, v in BIG.items() if model.startswith(k)), ["model.width=2"])
    has_norm = model.startswith(("resnet", "vgg"))  # a word for it
    norm = ["model.norm=group", "model.group_size=1"] if has_norm else []
    record = train_here(
        f"model={model}", *special, *norm, "trainer.max_epochs=null", "trainer.max_steps=10",
        "trainer.log_every_steps=5", "delay=pipeline", "precision=169", "optimizer=lwpv_sc",
        "data.batch_size=2", "optimizer.lr=0.001",
    )  # fmt: skip
    assert record.status == "finished"
    assert record.emulated
    assert math.isfinite(record.metrics["test/loss"])
    distances = [k for k in record.metrics if k.startswith("num/pipeline/distance/")]
    assert len(distances) > 5


@pytest.mark.parametrize("warmup", ["fill", "skip"])
@pytest.mark.parametrize("precision", ["169", "fp16", "bf16"])
@pytest.mark.parametrize(
    "model",
    [
        ["model.width=2"],
        [
            "model=timm", "model.name=vit_tiny_patch16_224", "data.image_size=16",
            "+model.img_size=16", "+model.patch_size=8", "+model.depth=2",
        ],
        ["model=mosaicbert", *WORDS],
        ["model=biomedlm", *WORDS],
    ],
    ids=["resnet", "vit", "mosaicbert", "biomedlm"],
)  # fmt: skip
def test_delay_goes_with_every_precision_and_model(
    train_here: Train, model: list[str], precision: str, warmup: str
) -> None:
    last = 6 if warmup == "fill" else 10
    steps = ["trainer.max_epochs=null", f"trainer.max_steps={last}", "trainer.log_every_steps=1"]
    # A small batch: bf16 is very slow on processors without instructions for it.
    record = train_here(
        *model, *steps, "data.batch_size=4", f"precision={precision}", "optimizer=adaptive_braking",
        "delay=constant", "delay.steps=4", f"delay.warmup={warmup}",
    )  # fmt: skip
    assert record.status == "finished"
    late = record.curve["num/delay/updates"].value
    assert late[-1] == 4
    assert late[:5] == ([0, 1, 2, 3, 4] if warmup == "fill" else [0, 0, 0, 0, 0])
    assert math.isfinite(record.metrics["test/loss"])


@pytest.mark.parametrize("scheduler", OPTIONS["scheduler"])
def test_every_scheduler_sets_the_rate(train_here: Train, scheduler: str) -> None:
    from zoo.config import build

    record = train_here(*TINY, f"scheduler={scheduler}", "trainer.log_every_steps=1")
    schedule = build(record.config["scheduler"])
    rates = record.curve["train/lr"].value
    # The rate logged after step t is the one of step t + 1.
    assert rates == pytest.approx([0.1 * schedule(t / 6) for t in range(1, 7)])


@pytest.mark.parametrize("logger", OPTIONS["logger"])
def test_every_logger(train_here: Train, logger: str, tmp_path: Path) -> None:
    record = train_here(*TINY, f"logger={logger}")
    folder = tmp_path / "outputs" / record.id
    assert (folder / "csv" / "version_0" / "metrics.csv").exists() == (logger == "csv")
    assert any(folder.glob("wandb/offline-run-*")) == (logger == "wandb")


@pytest.mark.parametrize("callbacks", OPTIONS["callbacks"])
def test_every_set_of_callbacks(train_here: Train, callbacks: str, tmp_path: Path) -> None:
    record = train_here(*TINY, f"callbacks={callbacks}")
    kept = (tmp_path / "outputs" / record.id / "last.ckpt").exists()
    assert kept == (callbacks != "none")


@pytest.mark.parametrize(
    "overrides",
    [
        ["task.mixup=0.2", "task.label_smoothing=0.1"],
        ["task.cutmix=1.0"],
        ["trainer.accumulate=2"],
        ["trainer.gradient_clip=0.01"],
        ["trainer.channels_last=true", "model.width=16"],  # tests/optim/test_scaling.py says why
        ["model.norm=group", "model.group_size=1"],
        ["model.norm=group", "model.group_size=1", "model.group_size_doubles=true"],
        ["model.norm=online"],
        ["data.crop_padding=0", "data.flip=true"],
    ],
)
def test_options_that_change_training(train_here: Train, tiny: Any, overrides: list[str]) -> None:
    changed = train_here(*TINY, *overrides)
    assert changed.id != tiny.id
    assert changed.metrics["train/steps"] == 6
    if "trainer.channels_last=true" not in overrides:  # the same function in another layout
        assert changed.metrics["train/loss"] != tiny.metrics["train/loss"]


def test_accumulation_counts_samples_and_steps(train_here: Train, tiny: Any) -> None:
    record = train_here(*TINY, "trainer.accumulate=2")
    assert record.metrics["train/steps"] == 6
    assert record.metrics["train/samples"] == 6 * 2 * 64
    assert record.metrics["flops/step"] == 2 * tiny.metrics["flops/step"]


def test_the_loss_of_an_update_is_the_mean_over_its_batches(train_here: Train) -> None:
    """At a learning rate of zero nothing changes, so two batches' mean is their two losses' mean."""
    still = [
        *TINY,
        "optimizer.lr=0",
        "optimizer.weight_decay=0",
        "model.norm=none",
        "scheduler=constant",
    ]
    single = train_here(*still, "trainer.log_every_steps=1", "trainer.max_steps=4").curve[
        "train/loss"
    ]
    pairs = train_here(
        *still, "trainer.log_every_steps=1", "trainer.max_steps=2", "trainer.accumulate=2"
    ).curve["train/loss"]
    a, b, c, d = single.value
    assert pairs.value == pytest.approx([(a + b) / 2, (c + d) / 2])


def test_a_run_that_is_cut_in_an_accumulation_ends_with_the_same_bits(
    train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.callbacks import Recorder
    from zoo.errors import UserError as Cut

    options = [*TINY, "trainer.accumulate=4", "callbacks.checkpoint.every_steps=1"]
    whole = train_here(*options, output="whole")
    step_end = Recorder.on_train_batch_end
    for batch in (9, 10, 12):

        def cut(
            self: Any, trainer: Any, module: Any, out: Any, b: Any, i: int, at: int = batch
        ) -> None:
            step_end(self, trainer, module, out, b, i)
            if i == at:
                raise Cut("cut")

        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "on_train_batch_end", cut)
            with pytest.raises(Cut):
                train_here(*options, output=f"cut{batch}")
        resumed = train_here(*options, output=f"cut{batch}")
        assert resumed.metrics["test/loss"] == whole.metrics["test/loss"]
        assert resumed.curve["train/loss"].value == whole.curve["train/loss"].value


def test_a_loss_that_overflows_between_two_logged_steps_is_seen(
    train_here: Train, tmp_path: Path
) -> None:
    with pytest.raises(Diverged):
        train_here(*TINY, "optimizer.lr=1e30", "trainer.log_every_steps=1000")
    path = next((tmp_path / "outputs").glob("*/record.json"))
    assert json.loads(path.read_text())["status"] == "diverged"


def test_the_last_steps_are_a_point_of_the_curve(train_here: Train) -> None:
    record = train_here(*TINY, "trainer.log_every_steps=4")
    assert record.curve["train/loss"].step == [4, 6]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["model=timm", "model.name=vit_tiny_patch16_224"], "cannot take samples of 1x8x8"),
        (["model=timm", "model.name=resnt18"], "timm has no such model; did you mean resnet18"),
        (["optimizer=timm", "optimizer.name=adahessian"], "needs second derivatives"),
        (["+optimizer.foo=1"], "unexpected keyword argument 'foo'"),
        (["precision.lightning=foo"], "precision.lightning=foo: no such format"),
        (
            ["callbacks.checkpoint.every_s=abc"],
            "callbacks.checkpoint.every_s=abc: must be a positive",
        ),
        (["callbacks.checkpoint=3"], "callbacks.checkpoint: must be a mapping with a _target_"),
        (["data.batch_size=5000"], "data.batch_size=5000: the training split has only 1257"),
        (["trainer.accelerator=gpu"], "trainer.accelerator=gpu: there is no GPU"),
        (["callbacks.checkpoint.every_s=null"], "type callbacks.checkpoint.every_s=30, or"),
        (
            ["callbacks.checkpoint._target_=torch.nn.Identity"],
            "callbacks.checkpoint._target_=torch.nn.Identity: gives",
        ),
        (
            ["task._target_=torch.nn.Identity"],
            "task._target_=torch.nn.Identity: gives Identity, no",
        ),
        (
            ["data._target_=torch.nn.Identity"],
            "data._target_=torch.nn.Identity: gives Identity, no",
        ),
    ],
)
def test_what_does_not_fit_is_found_before_training(
    train_here: Train, tmp_path: Path, overrides: list[str], sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        train_here(*(o for o in TINY if o != "model.width=2"), *overrides)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "outputs").rglob("*.ckpt"))


def test_force_starts_over_once_and_goes_on_when_it_is_cut_off(
    train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.callbacks import Recorder
    from zoo.errors import UserError as Cut

    options = [*TINY, "callbacks.checkpoint.every_steps=1"]
    first = train_here(*options)
    step_end = Recorder.on_train_batch_end
    seen: list[int] = []

    def cut(self: Any, trainer: Any, module: Any, out: Any, b: Any, i: int) -> None:
        seen.append(i)
        step_end(self, trainer, module, out, b, i)
        if len(seen) == 4:
            raise Cut("cut")

    monkeypatch.setattr(Recorder, "on_train_batch_end", cut)
    with pytest.raises(Cut):
        train_here(*options, "force=true")
    again = train_here(*options, "force=true")
    assert seen == [0, 1, 2, 3, 3, 4, 5]
    assert again.metrics["test/loss"] == first.metrics["test/loss"]


@pytest.mark.parametrize(
    "mistake",
    [
        ["force=true", "callbacks.checkpoint.every_s=0"],
        ["force=true", "+callbacks.mine={_target_: torch.nn.Identity}"],
        ["callbacks=ranges", "callbacks.ranges.formats=[fp8]"],
    ],
)
def test_a_mistake_with_a_run_that_has_ended_loses_nothing(
    train_here: Train, tmp_path: Path, mistake: list[str]
) -> None:
    record = train_here(*TINY)
    folder = tmp_path / "outputs" / record.id
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    with pytest.raises(UserError):
        train_here(*TINY, *mistake)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    assert after == before


def test_a_damaged_checkpoint_or_record_is_named(
    train_here: Train, tmp_path: Path, capsys: Any
) -> None:
    record = train_here(*TINY)
    folder = tmp_path / "outputs" / record.id
    (folder / "record.json").write_text("{")
    checkpoint = folder / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    assert train_here(*TINY).metrics["test/loss"] == record.metrics["test/loss"]
    said = capsys.readouterr().out
    assert "its record is not valid" in said
    assert "last.ckpt is damaged (it is no whole zip archive); it begins anew" in said
    (folder / "record.json").unlink()
    saved.save({"a": Run}, checkpoint)  # its bytes are right, and it is code
    with pytest.raises(UserError, match=r"last.ckpt cannot be read .* delete that file"):
        train_here(*TINY)


def test_derived_metrics_follow_their_definitions(train_here: Train) -> None:
    m = train_here(*TINY, "trainer.peak_flops=1e12").metrics
    assert m["train/samples"] == 6 * 64
    assert m["train/epochs"] == pytest.approx(6 * 64 / 1257)
    assert m["perf/samples_per_s"] == pytest.approx(6 * 64 / m["time/train_s"])
    assert m["flops/total"] == 6 * m["flops/step"]
    assert m["perf/mfu"] == pytest.approx(m["flops/total"] / m["time/train_s"] / 1e12)
    assert m["time/data_wait_s"] < m["time/train_s"]
    assert m["perf/step_median_s"] <= m["perf/step_p95_s"] <= m["time/train_s"]


def test_a_callback_of_ones_own(train_here: Train) -> None:
    early = "+callbacks.early={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss, patience: 0, mode: max}"
    record = train_here(
        "model.width=2", "trainer.max_epochs=9", "trainer.eval_every_steps=2", early
    )
    assert record.metrics["train/steps"] < 9 * 19


def test_compiled_training_counts_compilation_apart(
    train_here: Train, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch's tracing and no C++, whose compiler takes a minute and is not ours."""
    compiled_on: set[str] = set()

    def traced(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        compiled_on.update(x.device.type for x in inputs if isinstance(x, torch.Tensor))
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=traced))
    monkeypatch.setattr("zoo.tasks.metering._METERS", {})  # so that this model is counted as well
    record = train_here(*TINY, "trainer.compile=true")
    m = record.metrics
    assert m["time/compile_s"] > 5 * m["perf/step_median_s"]
    assert m["flops/step"] == tiny.metrics["flops/step"]
    assert compiled_on == {"cpu"}  # and nowhere else, for counting
    assert record.metrics["test/acc"] is not None


def test_a_diverging_run_keeps_a_record_that_says_so(train_here: Train, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="smaller optimizer.lr"):
        train_here(*TINY, "optimizer.lr=1e30")
    path = next((tmp_path / "outputs").glob("*/record.json"))
    content = json.loads(path.read_text())
    assert content["status"] == "diverged"
    assert content["metrics"]["train/loss"] is None
    assert "test/acc" not in content["metrics"]


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    train_here: Train, tiny: Any
) -> None:
    a, b = tiny, train_here(*TINY)
    c = train_here(*TINY, "seed=1", output="c")
    assert a.id == b.id != c.id
    assert a.metrics["train/loss"] == b.metrics["train/loss"] != c.metrics["train/loss"]
    assert a.curve["val/loss"].value == b.curve["val/loss"].value


def test_training_equals_a_plain_loop(train_here: Train) -> None:
    """The same model, batches and optimizer in a bare PyTorch loop give the same loss, to the bit."""
    from zoo.data import digits
    from zoo.models import CifarResNet
    from zoo.optim.schedules import Cosine
    from zoo.seeding import INIT, seed_everything

    record = train_here(*TINY, "trainer.log_every_steps=1")
    data = digits(seed=0, batch_size=64, eval_batch_size=512)
    data.total_batches = 6
    seed_everything(INIT, 0)
    net = CifarResNet(10, 1, depth=8, width=2)
    schedule = Cosine(warmup_fraction=0.05)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step, (x, y) in enumerate(data.train_dataloader()):
        optimizer.param_groups[0]["lr"] = 0.1 * schedule(step / 6)
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert record.curve["train/loss"].value == losses


@pytest.mark.data
@pytest.mark.xdist_group("cifar10")
def test_cifar10_trains(train_here: Train, data_root: Path, cifar10_cache: Path) -> None:
    record = train_here(
        *TINY, "data=cifar10", f"data.root={data_root}", "data.eval_batch_size=5000",
        f"paths.cache_dir={cifar10_cache}",
    )  # fmt: skip
    assert record.data.train == 45_000
    assert str(data_root) not in record.to_json()
