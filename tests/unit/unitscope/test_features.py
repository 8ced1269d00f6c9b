"""Feature maps equal those of an independent hook loop, in-place ReLUs and repeated modules included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unitscope.description import NetworkSpecification
from unitscope.drawing.features import (
    LARGEST_GRID,
    SHEET_LAYERS,
    MeanMap,
    channel_grid,
    draw_map,
    feature_sheet,
    heading_lines,
    overview,
    sheet_row,
)
from unitscope.errors import InvalidArgument, NoSuchLayer, NotFinite
from unitscope.features.extraction import extract_features, summarized
from unitscope.features.layers import find_layers, layers_with_maps
from unitscope.networks.build import build
from unitscope.networks.describe import describe_module

SIZE = 48


class Block(nn.Module):
    """A residual block with one in-place ReLU, which runs twice, and overwrites the output of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv2(self.relu(self.conv1(x))) + x)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.block = Block()
        self.last = nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = F.relu_(self.last(self.block(self.stem(x))))  # no module: it overwrites the output of ``last``
        return self.head(maps.mean((2, 3)))


@pytest.fixture(scope="module")
def model() -> Small:
    torch.manual_seed(1)
    return Small().eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def described(model: nn.Module) -> Any:
    return describe_module(model, NetworkSpecification(name="net", classes=5, image_size=SIZE))


def by_hand(model: Small, image: torch.Tensor) -> dict[tuple[str, int], torch.Tensor]:
    """Compute each output with the functional interface, without hooks and without working in place."""
    conv = lambda module, x: F.conv2d(x, module.weight, module.bias, module.stride, module.padding)  # noqa: E731
    stem: Any = model.stem
    with torch.no_grad():
        first = conv(stem[0], image)
        rectified = first.relu()
        pooled = F.max_pool2d(rectified, 2)
        inner = conv(model.block.conv1, pooled)
        inner_relu = inner.relu()
        outer = conv(model.block.conv2, inner_relu)
        out = (outer + pooled).relu()
        last = conv(model.last, out)
    return {
        ("stem.0", 1): first,
        ("stem.1", 1): rectified,
        ("stem.2", 1): pooled,
        ("block.conv1", 1): inner,
        ("block.relu", 1): inner_relu,
        ("block.conv2", 1): outer,
        ("block.relu", 2): out,
        ("last", 1): last,
    }


# --- extraction ---


def test_layers_with_maps_are_listed_with_each_run(model: Small, image: torch.Tensor) -> None:
    runs = [(run.path, run.call) for run in layers_with_maps(described(model))]
    assert runs == list(by_hand(model, image))


def test_features_equal_a_computation_without_hooks(model: Small, image: torch.Tensor) -> None:
    expected = by_hand(model, image)
    found = extract_features(model, image, expected.keys(), expected.keys())
    assert list(found) == list(expected)
    for place, maps in expected.items():
        features = found[place]
        assert features.shape == tuple(maps.shape[1:])
        assert features.maps is not None
        assert np.allclose(features.maps, maps[0].numpy(), atol=1e-6)
        assert np.allclose(features.mean_map, maps[0].mean(0).numpy(), atol=1e-6)
        assert features.mean == pytest.approx(maps.mean().item(), abs=1e-6)
        assert (features.minimum, features.maximum) == pytest.approx((maps.min().item(), maps.max().item()))
        assert features.positive_share == pytest.approx((maps > 0).float().mean().item(), abs=1e-3)


def test_a_convolution_keeps_its_negative_values_before_an_in_place_relu(
    model: Small, image: torch.Tensor
) -> None:
    found = extract_features(model, image, {("stem.0", 1), ("stem.1", 1), ("last", 1)}, {("stem.0", 1)})
    assert found["stem.0", 1].minimum < 0
    assert found["stem.1", 1].minimum == 0
    assert found["last", 1].minimum < 0
    assert found["last", 1].maps is None


@pytest.mark.parametrize("name", ["zfnet", "resnet18"])
def test_features_of_named_networks_equal_an_independent_hook_loop(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, 5, 64, **({"fc": 8} if name == "zfnet" else {})).eval()
    specification = NetworkSpecification(name=name, classes=5, image_size=64)
    runs = layers_with_maps(describe_module(network, specification))
    places = [(run.path, run.call) for run in runs]
    batch = torch.randn(1, 3, 64, 64)
    expected: dict[str, list[torch.Tensor]] = {}
    handles = [
        network.get_submodule(path).register_forward_hook(
            lambda module, inputs, output, path=path: expected.setdefault(path, []).append(output.clone())
        )
        for path in {path for path, _ in places}
    ]
    with torch.no_grad():
        network(batch)
    for handle in handles:
        handle.remove()
    found = extract_features(network, batch, places, places)
    assert set(found) == set(places)
    for path, call in places:
        maps = found[path, call].maps
        assert maps is not None
        assert np.array_equal(maps, expected[path][call - 1][0].numpy())


