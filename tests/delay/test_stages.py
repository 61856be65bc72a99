"""Pipeline stages: the paper's counts, every parameter once and in order, cuts against brute force."""

import itertools
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.nn import functional as F
from typer.testing import CliRunner

from tests.conftest import ROOT
from zoo.cli import app
from zoo.config import build, compose
from zoo.data.shapes import IMAGES, arguments_without_files
from zoo.delay import Stage, pipeline_stages
from zoo.delay.balance import balanced_cuts
from zoo.errors import UserError
from zoo.models import CifarResNet, CifarVGG
from zoo.overrides import groups
from zoo.tasks import ClassificationTask
from zoo.tasks.base import flops_of_step

PUBLISHED = [
    *((CifarResNet, depth, count) for depth, count in ((20, 34), (32, 52), (44, 70), (56, 88))),
    (CifarResNet, 110, 169),
    *((CifarVGG, depth, count) for depth, count in ((11, 29), (13, 33), (16, 39))),
]


def on_meta(make: Any, *args: Any, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return make(*args, **options)


def assert_complete(model: nn.Module, cut: list[Stage]) -> None:
    """Every trainable parameter is in exactly one stage; delays are those of the formula."""
    held = [(name, id(p)) for stage in cut for name, p in stage.parameters.items()]
    wanted = [(name, id(p)) for name, p in model.named_parameters() if p.requires_grad]
    assert sorted(held) == sorted(wanted)
    assert [s.number for s in cut] == list(range(1, len(cut) + 1))
    assert [s.delay for s in cut] == [2 * (len(cut) - s.number) for s in cut]
    assert cut[-1].layers[-1] == "loss"
    assert all(s.layers for s in cut)


def holder(cut: list[Stage]) -> dict[str, int]:
    return {name: s.number for s in cut for name in s.parameters}


def stage_of(cut: list[Stage], layer: str) -> int:
    (number,) = (s.number for s in cut if layer in s.layers)
    return number


def assert_in_forward_order(model: nn.Module, cut: list[Stage]) -> None:
    """Against torch.fx: no layer is in an earlier stage than what it is computed from.

    Two layers that multiply are in two stages, where one is computed from the other.
    """
    number = holder(cut)
    modules = dict(model.named_modules())
    latest: dict[fx.Node, tuple[int, bool]] = {}
    checked = 0
    for node in fx.symbolic_trace(model).graph.nodes:
        before = [latest[n] for n in node.all_input_nodes]
        arrives = max((s for s, _ in before), default=0)
        product = any(is_product for s, is_product in before if s == arrives)
        latest[node] = arrives, product
        if node.op == "get_attr" and node.target in number:
            latest[node] = number[node.target], False
        if node.op != "call_module":
            continue
        module = modules[node.target]
        names = [f"{node.target}.{n}" for n, _ in module.named_parameters()]
        if names:
            (own,) = {number[n] for n in names}
            multiplies = isinstance(module, nn.Conv2d | nn.Linear)
            assert own > arrives if multiplies and product else own >= arrives, node.target
            latest[node] = own, multiplies or (product and own == arrives)
            checked += 1
    assert checked >= 10


# -- the paper's counts --------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "depth", "count"), PUBLISHED)
def test_the_papers_counts(model: type[nn.Module], depth: int, count: int) -> None:
    net = on_meta(model, depth=depth)
    cut = pipeline_stages(net)
    assert len(cut) == count
    assert cut[0].delay == 2 * (count - 1)
    assert_complete(net, cut)


@pytest.mark.parametrize(("model", "depth", "count"), [PUBLISHED[0], PUBLISHED[5]])
def test_group_norm_and_the_size_of_the_input_change_no_count(
    model: type[nn.Module], depth: int, count: int
) -> None:
    net = on_meta(model, depth=depth, norm="group", width=8, in_chans=1)
    for size in (32, 64):
        assert len(pipeline_stages(net, torch.empty(2, 1, size, size, device="meta"))) == count


def test_without_normalisation_an_activation_goes_with_the_sum_before_it() -> None:
    cut = pipeline_stages(on_meta(CifarResNet, depth=20, norm="none"))
    assert len(cut) == 34 - 3
    assert ("blocks.8.add", "act") in [s.layers for s in cut]
    assert len(pipeline_stages(on_meta(CifarVGG, depth=11, norm="none"))) == 29


def test_a_resnets_stages_one_by_one() -> None:
    layers = [" ".join(s.layers) for s in pipeline_stages(on_meta(CifarResNet, depth=8))]
    assert layers == [
        "stem",
        "blocks.0.norm1 blocks.0.act blocks.0.conv1",
        "blocks.0.norm2 blocks.0.act blocks.0.conv2",
        "blocks.0.add",
        "blocks.1.norm1 blocks.1.act",
        "blocks.1.shortcut blocks.1.conv1",
        "blocks.1.norm2 blocks.1.act blocks.1.conv2",
        "blocks.1.add",
        "blocks.2.norm1 blocks.2.act",
        "blocks.2.shortcut blocks.2.conv1",
        "blocks.2.norm2 blocks.2.act blocks.2.conv2",
        "blocks.2.add",
        "norm act",
        "mean",
        "head",
        "loss",
    ]


def test_a_vggs_head() -> None:
    """Its dropout counts where there is some; a probability of 0 is no layer."""
    layers = [" ".join(s.layers) for s in pipeline_stages(on_meta(CifarVGG, depth=11))]
    assert layers[-8:] == [
        "mean",
        "pre_logits.0",
        "pre_logits.1",
        "pre_logits.2 pre_logits.3",
        "pre_logits.4",
        "pre_logits.5",
        "head",
        "loss",
    ]
    assert len(pipeline_stages(on_meta(CifarVGG, depth=11, dropout=0.0))) == len(layers) - 1


# -- any model -----------------------------------------------------------------------------------


# timm's need a name; those that read words are cut where they are tested.
NOT_IMAGES = {
    "timm", "bert", "mosaicbert", "biomedlm", "bert_classifier", "mosaicbert_classifier",
    "biomedlm_classifier",
}  # fmt: skip


@pytest.mark.parametrize("option", sorted({*groups()["model"]} - NOT_IMAGES))
def test_every_model_option(option: str) -> None:
    section: Any = compose([f"model={option}"]).model
    net = on_meta(build, dict(section), num_classes=10, in_chans=3)
    cut = pipeline_stages(net)
    assert_complete(net, cut)
    assert_in_forward_order(net, cut)


TIMM: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet50": {},
    "resnetv2_50": {},
    "convnext_atto": {},
    "mobilenetv3_small_050": {},
    "ghostnet_050": {},
    "seresnet18": {},
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 3},
    "beit_base_patch16_224": {"img_size": 32, "depth": 2, "embed_dim": 96},
    "mixer_s32_224": {"img_size": 64},
    "swin_tiny_patch4_window7_224": {"img_size": 56, "depths": (2, 2)},
}


