"""Steps of SGD's relatives on a CPU in one pass over memory: what `kernel.c` is called through.

An operation of torch reads and writes whole tensors, and on a small one costs more than its work
does. SGD's step is three such operations and these would be more; in C they are one walk through
w, g and v. Every element is rounded as torch's operations round it, in their order: the result has
the same bits. The kernel serves where this machine has a C compiler (a second, once: the program is
kept) and the program, when asked, gives torch's bits; elsewhere, and for tensors that are not on a
CPU or whose elements lie in different orders, torch's operations do the same (`divide`).
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SOURCE = Path(__file__).with_name("kernel.c")
TYPES = {
    torch.float32: ("-DREAL=float", "-DFMA=__builtin_fmaf", "-DSQRT=__builtin_sqrtf"),
    torch.float64: ("-DREAL=double", "-DFMA=__builtin_fma", "-DSQRT=__builtin_sqrt"),
}
# As the operations of torch were compiled that run here: whether a b + c is rounded once hangs on it.
CAPABILITIES = {
    "AVX2": ("-mavx2", "-mfma"),
    "AVX512": ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mavx2", "-mfma"),
}
FLAGS = ("-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")

# Elements from which on threads share the work.
SHARED = 1 << 20


class Held(NamedTuple):
    """A parameter with its gradient and its velocity."""

    w: Tensor
    g: Tensor
    v: Tensor


def divide(
    parameters: Sequence[Tensor], state: Any, velocity: str
) -> tuple[list[list[Held]], list[Tensor]]:
    """Part the parameters that have a gradient into those for the kernel and the others.

    Args:
        parameters: of a group.
        state: the optimizer's.
        velocity: its name in `state`; a parameter without one, before its first step, is another.

    Returns:
        Lists of one dtype each, for the kernel; and the others.
    """
    by_type: dict[torch.dtype, list[Held]] = {}
    others = []
    for w in parameters:
        g = w.grad
        if g is None:
            continue
        v = state[w].get(velocity) if w in state else None
        if v is not None and _fits(w, g, v):
            by_type.setdefault(w.dtype, []).append(Held(w, g, v))
        else:
            others.append(w)
    if any(_library(dtype) is None for dtype in by_type):
        return [], [w for w in parameters if w.grad is not None]
    return list(by_type.values()), others


def compensate(
    held: list[Held], each: Sequence[tuple[float, float, float]], momentum: float, decay: float
) -> None:
    """V <- m v + g;  w <- w - lr (a v + b g).

    Args:
        held: parameters of one dtype.
        each: lr, a and b of each of them.
        momentum: m.
        decay: wd; wd w is added to g.
    """
    coefficients = map(_doubles, zip(*each, strict=True))
    _run("compensate", held, *coefficients, momentum, decay, changes="wv")


class Options(ctypes.Structure):
    """Of `brake`: the struct of the same name in kernel.c."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("rho", "eps", "lr", "momentum", "dampening")),
        ("weight_decay", ctypes.c_double),
        *((name, ctypes.c_int) for name in ("nesterov", "given", "step")),
    )


def brake(held: list[Held], granularity: str, **options: Any) -> Tensor:
    """G <- alpha g with alpha = 1 - rho <g, v> / max(|g| |v|, eps), and SGD's step if `step` is set.

    Args:
        held: parameters of one dtype.
        granularity: filter, tensor, or model: all that are held.
        options: see `Options`.

    Returns:
        The cosine of every filter, tensor, or parameter.
    """
    dtype = held[0].w.dtype
    given = granularity == "model"
    if given:
        sums = torch.empty(len(held), 3, dtype=dtype, device="cpu")
        _run("sums", held, sums.data_ptr(), changes="")
        dot, gg, vv = sums.sum(0)
        cosine = (dot / (gg.sqrt() * vv.sqrt()).clamp_min(options["eps"])).repeat(len(held))
    by_filter = granularity == "filter"
    rows = [len(w) if by_filter and w.dim() > 1 else 1 for w, _, _ in held]
    if not given:
        cosine = torch.empty(sum(rows), dtype=dtype, device="cpu")
    settings = ctypes.byref(Options(given=given, **options))
    changes = "wgv" if options.get("step") else "g"
    _run("brake", held, _longs(rows), cosine.data_ptr(), settings, changes=changes)
    return cosine


def _run(name: str, held: list[Held], *arguments: Any, changes: str) -> None:
    function = getattr(_library(held[0].w.dtype), name)
    sizes = [w.numel() for w, _, _ in held]
    w, g, v = zip(*held, strict=True)
    places = [_pointers([x.data_ptr() for x in tensors]) for tensors in (w, g, v)]
    call = functools.partial(function, len(held), *places, _longs(sizes), *arguments)
    parts = torch.get_num_threads() if sum(sizes) >= SHARED else 1
    others = [_pool(os.getpid()).submit(call, part, parts) for part in range(1, parts)]
    call(0, parts)
    for other in others:
        other.result()
    # As torch's own operations do, for autograd to find out who changes what it has saved.
    for letter, tensors in (("w", w), ("g", g), ("v", v)):
        if letter in changes:
            torch.autograd.graph.increment_version(tensors)


