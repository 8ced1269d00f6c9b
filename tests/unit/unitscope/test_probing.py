"""Linear probes: layers, features, and classifiers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unitscope.data.images import Batch, ImageSource, to_input
from unitscope.description import NetworkDescription, NetworkSpecification
from unitscope.drawing.probing import ProbePoint, draw_probes, probe_figure
from unitscope.errors import InvalidArgument, NoFeatures, NoSuchModule, NotFinite
from unitscope.networks.build import build
from unitscope.networks.describe import describe_module
from unitscope.probing.classifiers import STRENGTHS, fit_probe, mean_class_accuracy
from unitscope.probing.features import read_features
from unitscope.probing.layers import pooled_grid, probed_layers

SIZE = 64


def described(model: nn.Module, name: str = "zfnet", size: int = SIZE) -> NetworkDescription:
    return describe_module(model, NetworkSpecification(name=name, classes=5, image_size=size))


@pytest.fixture(scope="module")
def zfnet() -> nn.Module:
    torch.manual_seed(2)
    return build("zfnet", 5, SIZE, fc=16, maps=(12, 8, 8)).eval()


def batch_of(count: int, size: int = SIZE, seed: int = 0) -> Batch:
    """A padded batch of random images."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count + 3, 3, size, size), dtype=torch.uint8, generator=generator)
    return Batch(pixels, [ImageSource(number, Path(f"{number}.png")) for number in range(count)])


# --- layers ---


def test_default_layers_are_convolutions_and_hidden_linear_layers_after_their_relu(zfnet: nn.Module) -> None:
    layers = probed_layers(described(zfnet))
    assert [layer.layer for layer in layers] == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    assert [layer.path for layer in layers[:2]] == ["features.0", "features.3"]
    assert [layer.read_path for layer in layers[:2]] == ["features.1", "features.4"]
    modules = dict(zfnet.named_modules())
    assert all(isinstance(modules[layer.read_path], nn.ReLU) for layer in layers)


def test_the_activation_after_batch_normalization_is_read() -> None:
    layers = probed_layers(described(build("cifar-cnn", 5, 32), "cifar-cnn", 32))
    assert [layer.layer for layer in layers] == [f"conv{n}" for n in range(1, 7)] + ["fc7", "fc8"]
    assert layers[0].read_path == "features.2"  # convolution, normalization, ReLU


def test_layers_of_a_residual_network_are_read_after_their_relu() -> None:
    description = described(build("resnet18", 5, SIZE), "resnet18")
    layers = {layer.path: layer for layer in probed_layers(description)}
    assert len(layers) == 20
    assert [(layers[f"layer1.0.conv{n}"].read_path, layers[f"layer1.0.conv{n}"].call) for n in (1, 2)] == [
        ("layer1.0.relu", 1),
        ("layer1.0.relu", 2),
    ]
    # Before the block's ReLU runs again, the convolution of the other branch does.
    assert layers["layer2.0.conv2"].read_path == "layer2.0.conv2"
    (block,) = probed_layers(description, ["layer1.0.relu"])
    assert (block.shape, block.call) == ((64, 16, 16), 2)


def test_features_of_a_module_that_runs_twice_are_those_of_the_run() -> None:
    model = build("resnet18", 5, SIZE).eval()
    names = ["layer1.0.conv1", "layer1.0.conv2"]
    layers = probed_layers(described(model, "resnet18"), names, max_features=64 * 16 * 16)
    batch = batch_of(2)
    first, second = read_features(model, layers, [batch]).arrays
    with torch.inference_mode():
        before = model.maxpool(model.relu(model.bn1(model.conv1(to_input(batch.pixels)))))
        block = model.layer1[0]
        inner = block.bn1(block.conv1(before)).clamp(min=0)
        after = block(before)
    np.testing.assert_array_equal(first, inner.flatten(1)[: len(first)].numpy())
    np.testing.assert_array_equal(second, after.flatten(1)[: len(second)].numpy())


@pytest.mark.parametrize(
    ("name", "layer"), [("5", "conv5"), ("7", "fc7"), ("fc6", "fc6"), ("features.6", "conv3")]
)
def test_layers_can_be_named(zfnet: nn.Module, name: str, layer: str) -> None:
    assert [found.layer for found in probed_layers(described(zfnet), [name, name])] == [layer]


