"""What a run ran on: devices, versions, peak memory, and dense peak FLOP/s for MFU."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import torch

from zoo.errors import UserError
from zoo.leaderboard.record import Git, Hardware

# Dense FLOP/s of one GPU with bf16 or fp16 inputs and fp32 accumulation, from the makers' data
# sheets; figures "with sparsity" halved. Words of the device's name -> FLOP/s; first match wins.
DENSE_PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "V100": 125e12,
    "T4": 65e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def device_type(accelerator: str) -> str:
    """Return cpu, cuda or mps for `trainer.accelerator`.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if accelerator == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    if accelerator == "gpu":
        raise UserError(
            "trainer.accelerator=gpu: there is no GPU that torch can use; type trainer.accelerator=cpu"
        )
    return "cpu"


def describe(device: str, count: int) -> Hardware:
    """Describe the machine without naming it."""
    driver = None
    name = cpu_name()
    if device == "cuda":
        name = torch.cuda.get_device_name()
        driver = _nvidia_driver()
    return Hardware(
        device=device,  # type: ignore[arg-type]
        device_name=name,
        device_count=count,
        cpu_name=cpu_name(),
        cpu_threads=torch.get_num_threads(),
        instructions=instructions(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        driver=driver,
    )


def cpu_name() -> str:
    """Return what the processor calls itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def instructions() -> str:
    """Return the widest vector instructions that torch's kernels use here: AVX2, AVX512, ...

    Processors of one name differ in them, and then in speed and in the order of sums, so in bits.
    """
    return torch.backends.cpu.get_cpu_capability()


def multiplies_bf16() -> bool:
    """Whether this processor has instructions for bf16; without them it is some 50 times slower."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _nvidia_driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.splitlines()[0].strip()
    return None


def peak_flops(device_name: str) -> float | None:
    """Return the dense peak of one GPU, or None for a device that the table does not know."""
    for words, peak in DENSE_PEAK_FLOPS.items():
        if re.search(rf"\b{words}\b", device_name):  # an RTX A1000 is no A100
            return peak
    return None


def reset_peak_memory() -> None:
    """Start counting peak memory anew, so that a sweep's jobs do not inherit each other's."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_bytes(device: str) -> int:
    """Return the peak since `reset_peak_memory`: of the GPU's allocator, else of the process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def libraries() -> dict[str, str]:
    """Return the versions of what computes."""
    names = (
        "torch", "torchvision", "lightning", "torchmetrics", "timm", "hydra-core", "numpy",
        "transformers", "tokenizers", "peft",
    )  # fmt: skip
    found = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@functools.cache
def git_state(root: Path) -> Git:
    """Return the commit of a checkout and whether nothing in it was changed; empty outside one.

    Asked once a process: the code that a sweep's last job runs is the code of its start.
    """

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        return Git(commit=git("rev-parse", "HEAD"), clean=not git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return Git(commit=None, clean=None)
