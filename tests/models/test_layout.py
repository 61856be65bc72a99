"""Channels-last memory: refused where torch's backward pass would write beyond it."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from zoo import hardware
from zoo.errors import UserError
from zoo.models import CifarResNet
from zoo.models.layout import channels_last

# The convolution that `channels_last` lets pass or refuses, trained on a processor without AVX-512.
TRAINED = """
import sys, torch
conv = torch.nn.Conv2d(int(sys.argv[1]), 16, 1, stride=2).to(memory_format=torch.channels_last)
for _ in range(30):
    x = torch.randn(5, conv.in_channels, 16, 16).to(memory_format=torch.channels_last)
    conv(x.requires_grad_()).sum().backward()
"""


def narrow(channels: int, **options: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 16, **{"kernel_size": 1, "stride": 2, **options}))


@pytest.fixture
def _avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "instructions", lambda: "AVX2")


@pytest.mark.usefixtures("_avx2")
@pytest.mark.parametrize("channels", range(1, 8))
def test_narrow_convolutions_with_a_stride_are_refused(channels: int) -> None:
    with pytest.raises(UserError, match=rf"of 0, a 1x1 convolution of {channels} channels"):
        channels_last(narrow(channels), "cpu")


@pytest.mark.usefixtures("_avx2")
@pytest.mark.parametrize(
    "net",
    [narrow(8), narrow(12), narrow(4, stride=1), narrow(4, kernel_size=3), narrow(4, groups=4)],
)
def test_others_are_laid_out(net: nn.Module) -> None:
    assert channels_last(net, "cpu") is net
    weight = net[0].weight  # type: ignore[index]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_other_devices_and_processors_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    net = CifarResNet(in_chans=1, depth=8, width=2)
    monkeypatch.setattr(hardware, "instructions", lambda: "AVX2")
    channels_last(net, "cuda")
    with pytest.raises(UserError, match=r"trainer\.channels_last=false"):
        channels_last(net, "cpu")
    monkeypatch.setattr(hardware, "instructions", lambda: "AVX512")
    channels_last(net, "cpu")


@pytest.mark.parametrize("channels", [8, 9, 12])
def test_what_passes_trains_without_avx512(channels: int) -> None:
    """The counterpart, 1 to 7 channels, aborts the process or does not, as memory happens to lie."""
    command = [sys.executable, "-c", TRAINED, str(channels)]
    environment = {"ONEDNN_MAX_CPU_ISA": "AVX2", "MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