@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str) -> None:
    net = on_meta(timm.create_model, name, num_classes=7, **TIMM[name])
    cut = pipeline_stages(net)
    assert_complete(net, cut)
    if name not in ("beit_base_patch16_224", "swin_tiny_patch4_window7_224"):  # fx cannot
        assert_in_forward_order(net, cut)


def test_a_residual_block_after_its_sum_has_its_activation_with_the_sum() -> None:
    cut = pipeline_stages(on_meta(timm.create_model, "resnet18"))
    at = [cut[i].layers for i in range(9, 12)]
    block = "layer2.0."
    assert at[0] == (block + "conv1", block + "downsample.0")
    assert at[1] == (block + "bn1", block + "act1", block + "conv2")
    assert at[2] == (block + "bn2", block + "downsample.1", block + "add", block + "act2")


def test_parameters_outside_of_layers_are_where_they_are_used() -> None:
    cut = pipeline_stages(on_meta(timm.create_model, "vit_tiny_patch16_224", depth=1))
    assert list(cut[1].parameters) == ["cls_token", "pos_embed"]
    assert cut[0].layers == ("patch_embed.proj",)
    cut = pipeline_stages(on_meta(timm.create_model, "convnext_atto"))
    number = holder(cut)["stages.0.blocks.0.gamma"]
    assert number == stage_of(cut, "stages.0.blocks.0.add")
    assert number == holder(cut)["stages.0.blocks.0.mlp.fc2.weight"] + 1


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_hugging_face(family: str) -> None:
    """Token ids in, a dict-like output, tied embeddings, keys and values among the outputs."""
    transformers = pytest.importorskip("transformers")
    if family == "bert":
        sizes = {"hidden_size": 16, "intermediate_size": 32, "vocab_size": 64}
        config = transformers.BertConfig(**sizes, num_hidden_layers=2, num_attention_heads=2)
        net, first = transformers.BertForMaskedLM(config), "bert.embeddings.word_embeddings.weight"
    else:
        config = transformers.GPT2Config(
            n_embd=16, n_layer=2, n_head=2, vocab_size=64, bos_token_id=0, eos_token_id=0
        )
        net, first = transformers.GPT2LMHeadModel(config), "transformer.wte.weight"
    for example in (None, {"input_ids": torch.zeros(2, 6, dtype=torch.long)}):
        cut = pipeline_stages(net, example)
        assert_complete(net, cut)
        assert holder(cut)[first] == 1
    if family == "bert":
        layer = "bert.encoder.layer.1.attention.self."
        assert (layer + "query", layer + "key", layer + "value") in [s.layers for s in cut]
    else:
        assert stage_of(cut, "lm_head") == len(cut) - 1
        assert not cut[-2].parameters  # its weights are in the first stage