def test_values_that_are_not_finite_are_an_error(model: Small) -> None:
    with pytest.raises(NotFinite, match=r"stem\.0"):
        extract_features(model, torch.full((1, 3, SIZE, SIZE), torch.nan), {("stem.0", 1)})


def test_silent_channels_have_no_positive_value() -> None:
    maps = np.stack([np.full((2, 2), value, np.float32) for value in (-1, 0, 0.5)])
    assert summarized(("x", 1), maps, keep=False).silent == 2


def test_layers_are_found_by_path_and_others_are_refused(model: Small) -> None:
    description = described(model)
    assert [(run.path, run.call) for run in find_layers(description, ["last", "block.relu"])] == [
        ("block.relu", 1), ("block.relu", 2), ("last", 1),
    ]  # fmt: skip
    with pytest.raises(InvalidArgument, match="has no feature maps: its output has the shape 5"):
        find_layers(description, ["head"])
    with pytest.raises(NoSuchLayer):
        find_layers(description, ["stem.9"])


# --- pictures ---


def means(count: int) -> list[MeanMap]:
    values = np.random.default_rng(0).random((count, 5, 7), np.float32)
    return [MeanMap(f"features.{number}", 3, values[number]) for number in range(count)]


def test_a_map_is_drawn_from_its_least_to_its_largest_value() -> None:
    drawn = draw_map(np.array([[0.0, 1.0, 2.0]]), 0, 2)
    assert drawn[0, 0].tolist() == [68, 1, 84]  # viridis
    assert drawn[0, 2].tolist() == [253, 231, 37]
    assert draw_map(np.full((2, 2), 3.0), 3, 3)[1, 1].tolist() == [68, 1, 84]


@pytest.mark.parametrize(("shape", "cell"), [((2048, 7, 7), 42), ((64, 112, 112), 112), ((9, 500, 500), 224)])
def test_a_grid_of_channels_is_square_and_bounded(shape: tuple[int, int, int], cell: int) -> None:
    maps = np.random.default_rng(0).random(shape, np.float32)
    grid = channel_grid("title", maps)
    columns = math.ceil(math.sqrt(shape[0]))
    assert grid.shape[1] == columns * (cell + 4) - 4 + 2 * 16
    assert grid.shape[1] <= LARGEST_GRID
    assert columns * cell < grid.shape[0] < columns * (cell + 20) + 150


def test_a_shared_scale_keeps_the_differences_between_channels() -> None:
    maps = np.stack([np.linspace(0, 1, 16), np.linspace(0, 0.1, 16)]).reshape(2, 4, 4).astype(np.float32)
    own, shared = (channel_grid("t", maps, scale) for scale in ("own", "shared"))
    light = (own == (253, 231, 37)).all(2).sum(), (shared == (253, 231, 37)).all(2).sum()
    assert light[0] == 2 * light[1] > 0


def test_the_overview_has_a_panel_for_each_layer() -> None:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    few, many = overview("t", pixels, means(3)), overview("t", pixels, means(30))
    assert few.shape[1] < many.shape[1]
    assert many.shape[0] > 4 * 128


def test_the_sheet_shows_some_of_many_layers_and_says_so() -> None:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    layers = means(60)
    row = sheet_row(pixels, layers)
    sheet = feature_sheet("t", [layer.name for layer in layers], [("a", row), ("b", row)])
    assert row.shape[1] == (SHEET_LAYERS + 1) * 76 - 4
    assert sheet.shape[0] > 2 * row.shape[0]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("conv1", ("conv1", "")),
        ("features.11 ReLU", ("features.11", "ReLU")),
        ("layer1.0.relu ReLU (2)", ("layer1.0.relu", "ReLU (2)")),
    ],
)
def test_a_heading_of_the_sheet_is_whole(name: str, lines: tuple[str, str]) -> None:
    assert heading_lines(name) == lines


def test_a_long_heading_keeps_the_end_of_the_name_and_the_start_of_the_type() -> None:
    module, kind = heading_lines("layer1.0.downsample.branch.1 AdaptiveAveragePooling2d")
    assert module[0] == "…"
    assert "layer1.0.downsample.branch.1".endswith(module[1:])
    assert kind[-1] == "…"
    assert kind.startswith("Adaptive")
