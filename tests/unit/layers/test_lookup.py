"""Layers by name, number, path and pattern, and forms that are not known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import unitscope as us
from tests.unit.layers.networks import CASES, made
from unitscope.description import NetworkDescription
from unitscope.errors import AmbiguousLayer, LayerWithoutUnits, NoSuchLayer, UnknownLayer
from unitscope.layers.forms import NO_PLACE, LayerForm, known_place, known_places
from unitscope.layers.lookup import find_layer, find_layers, layers_of_units


@pytest.fixture(scope="module")
def resnet() -> NetworkDescription:
    return us.describe(us.Network(torchvision.models.resnet18(weights=None), size=64))


@pytest.fixture(scope="module")
def zfnet() -> NetworkDescription:
    return us.load_network("zfnet", size=64, classes=5, fc=16).description


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("conv5", "features.10"),
        ("5", "features.10"),
        ("fc6", "classifier.1"),
        ("fc7", "classifier.4"),
        ("fc8", "classifier.6"),
        ("scores", "classifier.6"),
        ("features.11", "features.11"),
        ("features", "features"),
    ],
)
def test_layers_of_a_network_with_names(zfnet: NetworkDescription, said: str, path: str) -> None:
    assert find_layer(zfnet, said).path == path


def test_patterns_match_parts_of_paths(resnet: NetworkDescription) -> None:
    def paths(*said: str) -> list[str]:
        return [layer.path for layer in find_layers(resnet, said)]

    assert paths("layer3.*.conv2") == ["layer3.0.conv2", "layer3.1.conv2"]
    assert paths("layer?") == ["layer1", "layer2", "layer3", "layer4"]
    assert paths("layer[12].0.bn[!2]") == ["layer1.0.bn1", "layer2.0.bn1"]
    assert paths("**.downsample") == ["layer2.0.downsample", "layer3.0.downsample", "layer4.0.downsample"]
    assert paths("scores", "layer1.0", "layer1.*") == ["layer1.0", "layer1.1", "fc"]
    assert find_layers(resnet, ["*"])[0].path == "conv1"


def test_layers_are_in_execution_order(resnet: NetworkDescription) -> None:
    paths = [layer.path for layer in layers_of_units(resnet)]
    assert len(set(paths)) == len(paths)
    order = ["conv1", "maxpool", "layer1.0.conv1", "layer1.0.conv2", "layer1.0", "layer1.1.conv1", "layer1", "fc"]
    assert sorted(order, key=paths.index) == order


def test_blocks_are_listed_in_groups(resnet: NetworkDescription) -> None:
    line = next(line for line in str(resnet).splitlines() if line.startswith("blocks"))
    assert "layer*.* (8)" in line
    assert "layer*.*.downsample (3)" in line
    assert len(line) < 120


def test_unknown_layers_are_reported_with_similar_names(
    resnet: NetworkDescription, zfnet: NetworkDescription
) -> None:
    with pytest.raises(UnknownLayer, match=r"no layer 'layer3.0.conv3' \(did you mean .*layer3\.0\.conv"):
        find_layer(resnet, "layer3.0.conv3")
    with pytest.raises(UnknownLayer, match=r"no layer 'fc9' \(did you mean fc"):
        find_layer(zfnet, "fc9")
    with pytest.raises(UnknownLayer, match=r"no layer 'layer9\.\*'"):
        find_layers(resnet, ["layer9.*"])
    with pytest.raises(UnknownLayer, match=r"\[9-0\]"):
        find_layers(resnet, ["layer[9-0]"])
    with pytest.raises(AmbiguousLayer):
        find_layer(resnet, "3")
    with pytest.raises(NoSuchLayer):
        find_layer(zfnet, "9")


class Windows(nn.Module):
    """A network with outputs of which the units are not known, or that have none."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.split, self.pick, self.signs = nn.Conv2d(3, 4, 8, 8), Split(), Pick(), Signs()
        self.square = Square()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return self.split(x).sum() + self.pick(x) + self.signs(x).sum() + self.square(x).sum()


