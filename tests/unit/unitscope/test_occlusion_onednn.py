"""Operations of oneDNN: equal to those of torch, with and without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unitscope.geometry.chains import step_of
from unitscope.occlusion.onednn import add_convolution, is_linear, linear

FORMAT = torch.channels_last


@pytest.fixture(params=[True, False], ids=["oneDNN", "without"])
def _with_and_without(request: pytest.FixtureRequest) -> Iterator[None]:
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(request.param)
    yield
    torch._C._set_mkldnn_enabled(enabled)


@pytest.mark.usefixtures("_with_and_without")
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_linear_layer_equals_that_of_torch(bias: bool) -> None:
    torch.manual_seed(0)
    module, inputs = nn.Linear(700, 30, bias=bias), torch.randn(33, 700)
    found = linear(module, inputs)
    expected = linear(module.double(), inputs.double())
    assert torch.equal(expected, F.linear(inputs.double(), module.weight, module.bias))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_row_does_not_depend_on_the_threads_and_the_other_rows() -> None:
    torch.manual_seed(0)
    module, inputs = nn.Linear(900, 64), torch.randn(40, 900)
    expected = linear(module, inputs)
    assert torch.equal(linear(module, inputs.flip(0)), expected.flip(0))
    threads = torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            assert torch.equal(linear(module, inputs), expected)
    finally:
        torch.set_num_threads(threads)


class Scaled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def test_a_layer_with_hooks_or_another_forward_pass_is_called() -> None:
    hooked = nn.Linear(3, 2)
    hooked.register_forward_hook(lambda module, inputs, output: 2 * output)
    assert is_linear(nn.Linear(3, 2))
    assert not any(map(is_linear, [hooked, Scaled(3, 2), nn.Identity(), None]))


@pytest.mark.usefixtures("_with_and_without")
@pytest.mark.parametrize(("stride", "groups", "padding"), [(1, 1, (2, 2)), (2, 1, (1, 3)), (1, 2, (0, 1))])
@torch.inference_mode()
def test_a_convolution_is_added(stride: int, groups: int, padding: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(32, 48, 3, stride, groups=groups).to(memory_format=FORMAT)
    inputs = torch.randn(5, 32, 7, 6).to(memory_format=FORMAT)
    step = step_of("conv", module, inputs.shape)
    assert step is not None
    convolved = F.conv2d(inputs.double(), module.weight.double(), None, stride, padding, 1, groups)
    before = torch.randn(convolved.shape).to(memory_format=FORMAT)
    maps = before.clone()
    add_convolution(maps, inputs, step, padding)
    torch.testing.assert_close(maps.double(), before.double() + convolved, rtol=1e-5, atol=1e-5)
