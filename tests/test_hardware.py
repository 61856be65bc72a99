import subprocess
from pathlib import Path

import numpy as np
import pytest

from zoo import hardware
from zoo.errors import UserError


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40", 181e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA T400", None),
        ("Tesla T4", 65e12),
        ("Some Future GPU", None),
    ],
)
def test_the_peak_is_the_dense_one_of_that_very_device(name: str, peak: float | None) -> None:
    assert hardware.peak_flops(name) == peak


def test_peak_memory_is_of_what_came_after_the_reset() -> None:
    block = np.ones(400_000_000, dtype=np.uint8)
    high = hardware.peak_memory_bytes("cpu")
    assert high > block.nbytes
    del block
    hardware.reset_peak_memory()
    assert hardware.peak_memory_bytes("cpu") < high - 300_000_000


def test_the_commit_and_whether_it_is_clean(tmp_path: Path) -> None:
    assert hardware.git_state(tmp_path).commit is None

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    hardware.git_state.cache_clear()
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "a")
    state = hardware.git_state(tmp_path)
    assert state.commit is not None
    assert len(state.commit) == 40
    assert state.clean is True
    hardware.git_state.cache_clear()
    (tmp_path / "a").write_text("2")
    assert hardware.git_state(tmp_path).clean is False


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert hardware.device_type("auto") == "cpu"
    with pytest.raises(UserError, match=r"trainer.accelerator=gpu: there is no GPU"):
        hardware.device_type("gpu")


def test_the_machine_is_described_without_its_name() -> None:
    described = hardware.describe("cpu", 1)
    assert described.cpu_threads >= 1
    assert described.memory_bytes > 1e8
    assert "torch" in hardware.libraries()