class Split(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).transpose(1, 2).reshape(-1, 4)


class Pick(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[0, 0, 0, 0]


class Signs(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x > 0


class Square(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2)
        return tokens @ tokens.transpose(1, 2)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ("split", "not the number of images"),
        ("pick", "no maps, vectors or tokens"),
        ("signs", "no real numbers"),
        ("square", "not known which dimension are the channels"),
    ],
)
def test_outputs_without_known_units_are_refused(layer: str, says: str) -> None:
    network = us.Network(Windows(), size=32)
    with pytest.raises(LayerWithoutUnits, match=says):
        find_layer(network.description, layer)
    assert layer not in [found.path for found in layers_of_units(network.description)]


def test_places_and_squares_of_tokens() -> None:
    form = LayerForm(kind="tokens", units=3, channels_last=True, rows=3, columns=3, before=2)
    assert form.title == "tokens 3 x 3 + 2"
    places = [form.place(position) for position in range(11)]
    assert places[:3] == [(NO_PLACE, 0), (NO_PLACE, 1), (0, 0)]
    assert places[-1] == (2, 2)
    assert [form.at(*place) for place in places] == [(0, position) for position in range(11)]
    assert form.square(NO_PLACE, 0, 64) is None
    squares = [form.square(row, col, 64) for row, col in places[2:]]
    covered = torch.zeros(64, 64)
    for square in squares:
        assert square is not None
        top, left, bottom, right = square
        assert (bottom - top, right - left) == (22, 22)
        assert bottom <= 64
        assert right <= 64
        covered[top:bottom, left:right] = 1
    assert covered.all()


def test_the_grid_is_that_of_the_square_of_tokens_if_no_maps_come_before() -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.token = nn.Linear(3 * 64, 10), nn.Parameter(torch.zeros(1, 2, 10))
            self.norm = nn.LayerNorm(10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            patches = nn.functional.unfold(x, 8, stride=8).transpose(1, 2)
            tokens = self.embed(patches)
            return self.norm(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1))

    description = us.describe(us.Network(Patches(), size=32))
    assert find_layer(description, "embed").form == LayerForm(
        kind="tokens", units=10, channels_last=True, rows=4, columns=4
    )
    assert find_layer(description, "norm").form == LayerForm(
        kind="tokens", units=10, channels_last=True, rows=4, columns=4, before=2
    )


def test_a_module_that_cannot_be_traced_has_the_same_forms() -> None:
    class Untraceable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = made(CASES["vit"])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x if x.mean() > -1e9 else -x)

    plain = us.describe(us.Network(made(CASES["vit"]), size=64))
    other = us.describe(us.Network(Untraceable(), size=64))
    for path in CASES["vit"].layers:
        assert find_layer(other, f"inner.{path}").form == find_layer(plain, path).form


def test_scores_are_the_networks_output() -> None:
    chain = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(3 * 32 * 32, 4), nn.ReLU(inplace=True)))
    assert find_layer(us.describe(us.Network(chain, size=32)), "scores").path == "1.1"
    last = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(3 * 32 * 32, 4)))
    assert find_layer(us.describe(us.Network(last, size=32)), "scores").path == "1.0"
    several = us.describe(us.Network(made(CASES["several"]), size=32))
    assert find_layer(several, "scores").path == "one"


def test_rows_and_columns_of_activations_without_a_place_are_none() -> None:
    assert known_place(NO_PLACE, 3) == (None, None)
    assert known_place(np.int32(2), np.int32(3)) == (2, 3)  # type: ignore[arg-type]
    rows, columns = known_places(np.array([2, NO_PLACE]), np.array([3, 4]))
    assert (rows.tolist(), columns.tolist()) == ([2, None], [3, None])
    rows, columns = known_places(np.array([2, 0]), np.array([3, 4]))
    assert (rows.tolist(), columns.tolist()) == ([2, 0], [3, 4])