# -- small models that are all one thing ---------------------------------------------------------


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.hidden = nn.Linear(4, 4)
        self.decoder = nn.Linear(4, 11)
        self.decoder.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.decoder(torch.relu(self.hidden(self.embed(ids))))


def test_a_tied_weight_is_in_the_stage_of_its_first_use() -> None:
    net = Tied()
    cut = pipeline_stages(net)
    assert_complete(net, cut)
    assert [list(s.parameters) for s in cut] == [
        ["embed.weight"],
        ["hidden.weight", "hidden.bias"],
        [],
        ["decoder.bias"],
        [],
    ]


def test_a_module_that_runs_twice_is_in_the_stage_of_its_first_run() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.relu(self.layer(x)))

    cut = pipeline_stages(Twice())
    assert [s.layers for s in cut] == [("layer",), ("relu",), ("layer",), ("loss",)]
    assert [len(s.parameters) for s in cut] == [2, 0, 0, 0]


def test_frozen_layers_are_stages_without_parameters() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    cut = pipeline_stages(net)
    assert [len(s.parameters) for s in cut] == [0, 0, 2, 0]
    assert_complete(net, cut)


class ByHand(nn.Module):
    """A normalisation written out, a gate, weights made of a parameter, something in place."""

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            return x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * self.scale

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = self.Norm()
        self.act = nn.ReLU(inplace=True)
        self.gate = nn.Linear(4, 4)
        self.raw = nn.Parameter(torch.ones(4, 4))
        self.shift = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.first(x)))
        x = x * torch.sigmoid(self.gate(x))
        x = F.linear(x, self.raw - self.raw.mean())
        x[:, :2] += self.shift[:2]
        return x


def test_what_is_written_by_hand() -> None:
    net = ByHand()
    cut = pipeline_stages(net)
    assert_complete(net, cut)
    assert [s.layers for s in cut] == [
        ("first",),
        ("norm", "act"),
        ("gate",),
        ("sigmoid", "mul"),
        ("linear",),
        ("add",),
        ("loss",),
    ]
    assert list(cut[4].parameters) == ["raw"]
    assert list(cut[5].parameters) == ["shift"]


