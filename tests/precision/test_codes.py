"""Codes against gfloat, torch and numpy: all of them, both ways."""

import gfloat
import numpy as np
import pytest
import torch

from tests.precision.oracles import NAMED, all_values, info, same
from zoo.precision import FORMATS, FloatFormat, decode, encode


@pytest.mark.parametrize(("name", "fmt"), NAMED)
def test_every_code_has_gfloats_value(name: str, fmt: FloatFormat) -> None:
    want = all_values(fmt).float()
    if not fmt.subnormals:
        flushed = want.abs() < fmt.min_normal
        want = torch.where(flushed, torch.zeros_like(want).copysign(want), want)
    assert same(decode(torch.arange(2**fmt.bits), fmt), want)


@pytest.mark.parametrize(("name", "fmt"), NAMED)
def test_every_value_has_its_code(name: str, fmt: FloatFormat) -> None:
    values = decode(torch.arange(2**fmt.bits), fmt)
    codes = encode(values, fmt)
    assert codes.dtype.itemsize * 8 >= fmt.bits > codes.dtype.itemsize * 4
    assert same(decode(codes, fmt), values)
    finite = values.isfinite()
    theirs = gfloat.encode_ndarray(info(fmt), values[finite].double().numpy())
    assert np.array_equal(codes[finite].to(torch.int64).numpy(), theirs)


def test_codes_of_1_6_9() -> None:
    fmt = FORMATS["fp169"]
    x = torch.tensor([1.0, fmt.max, torch.inf, fmt.min_normal, fmt.min_subnormal, 0.0, -0.0, -1.0])
    want = [0x3E00, 0x7DFF, 0x7E00, 0x0200, 0x0001, 0x0000, 0x8000, 0xBE00]
    codes = encode(x, fmt)
    assert codes.dtype == torch.uint16
    assert codes.tolist() == want
    assert encode(torch.tensor([torch.nan]), fmt).item() in range(0x7E01, 0x8000)


def test_torch_half_has_the_same_codes() -> None:
    x = torch.randn(10_000) * 2.0 ** torch.linspace(-26, 18, 10_000)
    theirs = x.half().view(torch.uint16)
    assert torch.equal(encode(x, FloatFormat(5, 10)), theirs)
    assert torch.equal(encode(x, FloatFormat(8, 7)), x.bfloat16().view(torch.uint16))


def test_a_tensor_is_stored_in_half_the_bytes() -> None:
    x = torch.randn(64, 3, 8, 8).to(memory_format=torch.channels_last)
    codes = encode(x, FORMATS["fp169"])
    assert codes.nbytes == x.nbytes // 2
    assert codes.shape == x.shape


def test_codes_are_integers() -> None:
    with pytest.raises(TypeError, match="codes are torch.float32"):
        decode(torch.zeros(3), FORMATS["fp169"])
