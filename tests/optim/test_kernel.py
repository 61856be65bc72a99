"""When the kernel serves, when it does not, and that nobody can tell from the numbers."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.optim import AdaptiveBraking, CompensatedSGD, kernel

needs_a_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler"
)


@pytest.fixture
def afresh() -> Iterator[None]:
    kernel._loaded.cache_clear()
    yield
    kernel._loaded.cache_clear()


def divided(w: Tensor, g: Any, v: Tensor) -> bool:
    """Whether the kernel takes the parameter."""
    p = nn.Parameter(w)
    p.grad = g
    quick, others = kernel.divide([p], {p: {"v": v}}, "v")
    assert [h.w for held in quick for h in held] + others == [p]
    return bool(quick)


@needs_a_compiler
def test_what_the_kernel_takes() -> None:
    x, images = torch.randn(4, 6), torch.randn(4, 3, 2, 2)
    last = images.to(memory_format=torch.channels_last)
    assert divided(x, x.clone(), x.clone())
    assert divided(last, last.clone(), last.clone())
    assert divided(x.double(), x.double(), x.double())
    dot = torch.randn(4, 3, 1, 1)  # one order, whatever strides of one element say
    assert divided(dot, dot.to(memory_format=torch.channels_last), dot.clone())


def test_what_is_left_to_torch() -> None:
    x, images = torch.randn(4, 6), torch.randn(4, 3, 2, 2)
    last = images.to(memory_format=torch.channels_last)
    assert not divided(images, images.clone(), last)
    assert not divided(last, images.clone(), last.clone())
    assert not divided(x.t(), x.t(), x.t())  # its filters are not one after another
    assert not divided(x[:, :3], x[:, :3].clone(), x[:, :3].clone())  # gaps
    assert not divided(x, torch.ones(6).expand(4, 6), x.clone())  # one row four times
    assert not divided(x, x.clone(), x.double())
    assert not divided(x, x.clone(), torch.randn(4, 7))
    assert not divided(x.half(), x.half(), x.half())
    assert not divided(x, x.to_sparse(), x.clone())
    assert not divided(torch.empty(0, 3), torch.empty(0, 3), torch.empty(0, 3))


def stepped(make: Any) -> list[Tensor]:
    torch.manual_seed(0)
    ps = [nn.Parameter(torch.randn(s)) for s in ((7, 9), (5,), (1, 300), (64, 33))]
    optimizer = make(ps)
    for _ in range(3):
        for p in ps:
            p.grad = torch.randn_like(p)
        optimizer.step()
    return [p.detach() for p in ps]


OPTIMIZERS = [
    lambda ps: CompensatedSGD(ps, delay=4),
    AdaptiveBraking,
    lambda ps: AdaptiveBraking(ps, granularity="tensor"),
    lambda ps: AdaptiveBraking(ps, granularity="model"),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_work_to_the_same_bits(
    make: Any, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = stepped(make)
    monkeypatch.setattr(kernel, "SHARED", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert all(torch.equal(a, b) for a, b in zip(stepped(make), alone, strict=True))


@needs_a_compiler
def test_without_a_compiler_torch_makes_the_step(
    afresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = stepped(OPTIMIZERS[0])
    assert kernel._loaded(torch.float32) is not None
    kernel._loaded.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert all(torch.equal(a, b) for a, b in zip(stepped(OPTIMIZERS[0]), compiled, strict=True))
    assert kernel._loaded(torch.float32) is None


@needs_a_compiler
def test_a_compiler_that_fails_is_none(afresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **options: Any) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(kernel, "FLAGS", (*kernel.FLAGS, "-DOTHER"))  # not in the cache
    monkeypatch.setattr(subprocess, "run", fail)
    assert kernel._loaded(torch.float32) is None


@needs_a_compiler
def test_a_program_that_rounds_otherwise_is_not_used(
    afresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "kernel.c"
    whole = kernel.SOURCE.read_text()
    source.write_text(whole.replace("m * v[i] + d", "plus(d, m, v[i]) * (real)1.0000001"))
    monkeypatch.setattr(kernel, "SOURCE", source)
    assert kernel._loaded(torch.float32) is None


@needs_a_compiler
def test_a_home_that_cannot_be_written_is_no_hindrance(
    afresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    assert kernel._loaded(torch.float32) is not None


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_autograd_finds_out_that_weights_have_changed(make: Any) -> None:
    p, x = nn.Parameter(torch.ones(3, 3)), torch.ones(3, 3, requires_grad=True)
    optimizer = make([p])
    for _ in range(2):
        p.grad = torch.ones(3, 3)
        optimizer.step()
    loss = (x @ p).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_what_has_not_changed_has_no_new_version() -> None:
    for make in (OPTIMIZERS[0], AdaptiveBraking):
        p = nn.Parameter(torch.ones(3, 3))
        optimizer = make([p])
        for _ in range(2):
            p.grad = torch.ones(3, 3)
            optimizer.step()
        assert (p.grad._version > 0) == isinstance(optimizer, AdaptiveBraking)
    before = p._version
    optimizer.brake()
    assert p._version == before
