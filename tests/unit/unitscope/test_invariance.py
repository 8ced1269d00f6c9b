"""Invariance: transformations against NumPy and Pillow, distances against a plain hook loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unitscope.data.images import to_input
from unitscope.description import NetworkDescription, NetworkSpecification
from unitscope.drawing.invariance import DrawnImage, draw_invariance, example_values, examples, spread
from unitscope.errors import AmbiguousLayer, InvalidArgument, NoSuchModule, NotFinite
from unitscope.features.choice import FeatureLayer, find_feature_layer, find_feature_layers, first_and_last_hidden
from unitscope.invariance.measure import Measurement
from unitscope.invariance.series import paper_series, parse_series
from unitscope.invariance.transformations import transformed
from unitscope.networks.build import build
from unitscope.networks.describe import describe_module
from unitscope.networks.features import layer_features
from unitscope.vocabulary import Interpolation, Outside, Transformation

SIZE = 33
SERIES: dict[Transformation, tuple[float, ...]] = {
    "shift": (-8, -4, 0, 4, 8),
    "scale": (1, 1.3, 1.8),
    "rotation": (0, 45, 90, 180),
}
UNCHANGED: dict[Transformation, float] = {"shift": 0, "scale": 1, "rotation": 0}


def photo(size: int = SIZE, seed: int = 0) -> torch.Tensor:
    """Return an image of smooth noise, uint8 [3, size, size]."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    picture = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)


