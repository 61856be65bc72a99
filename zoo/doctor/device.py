"""What computes: the device, its number formats and threads, and what compiles for it."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from typing import Any

from zoo.doctor.check import Check, private
from zoo.errors import first_line
from zoo.overrides import ROOT


def device() -> Iterator[Check]:
    """Yield lines about the device; where torch cannot be imported that is the only one."""
    try:
        import torch

        from zoo.hardware import describe, device_type, multiplies_bf16
    except (ImportError, OSError) as error:
        yield Check("device", "broken", f"torch does not start: {private(first_line(error))}",
                    "pip install --force-reinstall torch")  # fmt: skip
        return
    kind = device_type("auto")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    here = describe(kind, count)
    name = f"{here.device_name}{f' x {count}' if count > 1 else ''}"
    yield Check("device", "ok", f"{kind}: {name}, {here.instructions}")
    if kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        yield Check("bf16", "slow", "this GPU has no instructions for it", "precision=fp16")
    elif kind == "cpu" and not multiplies_bf16():
        yield Check("bf16", "slow", "no instructions for it: some 50 times fp32's time",
                    "precision=fp32")  # fmt: skip
    else:
        yield Check("bf16", "ok", "instructions for it")
    yield threads(torch.get_num_threads(), _usable_cores(), os.environ.get("OMP_NUM_THREADS"))
    yield from _compiled(kind)


def threads(count: int, cores: int, variable: str | None) -> Check:
    """Hold torch's threads against the cores that this process may use.

    Args:
        count: of threads.
        cores: that this process may use.
        variable: OMP_NUM_THREADS, None where it is not set.
    """
    detail = f"{count} on {cores} cores, OMP_NUM_THREADS={variable or 'not set'}"
    if count > cores or (count < cores and variable):
        return Check("threads", "slow", detail, f"export OMP_NUM_THREADS={cores}")
    return Check("threads", "ok", detail)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


OFF = "switched off"
SWITCH_ON = "unset ZOO_COMPILE"


def _compiled(kind: str) -> Iterator[Check]:
    kernel = _kernel()
    off = os.environ.get("ZOO_COMPILE") == "0"
    found = kernel.compiler()
    if found is None:
        yield Check("C compiler", "missing", "no cc, gcc or clang", "apt install gcc")
    else:
        yield Check("C compiler", "ok", private(found))
    if off:
        yield Check("optimizer kernel", "slow", OFF, SWITCH_ON)
    elif found is None:
        yield Check("optimizer kernel", "slow", "torch's operations instead", "apt install gcc")
    elif not kernel.serves():
        yield Check("optimizer kernel", "slow", "does not compile, or not to torch's bits here: "
                    "torch's operations instead")  # fmt: skip
    else:
        yield Check("optimizer kernel", "ok", "gives torch's bits")
    if off:
        yield Check("torch.compile", "slow", f"{OFF} for number formats", SWITCH_ON)
    else:
        yield _triton() if kind == "cuda" else inductor()


def _kernel() -> Any:
    """Load zoo/optim/kernel.py alone: the package around it imports timm, which takes seconds."""
    spec = importlib.util.spec_from_file_location("zoo_kernel", ROOT / "zoo/optim/kernel.py")
    assert spec is not None
    assert spec.loader is not None
    kernel = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kernel)
    return kernel


def inductor() -> Check:
    """Say whether torch.compile's back end can work on a CPU: a C++ compiler that finds Python.h.

    Nothing is compiled, which would take seconds; the compiler only reads a program of two lines.
    """
    what = "torch.compile"
    words = shlex.split(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++"))
    if not words or shutil.which(words[0]) is None:
        return Check(what, "missing", f"no {' '.join(words)}: emulated formats run 5 times slower",
                     "apt install g++")  # fmt: skip
    headers = sysconfig.get_paths()["include"]
    command = [*words, "-fsyntax-only", f"-I{headers}", "-x", "c++", "-"]
    program = "#include <Python.h>\n#include <vector>\n"
    try:
        subprocess.run(
            command, input=program, text=True, capture_output=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return Check(what, "missing", f"{words[0]} does not find Python.h or its own headers",
                     f"apt install g++ python{sys.version_info[0]}.{sys.version_info[1]}-dev")  # fmt: skip
    return Check(what, "ok", f"inductor, by {private(words[0])}")


def _triton() -> Check:
    if importlib.util.find_spec("triton") is None:
        return Check("torch.compile", "missing", "inductor wants triton", "pip install triton")
    return Check("torch.compile", "ok", "inductor, by triton")