def _pointers(values: list[int]) -> Any:
    return (ctypes.c_void_p * len(values))(*values)


def _longs(values: Sequence[int]) -> Any:
    return (ctypes.c_long * len(values))(*values)


def _doubles(values: Sequence[float]) -> Any:
    return (ctypes.c_double * len(values))(*values)


@functools.lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Return threads of this process: a forked one does not have its parent's."""
    return ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 1) - 1))


# -- what the kernel can take --------------------------------------------------------------------


def _fits(w: Tensor, g: Tensor, v: Tensor) -> bool:
    """Whether the three are plain tensors whose elements lie in one order without gaps."""
    if not (
        type(g) is Tensor
        and type(v) is Tensor
        and type(w) in (nn.Parameter, Tensor)
        and w.dtype in TYPES
        and w.dtype is g.dtype is v.dtype
        and w.is_cpu
        and g.is_cpu
        and v.is_cpu
        and g.layout is torch.strided
    ):
        return False
    shape, strides = w.shape, w.stride()
    order = _order(shape, strides)
    return (
        order is not None
        and shape == g.shape == v.shape
        and (
            strides == g.stride() == v.stride()
            or order == _order(shape, g.stride()) == _order(shape, v.stride())
        )
    )


@functools.lru_cache(maxsize=1 << 14)
def _order(shape: torch.Size, strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the strides that count if the elements fill a stretch of memory, filter by filter."""
    counting = [(stride, size) for stride, size in zip(strides, shape, strict=True) if size != 1]
    expected = 1
    for stride, size in sorted(counting):
        if stride != expected:
            return None
        expected *= size
    outermost = shape.numel() > 0 and (
        not shape or shape[0] == 1 or strides[0] * shape[0] == expected
    )
    return tuple(stride for stride, _ in counting) if outermost else None


# -- the program ---------------------------------------------------------------------------------


def compiler() -> str | None:
    """Return the path of this machine's C compiler."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def serves() -> bool:
    """Whether the program is there for every dtype and gives torch's bits; it may be compiled first."""
    return all(_library(dtype) is not None for dtype in TYPES)


def _library(dtype: torch.dtype) -> Any:
    return None if os.environ.get("ZOO_COMPILE") == "0" else _loaded(dtype)


@functools.cache
def _loaded(dtype: torch.dtype) -> Any:
    """Return the program for a dtype; None: there is no compiler, or it is none for this machine."""
    try:
        library = ctypes.CDLL(str(_compiled(TYPES[dtype])))
    except (OSError, RuntimeError, subprocess.SubprocessError):
        return None
    pointer, real, long = ctypes.c_void_p, ctypes.c_double, ctypes.c_long
    tensors: list[Any] = [long, pointer, pointer, pointer, pointer]  # how many; w, g, v, sizes
    library.compensate.argtypes = [*tensors, pointer, pointer, pointer, real, real, long, long]
    library.sums.argtypes = [*tensors, pointer, long, long]
    library.brake.argtypes = [*tensors, pointer, pointer, pointer, long, long]
    for function in (library.compensate, library.sums, library.brake):
        function.restype = None
    return library if _rounds_as_torch(library.compensate, dtype) else None


def _compiled(options: tuple[str, ...]) -> Path:
    """Compile the program, or find it where an earlier run has left it."""
    found = compiler()
    if found is None:
        raise OSError("no C compiler")
    capability = torch.backends.cpu.get_cpu_capability()
    command = [found, *FLAGS, *CAPABILITIES.get(capability, ()), *options, str(SOURCE)]
    cache = os.environ.get("ZOO_CACHE") or Path.home() / ".cache/zoo"
    folder = Path(cache) / "kernels"
    key = hashlib.sha256(" ".join([*command, platform.machine()]).encode() + SOURCE.read_bytes())
    program = folder / f"{key.hexdigest()[:16]}.so"
    if not program.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:  # a home that cannot be written
            folder = Path(tempfile.mkdtemp())
            program = folder / program.name
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            new = Path(scratch) / program.name
            subprocess.run([*command, "-o", new], check=True, capture_output=True, timeout=60)
            os.replace(new, program)
    return program


def _rounds_as_torch(compensate: Callable[..., None], dtype: torch.dtype) -> bool:
    """Whether a step gives torch's bits on some random numbers."""
    generator = torch.Generator("cpu").manual_seed(0)
    w, g, v = torch.randn(3, 517, dtype=dtype, generator=generator, device="cpu").unbind()
    lr, a, b, m, wd = 0.03, 0.7, 2.3, 0.9, 0.01
    decayed = g.add(w, alpha=wd)
    v_new = v.mul(m).add_(decayed)
    w_new = w.add(decayed.mul(b).add_(v_new, alpha=a), alpha=-lr)
    places = [_pointers([x.data_ptr()]) for x in (w, g, v)]
    numbers = [_doubles([x]) for x in (lr, a, b)]
    compensate(1, *places, _longs([w.numel()]), *numbers, m, wd, 0, 1)
    return torch.equal(w, w_new) and torch.equal(v, v_new)