def test_wrong_layers_are_refused(zfnet: nn.Module) -> None:
    with pytest.raises(NoSuchModule, match=r"no layer 'conv9'.*conv1.*fc7"):
        probed_layers(described(zfnet), ["conv9"])
    with pytest.raises(NoFeatures, match=r"conv2.*192 maps, more than 100 features"):
        probed_layers(described(zfnet), ["conv2"], max_features=100)
    with pytest.raises(InvalidArgument, match="no convolution and no hidden"):
        probed_layers(described(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 5))))


def test_tokens_are_refused() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.mix, self.head = nn.Conv2d(3, 4, 16, 16), nn.Linear(4, 6), nn.Linear(6, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.mix(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    description = described(Tokens())
    assert [layer.layer for layer in probed_layers(description)] == ["patches"]
    with pytest.raises(NoFeatures, match=r"mix.*\[16, 6\]"):
        probed_layers(description, ["mix"])


@pytest.mark.parametrize(
    ("shape", "most", "grid"),
    [
        ((64, 55, 55), 4096, (8, 8)),
        ((256, 13, 13), 4096, (4, 4)),
        ((256, 4, 4), 4096, None),
        ((300, 7, 7), 4096, (3, 3)),
        ((10, 2, 50), 300, (2, 5)),
        ((9000,), 4096, None),
    ],
)
def test_maps_are_pooled_to_the_largest_grid(
    shape: tuple[int, ...], most: int, grid: tuple[int, int] | None
) -> None:
    assert pooled_grid(shape, most) == grid
    if grid:
        assert shape[0] * math.prod(grid) <= most


# --- features ---


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_features_equal_those_of_a_plain_forward_pass(zfnet: nn.Module, pooling: str) -> None:
    """The reference runs the modules one after the other, and pools by an own loop."""
    batch = batch_of(3)
    layers = probed_layers(described(zfnet), max_features=400)
    read = read_features(zfnet, layers, [batch], pooling)  # type: ignore[arg-type]
    assert [source.id for source in read.sources] == [0, 1, 2]
    outputs: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        value = to_input(batch.pixels)
        for part, name in ((zfnet.features, "features"), (zfnet.avgpool, ""), (zfnet.classifier, "classifier")):
            value = value.flatten(1) if name == "classifier" else value
            for index, module in enumerate(part if name else [part]):
                value = module(value.clone())
                outputs[f"{name}.{index}"] = value.clone()
    for layer, features in zip(layers, read.arrays, strict=True):
        expected = outputs[layer.read_path][:3].double()
        if layer.grid:
            reduce = torch.amax if pooling == "max" else torch.mean
            rows, columns = expected.shape[2:]
            cells = [
                reduce(expected[:, :, top:bottom, left:right], dim=(2, 3))
                for top, bottom in cells_of(rows, layer.grid[0])
                for left, right in cells_of(columns, layer.grid[1])
            ]
            expected = torch.stack(cells, dim=2)
        assert features.dtype == np.float32
        assert features.shape == (3, layer.features)
        np.testing.assert_allclose(features, expected.flatten(1).numpy(), rtol=1e-4, atol=1e-5)


def cells_of(length: int, parts: int) -> list[tuple[int, int]]:
    """Ranges of adaptive pooling: they may overlap by a row."""
    return [(length * part // parts, -(-length * (part + 1) // parts)) for part in range(parts)]


def test_features_are_not_changed_by_later_operations_in_place() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Threshold(0.1, 0, inplace=True), nn.Flatten(), nn.Linear(1800, 5))
    layers = probed_layers(described(model, size=32))
    batch = batch_of(2, 32)
    (features,) = read_features(model.eval(), layers, [batch]).arrays
    np.testing.assert_array_equal(features, model[0](to_input(batch.pixels))[:2].detach().flatten(1).numpy())


def test_features_that_are_not_finite_are_an_error(zfnet: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(1800, 5)).eval()
    layers = probed_layers(described(model, size=32))
    model[0].bias.data[1] = math.inf
    with pytest.raises(NotFinite, match="Layer 0"):
        read_features(model, layers, [batch_of(2, 32)])


# --- classifiers ---


def clusters(classes: int, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points around one centre for each class, and their labels."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, 30)) * 100
    labels = np.repeat(np.arange(classes), each)
    return (centres[labels] + spread * generator.normal(size=(len(labels), 30))).astype(np.float32), labels


@pytest.mark.parametrize("classifier", ["svm", "softmax"])
def test_separable_classes_are_told_apart(classifier: str) -> None:
    result = fit_probe(*clusters(5, 12, 1.0), *clusters(5, 9, 1.0, seed=1), classifier)  # type: ignore[arg-type]
    assert (result.accuracy, result.class_accuracy, result.train_accuracy) == (1, 1, 1)
    assert result.held_out_accuracy == 1
    assert result.regularization == STRENGTHS[0]  # the strongest of those that are as good
    assert result.majority == pytest.approx(1 / 5)
    assert result.converged


@pytest.mark.parametrize("classifier", ["svm", "softmax"])
def test_shuffled_labels_give_chance(classifier: str) -> None:
    training, test = clusters(4, 40, 1.0), clusters(4, 50, 1.0, seed=1)
    results = [
        fit_probe(*training, *test, classifier, seed, shuffle_labels=True)  # type: ignore[arg-type]
        for seed in range(8)
    ]
    accuracies = [result.class_accuracy for result in results]
    # With few clusters each is predicted as a whole: a shuffled trial gets 0, 1, 2... of 4 right.
    assert np.mean(accuracies) == pytest.approx(1 / 4, abs=0.2)
    assert len(set(accuracies)) > 1  # each seed shuffles differently


def test_shuffled_labels_of_features_without_classes_give_chance() -> None:
    generator = np.random.default_rng(0)
    training, test = generator.normal(size=(300, 20)), generator.normal(size=(2000, 20))
    labels, test_labels = generator.integers(0, 5, 300), generator.integers(0, 5, 2000)
    result = fit_probe(training, labels, test, test_labels, "softmax", shuffle_labels=True)
    assert result.class_accuracy == pytest.approx(1 / 5, abs=0.04)


@pytest.mark.parametrize("classifier", ["svm", "softmax"])
def test_the_same_seed_gives_the_same_result(classifier: str) -> None:
    arguments = (*clusters(4, 15, 120.0), *clusters(4, 15, 120.0, seed=1), classifier)
    first, second = (fit_probe(*arguments, 3) for _ in range(2))  # type: ignore[arg-type]
    np.testing.assert_array_equal(first.predictions, second.predictions)
    assert first.regularization == second.regularization


def test_the_scale_of_features_does_not_matter() -> None:
    training, test = clusters(4, 15, 120.0), clusters(4, 15, 120.0, seed=1)
    plain = fit_probe(*training, *test, "softmax")
    scaled = fit_probe(training[0] * 1e-3 + 5, training[1], test[0] * 1e-3 + 5, test[1], "softmax")
    assert scaled.class_accuracy == pytest.approx(plain.class_accuracy, abs=0.02)
    assert scaled.regularization == plain.regularization


def test_constant_features_give_a_constant_answer() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    result = fit_probe(np.ones((6, 4)), labels, np.ones((6, 4)), labels, "softmax")
    assert len(set(result.predictions.tolist())) == 1
    assert result.class_accuracy == pytest.approx(1 / 3)


def test_one_image_of_each_class_leaves_nothing_to_hold_out() -> None:
    result = fit_probe(*clusters(3, 1, 1.0), *clusters(3, 4, 1.0, seed=1))
    assert (result.regularization, result.held_out_accuracy, result.accuracy) == (1.0, None, 1.0)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="two classes"):
        fit_probe(np.ones((4, 2)), np.zeros(4, int), np.ones((1, 2)), np.zeros(1, int))


def test_a_fit_without_convergence_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unitscope.probing.classifiers.MAX_ITERATIONS", {"softmax": 1})
    assert not fit_probe(*clusters(4, 15, 120.0), *clusters(4, 15, 120.0, seed=1), "softmax").converged


def test_the_mean_of_per_class_accuracy_weighs_classes_equally() -> None:
    labels = np.array([0] * 8 + [1] * 2)
    assert mean_class_accuracy(np.zeros(10, int), labels) == 0.5


# --- figure ---


def test_the_figure_has_a_curve_for_each_classifier_and_a_line_at_chance() -> None:
    points = [
        ProbePoint(classifier, layer, accuracy, 0.02, 0.1)
        for classifier in ("svm", "softmax")
        for layer, accuracy in (("conv1", 0.3), ("conv2", 0.5))
    ]
    (axes,) = probe_figure("title", points).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "chance, 10.0 %", "linear SVM", "softmax",
    ]  # fmt: skip
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "conv2"]
    assert axes.containers[0].lines[0].get_ydata().tolist() == [30.0, 50.0]
    assert draw_probes("title", points).startswith(b"\x89PNG")