def convolutional() -> nn.Sequential:
    """Return a network without padding: 33 pixels, maps of 8 x 8 with a stride of 4 pixels, 4 classes."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2), nn.ReLU(inplace=True), nn.Conv2d(6, 5, 2, 2), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip
    return model.eval()


LAYERS = [FeatureLayer(layer="0", path="1"), FeatureLayer(layer="2", path="3")]


# --- transformations ---


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("outside", get_args(Outside))
def test_transformations_equal_those_of_numpy(outside: Outside, interpolation: Interpolation) -> None:
    image = photo()
    for transformation, value in UNCHANGED.items():
        assert torch.equal(transformed(image, transformation, [value], outside, interpolation)[0], image)
    turned = transformed(image, "rotation", [90, 180, 270, 360, -90], outside, interpolation)
    for picture, quarters in zip(turned, (1, 2, 3, 0, 3), strict=True):
        assert torch.equal(picture, torch.rot90(image, quarters, (1, 2)))
    down, up = transformed(image, "shift", [5, -5], outside, interpolation)
    assert torch.equal(down[:, 5:], image[:, :-5])
    assert torch.equal(up[:, :-5], image[:, 5:])
    beyond = {
        "grey": torch.full((3, 1, 1), 128),
        "mean": image.double().mean((1, 2), keepdim=True).round(),
        "black": torch.zeros(3, 1, 1),
        "edge": image[:, :1],
        "mirror": image[:, :5].flip(1),
    }[outside]
    assert torch.equal(down[:, :5], beyond.to(torch.uint8).expand(3, 5, SIZE))


def test_rotations_and_scales_equal_those_of_pillow() -> None:
    image = photo()
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    for degrees in (10, 47, 200):
        expected = picture.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(128, 128, 128))
        found = transformed(image, "rotation", [degrees])[0].permute(1, 2, 0).numpy()
        inside = (slice(8, -8), slice(8, -8))  # Pillow doesn't blend with the colour outside
        assert np.abs(found[inside].astype(int) - np.asarray(expected)[inside]).max() <= 1
    (found,) = transformed(image, "scale", [2.0])
    middle = SIZE // 2
    assert torch.equal(found[:, middle % 2 :: 2, middle % 2 :: 2], image[:, 8:25, 8:25])
    centre, expected_steps = found[:, middle].int(), image[:, middle].int()
    assert torch.equal(centre[:, middle], expected_steps[:, middle])
    halfway = (expected_steps[:, middle] + expected_steps[:, middle + 1]).double() / 2
    assert (centre[:, middle + 1].double() - halfway).abs().max() <= 0.5


# --- measurements ---


def hooked(model: nn.Sequential, image: torch.Tensor) -> tuple[list[np.ndarray], np.ndarray]:
    """Return features and probabilities of an image by a plain loop over the modules."""
    values, features = to_input(image[None]).double(), []
    for index, module in enumerate(model.double()):
        values = module(values)
        if index in (1, 3):
            features.append(values.detach().numpy().copy())
    model.float()
    return features, values.detach().softmax(1)[0].numpy()


def test_distances_and_probabilities_equal_a_plain_loop() -> None:
    model, image = convolutional(), photo()
    measured = Measurement(model, LAYERS, SERIES, "edge").run(image, 2)
    clear, clear_probability = hooked(model, image)
    assert measured.clear_probability == pytest.approx(clear_probability[2], rel=1e-5)
    assert measured.clear_class == clear_probability.argmax()
    assert measured.clear_norms == pytest.approx([np.linalg.norm(features) for features in clear], rel=1e-5)
    for transformation, values in SERIES.items():
        curves = measured.curves[transformation]
        assert curves.values.tolist() == list(values)
        for column, changed in enumerate(transformed(image, transformation, values, "edge")):
            features, probability = hooked(model, changed)
            expected = [np.linalg.norm(one - other) for one, other in zip(features, clear, strict=True)]
            assert curves.distances[:, column] == pytest.approx(expected, rel=1e-4, abs=1e-5)
            assert curves.probability[column] == pytest.approx(probability[2], rel=1e-5)
            assert curves.classes[column] == probability.argmax()
        relative = curves.distances / measured.clear_norms[:, None]
        assert np.array_equal(measured.relative(transformation), relative)


@pytest.mark.parametrize("at_once", [1, 3, 32])
def test_an_unchanged_image_has_distance_0_and_the_clear_probability(at_once: int) -> None:
    measurement = Measurement(convolutional(), LAYERS, SERIES)
    measurement.at_once = at_once
    measured = measurement.run(photo(), 1)
    for transformation, value in UNCHANGED.items():
        curves = measured.curves[transformation]
        column = curves.values.tolist().index(value)
        assert curves.distances[:, column].tolist() == [0, 0]
        assert curves.probability[column] == measured.clear_probability
        assert (np.delete(curves.distances, column, 1) > 0).all()


def test_a_shift_by_the_stride_moves_the_maps_of_a_network_without_borders() -> None:
    """The network has no padding, and a stride of 4 pixels: its maps move by a row."""
    model, image = convolutional(), photo()
    shifted = transformed(image, "shift", [4], "black")
    (maps, later), _ = layer_features(model, LAYERS, to_input(torch.cat([image[None], shifted])))
    assert maps.shape[2:] == (16, 16)
    assert later.shape[2:] == (8, 8)
    assert torch.equal(later[1, :, 1:], later[0, :, :-1])
    assert torch.equal(maps[1, :, 2:], maps[0, :, :-2])


def test_all_black_features_have_no_relative_distance() -> None:
    model = convolutional()
    nn.init.constant_(model[2].bias, -1e3)  # type: ignore[arg-type]
    measured = Measurement(model, LAYERS, SERIES).run(photo(), 0)
    assert measured.clear_norms[1] == 0
    assert np.isnan(measured.relative("shift")[1]).all()
    assert not np.isnan(measured.relative("shift")[0]).any()


def test_features_that_are_not_finite_are_an_error() -> None:
    model = convolutional()
    nn.init.constant_(model[0].weight, float("nan"))  # type: ignore[arg-type]
    with pytest.raises(NotFinite):
        Measurement(model, LAYERS, SERIES).run(photo(), 0)


def test_a_batch_that_does_not_fit_is_halved() -> None:
    model, smaller = convolutional(), list[int]()
    expected = Measurement(model, LAYERS, SERIES).run(photo(), 0)

    class Limited(nn.Sequential):
        def forward(self, images: torch.Tensor) -> Any:
            if len(images) > 4:
                raise torch.OutOfMemoryError
            return super().forward(images)

    measured = Measurement(Limited(*model), LAYERS, SERIES, on_smaller=smaller.append).run(photo(), 0)
    assert smaller == [6, 3]
    np.testing.assert_allclose(measured.curves["shift"].distances, expected.curves["shift"].distances, rtol=1e-4)


# --- layers ---


def description(name: str, size: int = 64) -> NetworkDescription:
    return describe_module(build(name, 4, size), NetworkSpecification(name=name, classes=4, image_size=size))


@pytest.fixture(scope="module")
def zfnet() -> NetworkDescription:
    model = build("zfnet", 4, 64, fc=8)
    return describe_module(model, NetworkSpecification(name="zfnet", classes=4, image_size=64))


@pytest.fixture(scope="module")
def resnet() -> NetworkDescription:
    return description("resnet18")


def test_the_first_and_last_hidden_layers(zfnet: NetworkDescription, resnet: NetworkDescription) -> None:
    def found(described: NetworkDescription) -> list[tuple[str, str]]:
        return [(layer.layer, layer.path) for layer in first_and_last_hidden(described)]

    assert found(zfnet) == [("conv1", "features.1"), ("fc7", "classifier.5")]
    assert found(resnet) == [("conv1", "relu"), ("avgpool", "avgpool")]
    assert found(description("vgg11")) == [("features.0", "features.1"), ("classifier.3", "classifier.4")]
    single = describe_module(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)),
        NetworkSpecification(name="single", classes=2, image_size=16),
    )
    with pytest.raises(InvalidArgument, match="no hidden layer"):
        first_and_last_hidden(single)


def test_layers_are_found_by_name_number_and_path(zfnet: NetworkDescription, resnet: NetworkDescription) -> None:
    for identifier in ("5", "conv5", "features.10"):
        assert find_feature_layer(zfnet, identifier) == FeatureLayer(layer="conv5", path="features.11")
    assert find_feature_layer(zfnet, "7") == FeatureLayer(layer="fc7", path="classifier.5")
    assert find_feature_layer(zfnet, "fc8") == FeatureLayer(layer="fc8", path="classifier.6")
    assert find_feature_layer(zfnet, "features.12").path == "features.12"
    assert find_feature_layers(zfnet, ["5", "conv5", "1"]) == find_feature_layers(zfnet, ["conv5", "conv1"])
    second = find_feature_layer(resnet, "layer1.0.conv2")
    assert second == FeatureLayer(layer="layer1.0.conv2", path="layer1.0.relu", call=2)
    with pytest.raises(NoSuchModule, match=r"conv1 \(features.0\).*fc8"):
        find_feature_layer(zfnet, "conv9")
    with pytest.raises(AmbiguousLayer):
        find_feature_layer(resnet, "2")


def test_features_are_those_of_the_call_and_not_changed_in_place(resnet: NetworkDescription) -> None:
    torch.manual_seed(0)
    model, images = build("resnet18", 4, 64).eval(), torch.randn(2, 3, 64, 64)
    layers = find_feature_layers(resnet, ["layer1.0.conv1", "layer1.0.conv2", "layer1.0.bn1"])
    with torch.no_grad():
        features, outputs = layer_features(model, layers, images)
        before = model.maxpool(model.relu(model.bn1(model.conv1(images))))
        block = model.layer1[0]
        inner = block.bn1(block.conv1(before))
        assert torch.equal(outputs, model(images))
    expected = [inner.clamp(min=0), block(before).detach(), inner]
    for found, values in zip(features, expected, strict=True):
        torch.testing.assert_close(found, values)


# --- values ---


def test_the_values_of_the_paper() -> None:
    series = paper_series(227)
    assert (series["shift"][0], series["shift"][-1], series["shift"][1] - series["shift"][0]) == (-60, 60, 5)
    assert (series["scale"][0], series["scale"][-1]) == (1, 1.8)
    assert (series["rotation"][0], series["rotation"][-1]) == (0, 350)
    assert paper_series(224) == series
    small = paper_series(32)["shift"]
    assert (small[0], small[-1], len(small)) == (-9, 9, len(set(small)))
    for size in (16, 32, 227):
        assert all(UNCHANGED[name] in values for name, values in paper_series(size).items())


def test_values_are_parsed() -> None:
    assert parse_series("shift", "-60:60:20", 224) == (-60, -40, -20, 0, 20, 40, 60)
    assert parse_series("scale", "1:1.8:0.1", 224) == (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8)
    assert parse_series("rotation", " 90, 0,-0,45.5", 224) == (0, 45.5, 90)


WRONG: list[tuple[Transformation, str, str]] = [
    ("shift", "", "values separated by commas"),
    ("shift", "1:2", "values separated by commas"),
    ("shift", "a:b:c", "values separated by commas"),
    ("shift", "0:10:0", "a step above 0"),
    ("shift", "10:0:1", "FROM may not be above TO"),
    ("shift", "0:inf:1", "a step above 0"),
    ("shift", "0.5", "a whole number"),
    ("shift", "64", "not from -63 to 63"),
    ("scale", "0", "not from 0.1 to 10"),
    ("scale", "nan", "not from"),
    ("scale", "1:2:1e-9", "more than 500"),
    ("rotation", "1e9", "not from -360 to 360"),
    ("rotation", "1:" + "9" * 5000 + ":1", "more than 500"),
]


@pytest.mark.parametrize(("transformation", "text", "says"), WRONG)
def test_invalid_values_are_reported(transformation: Transformation, text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as error:
        parse_series(transformation, text, 64)
    assert len(str(error.value)) < 300


# --- figures ---


def test_examples_are_spread_over_the_values() -> None:
    assert example_values(SERIES["shift"]) == [-8, -4, 0, 4, 8]
    assert example_values(range(11)) == [0, 2, 5, 8, 10]
    assert spread(3) == [0, 1, 2]
    assert spread(20, 5) == [2, 6, 10, 14, 18]
    pictures = examples(photo(), SERIES, "grey", "bilinear")
    assert {name: len(shown) for name, shown in pictures.items()} == {"shift": 5, "scale": 3, "rotation": 4}


def drawn(count: int) -> Sequence[DrawnImage]:
    measurement = Measurement(convolutional(), LAYERS, SERIES)
    return [
        DrawnImage("a $class", measurement.run(image, 0), examples(image, SERIES, "grey", "bilinear"))
        for image in (photo(seed=seed) for seed in range(count))
    ]


def test_the_figure_is_a_picture() -> None:
    images = drawn(3)
    mean = images[0].measured
    assert draw_invariance("a $title", ["0", "2"], images, mean).startswith(b"\x89PNG")
