"""Receptive fields: the paper's numbers, and comparison with changing pixels one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unitscope.geometry.receptive_fields import trace
from unitscope.networks import build as networks


def convolutions(name: str, size: int) -> list[tuple[int, int, int]]:
    """(rows of the map, receptive field, stride) of every convolution."""
    model = networks.build(name, classes=10, image_size=size)
    return [
        (layer.output_shape[1], layer.geometry.size, layer.geometry.stride)
        for layer in trace(model, size).layers
        if isinstance(layer.module, nn.Conv2d) and layer.geometry
    ]


def test_zfnet_paper_has_the_papers_maps_fields_and_strides() -> None:
    found = convolutions("zfnet-paper", 224)
    assert found == [(110, 7, 2), (26, 27, 8), (13, 75, 16), (13, 107, 16), (13, 139, 16)]


def test_the_replications_network() -> None:
    assert [field for _, field, _ in convolutions("zfnet", 227)] == [7, 27, 75, 107, 139]
    assert [rows for rows, _, _ in convolutions("zfnet", 227)] == [113, 28, 13, 13, 13]


def test_a_residual_network_is_no_chain_and_has_the_field_of_its_widest_path() -> None:
    traced = trace(networks.build("resnet18", 10, 224), 224)
    fields = {layer.path: layer.geometry.size for layer in traced.layers if layer.geometry}
    assert not traced.chain
    assert fields["layer1.0.conv2"] == 27
    assert fields["layer4.1.conv2"] == 435


@pytest.mark.parametrize(
    "name", ["vgg11", "squeezenet1_0", "mobilenet_v2", "resnet50", "densenet121", "googlenet"]
)
def test_torchvisions_networks_can_be_traced(name: str) -> None:
    traced = trace(networks.build(name, 10, 224), 224)
    assert any(isinstance(layer.module, nn.Conv2d) and layer.geometry for layer in traced.layers)


def test_an_image_too_small_for_the_network_is_an_error() -> None:
    with pytest.raises(ValueError, match=r".+"):
        trace(networks.build("alexnet", 10, 224), 20)


@st.composite
def chains(draw: st.DrawFn) -> nn.Sequential:
    """Draw small networks of convolutions, poolings and sums of two branches."""
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        kernel = draw(st.integers(1, 4))
        stride = draw(st.integers(1, 2))
        if draw(st.booleans()):
            dilation = draw(st.integers(1, 2))
            layers.append(nn.Conv2d(3, 3, kernel, stride, draw(st.integers(0, 2)), dilation))
        else:
            layers.append(nn.MaxPool2d(kernel, stride, draw(st.integers(0, kernel // 2))))
    return nn.Sequential(*layers)


@given(chains(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_pixels_outside_the_field_have_no_effect_and_its_corners_do(model: nn.Sequential, random: object) -> None:
    size = 40
    try:
        layer = trace(model, size).layers[-1]
    except ValueError:
        return  # the image is too small for this network
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    _, rows, columns = layer.output_shape
    row, col = rows // 2, columns // 3
    top, left, bottom, right = layer.geometry.window(row, col)
    pixels = torch.zeros(1, 3, size, size)
    field = pixels[:, :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    outside = torch.ones_like(pixels)
    outside[:, :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 0
    with torch.no_grad():
        still = model(pixels)[0, :, row, col]
        assert torch.equal(model(pixels + outside)[0, :, row, col], still)
        if field.numel():
            field[..., 0, 0] = field[..., -1, -1] = 1e3
            gaps = any(isinstance(m, nn.Conv2d) and m.dilation[0] > 1 for m in model) or any(
                max(m.kernel_size if isinstance(m.kernel_size, tuple) else (m.kernel_size,))
                < max(m.stride if isinstance(m.stride, tuple) else (m.stride,))
                for m in model
            )
            cut = top < 0 or left < 0 or bottom > size or right > size
            assert gaps or cut or not torch.equal(model(pixels)[0, :, row, col], still)