class Looks(nn.Module):
    """It looks at its numbers, which there are none of on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.layer(x))
        return torch.relu(x) if x.abs().max().item() >= 0 else x


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_model_that_needs_numbers_gets_some(device: str) -> None:
    net = Looks().to(device)
    cut = pipeline_stages(net, torch.ones(2, 4))
    assert [s.layers for s in cut] == [("layer",), ("norm", "relu"), ("loss",)]
    assert_complete(net, cut)


def test_the_model_is_left_as_it_was() -> None:
    net = Looks().eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.get_rng_state()
    pipeline_stages(net, torch.ones(2, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert not net.training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not net.layer._forward_hooks
    assert not net.layer._forward_pre_hooks


def test_parameters_are_the_models_own() -> None:
    net = CifarResNet(depth=8, width=2)
    for stage in pipeline_stages(net):
        for name, parameter in stage.parameters.items():
            assert parameter is net.get_parameter(name)
    assert stage.parameter_count == 0


def test_a_compiled_model_is_cut_as_what_was_compiled() -> None:
    net = Tied()
    assert_complete(net, pipeline_stages(SimpleNamespace(_orig_mod=net)))  # type: ignore[arg-type]


def test_flops_are_those_of_a_record() -> None:
    net = CifarResNet(depth=8, width=4, in_chans=1)
    task = ClassificationTask(
        net,
        num_classes=10,
        image_shape=(1, 8, 8),
        make_optimizer=lambda p: torch.optim.SGD(p, 0.1),
        schedule=lambda _: 1.0,
        progress=lambda _: 0.0,
    )
    counted = flops_of_step(task, 1)
    assert counted is not None
    for count in (None, 3):
        cut = pipeline_stages(net, task.example(5), count)
        assert sum(s.flops for s in cut) == 5 * counted[0]


def test_activations_are_what_autograd_keeps() -> None:
    """A linear layer keeps its input, a tanh its output, a loss its logits; each stage its own."""
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    cut = pipeline_stages(net, torch.zeros(2, 6))
    assert [s.activation_bytes for s in cut] == [2 * n * 4 for n in (6, 5, 5, 3)]
    (whole,) = pipeline_stages(net, torch.zeros(2, 6), 1)
    assert whole.activation_bytes == 2 * (6 + 5 + 3) * 4  # what tanh made is there once


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_activations_of_a_network_that_runs_on_numbers(norm: str) -> None:
    net = CifarResNet(depth=8, width=4, norm=norm, in_chans=1)
    own = {t.untyped_storage().data_ptr() for t in (*net.parameters(), *net.buffers())}
    kept: dict[int, int] = {}
    alive = []

    def keep(t: Tensor) -> Tensor:
        alive.append(t)
        if t.untyped_storage().data_ptr() not in own:
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    images = torch.randn(2, 1, 8, 8)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        F.cross_entropy(net(images), torch.tensor([0, 1]))
    (whole,) = pipeline_stages(net, images, 1)
    total_weight = 4  # of the loss: the sum of its targets' weights
    assert whole.activation_bytes == pytest.approx(sum(kept.values()), abs=total_weight + 2 * 8)


# -- refusals ------------------------------------------------------------------------------------


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class Shapeless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: pipeline_stages(Unused()),
            "does not use spare.weight and 1 more parameters; give an example=",
        ),
        (
            lambda: pipeline_stages(Unused(), torch.zeros(2, 5)),
            r"Unused does not run on its example input \(.+\); give an example=",
        ),
        (lambda: pipeline_stages(Shapeless()), "nothing tells what Shapeless takes; give"),
        (
            lambda: pipeline_stages(Tied(), stages=6),
            "delay.stages=6: Tied has 5 stages; type a number from 1 to 5",
        ),
        (lambda: pipeline_stages(Tied(), stages=0), "delay.stages=0: Tied has 5 stages; type a"),
    ],
)
def test_what_cannot_be_cut_is_one_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)


# -- coarser cuts --------------------------------------------------------------------------------


def every_cut(costs: list[int], parts: int) -> list[list[int]]:
    """Return the costs of the parts of every cut into consecutive parts."""
    inner = itertools.combinations(range(1, len(costs)), parts - 1)
    edges = [(0, *cut, len(costs)) for cut in inner]
    return [[sum(costs[a:b]) for a, b in itertools.pairwise(edge)] for edge in edges]


@settings(max_examples=150)
@given(st.data())
def test_cuts_are_the_best_there_are(data: st.DataObject) -> None:
    costs = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=9))
    parts = data.draw(st.integers(1, len(costs)))
    ends = balanced_cuts(costs, parts)
    edges = [0, *ends]
    assert len(ends) == parts
    assert ends[-1] == len(costs)
    assert all(a < b for a, b in itertools.pairwise(edges))
    found = [sum(costs[a:b]) for a, b in itertools.pairwise(edges)]
    merit = lambda parts: (max(parts), sum(p * p for p in parts))  # noqa: E731
    assert merit(found) == min(map(merit, every_cut(costs, parts)))


def test_costs_beyond_64_bits_are_cut_exactly() -> None:
    big = 10**20
    assert balanced_cuts([big + 1, big, big, 2 * big], 3) == [1, 3, 4]


@pytest.mark.parametrize("count", [1, 2, 5, 15, 16])
def test_coarse_stages_are_runs_of_fine_ones(count: int) -> None:
    net = on_meta(CifarResNet, depth=8)
    fine, coarse = pipeline_stages(net), pipeline_stages(net, stages=count)
    assert_complete(net, coarse)
    assert len(coarse) == count
    assert [n for s in coarse for n in s.layers] == [n for s in fine for n in s.layers]
    best = min(max(parts) for parts in every_cut([s.flops for s in fine], count))
    assert max(s.flops for s in coarse) == best


# -- the command ---------------------------------------------------------------------------------


def typed(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["stages", *arguments], env={"COLUMNS": "80"})
    if isinstance(result.exception, UserError):
        assert exit_code == 2
        return str(result.exception)
    assert result.exit_code == exit_code, result.output
    return result.output


def test_the_table_fits_80_columns_and_is_cut_in_the_middle() -> None:
    out = typed("model=resnet32", "data=cifar10", "data.root=nowhere")
    assert max(map(len, out.splitlines())) <= 80
    assert "32 more stages with --all" in out
    assert "blocks.0: norm1, act, conv1" in out
    assert "52 stages; delays of up to 102 updates" in out
    assert len(out.splitlines()) < 35
    whole = typed("model=resnet32", "data=cifar10", "data.root=nowhere", "--all")
    assert "more stages" not in whole
    assert len(whole.splitlines()) > 52


def test_json_has_every_stage_and_the_totals() -> None:
    answer = json.loads(typed("model=resnet20", "data=cifar10", "--json"))
    rows, totals = answer["stages"], answer["totals"]
    assert answer["model"] == "resnet20 on cifar10"
    assert [r["delay"] for r in rows] == [2 * (34 - s) for s in range(1, 35)]
    assert totals["stages"] == 34
    assert totals["parameters"] == sum(r["parameter_count"] for r in rows) == 272_282
    assert totals["history_bytes"] == sum(r["delay"] * r["parameter_count"] * 4 for r in rows)
    mean = sum(r["delay"] * r["parameter_count"] for r in rows) / totals["parameters"]
    assert totals["mean_delay"] == pytest.approx(mean)
    assert totals["flops_forward"] == sum(r["flops_forward"] for r in rows)
    assert totals["largest_delay"] == 66
    kept = sum((r["delay"] + 1) * r["activation_bytes"] for r in rows)
    assert totals["activation_bytes"] == pytest.approx(kept, rel=1e-3)  # whole bytes a sample
    size = 4 * totals["parameters"]
    assert totals["weight_bytes"] == size
    assert totals["weight_bytes_stashed"] == size + totals["history_bytes"]
    assert size < totals["weight_bytes_predicted"] <= 2 * size
    n = totals["update_samples"]
    assert totals["utilisation_drained"] == n / (n + 2 * 33)


@pytest.mark.parametrize("key", ["delay.stages=3", "+delay.stages=3"])
def test_the_command_makes_coarser_cuts(key: str) -> None:
    answer = json.loads(typed("model=resnet8", key, "--json"))
    assert [r["delay"] for r in answer["stages"]] == [4, 2, 0]
    assert answer["totals"]["parameters"] == json.loads(typed("--json"))["totals"]["parameters"]
    out = typed("model=resnet8", key)
    assert max(map(len, out.splitlines())) <= 80


def test_the_command_cuts_timms_models_at_the_datas_size() -> None:
    out = typed(
        "model=timm", "model.name=vit_tiny_patch16_224", "+model.img_size=32", "data=cifar10"
    )
    assert "vit_tiny_patch16_224 on cifar10" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model=resnet9"], "model=resnet9: no such model"),
        (["model=resnet8", "delay.stages=17"], "delay.stages=17: CifarResNet has 16 stages; type"),
        (["delay.stages=many"], "delay.stages=many: must be a whole number; type delay.stages=8"),
        (["model=resnet", "model.depth=9"], "model.depth=9: a CIFAR ResNet has 6n+2 layers"),
        (["model=vgg11"], "type data.image_size=32"),
        (
            ["model=timm", "model.name=vit_tiny_patch16_224", "data=cifar10"],
            "model=vit_tiny_patch16_224: VisionTransformer does not run on its example input",
        ),
    ],
)
def test_a_users_mistake_is_one_sentence(arguments: list[str], sentence: str) -> None:
    said = typed(*arguments, exit_code=2)
    assert sentence in said
    assert "\n" not in said


def test_composing_and_asking_for_help_import_no_torch() -> None:
    code = (
        "import sys, zoo.cli, zoo.delay, zoo.verbs.stages; sys.exit('torch' in sys.modules or "
        "hasattr(zoo.delay, 'nothing'))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("size", [8, 32])
def test_shapes_without_files_are_those_of_the_data(size: int) -> None:
    section: Any = dict(compose(["data=digits", f"data.image_size={size}"]).data)
    data = build(section, seed=0)
    assert arguments_without_files(section) == (data.model_arguments(), data.task_arguments())


def test_every_data_option_has_a_shape_without_files() -> None:
    sections = [dict(compose([f"data={o}"]).data) for o in groups()["data"]]
    assert all(arguments_without_files(section) for section in sections)
    assert {s["_target_"] for s in sections} >= set(IMAGES)
    assert arguments_without_files({"_target_": "zoo.data.others"}) is None
