"""``us.occlude``: maps and figures equal those of the underlying sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import matplotlib.figure
import numpy as np
import pytest
import torch
from PIL import Image

import unitscope as us
from tests.unit.face.networks import SIZE, Functional, Maps, Untraceable, trained_looking
from unitscope.data.images import ImageSource, read_image
from unitscope.errors import InvalidArgument, NoSuchUnit
from unitscope.occlusion.engines import choose_engine
from unitscope.occlusion.occluders import Grid, filling
from unitscope.occlusion.sweep import OcclusionMaps, Sweep
from unitscope.vocabulary import Engine, Fill

PATCH, STRIDE = 9, 5


def pixels_of(path: Path) -> torch.Tensor:
    return torch.from_numpy(read_image(ImageSource(0, path), SIZE).copy()).permute(2, 0, 1)[None]


def swept(
    network: us.Network, path: Path, layer: str, label: int, engine: Any = "auto", **options: Any
) -> OcclusionMaps:
    """Return the maps of the underlying sweep."""
    choice = choose_engine(network.model, layer, Grid(SIZE, PATCH, STRIDE), engine)
    sweep = Sweep(choice.engine, mean=network.mean, std=network.std, together=1, **options)
    return sweep.run(pixels_of(path), [label])[0]


def assert_same(result: OcclusionMaps, expected: OcclusionMaps) -> None:
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(getattr(result, name), value), name
        else:
            assert getattr(result, name) == value, name


@pytest.mark.parametrize("fill", get_args(Fill))
def test_maps_equal_those_of_the_sweep(residual: us.Network, paths: list[Path], fill: Fill) -> None:
    result = us.occlude(residual, paths[2], label=1, patch=PATCH, stride=STRIDE, fill=fill, seed=3)
    assert_same(result.maps, swept(residual, paths[2], "inner.conv2", 1, fill=fill, seed=3))
    assert np.array_equal(result.pixels, read_image(ImageSource(0, paths[2]), SIZE))
    expected = filling(pixels_of(paths[2]), fill, PATCH, 3)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(result.filled, expected)
    assert result.maps.activation.shape == result.maps.probability.shape == (6, 6)


@pytest.mark.parametrize("engine", get_args(Engine))
def test_engine_layer_unit_and_target_are_applied(residual: us.Network, paths: list[Path], engine: Engine) -> None:
    result = us.occlude(
        residual,
        paths[2],
        label="green",
        target="red",
        layer="stem",
        unit=4,
        patch=PATCH,
        stride=STRIDE,
        engine=engine,
    )
    assert_same(result.maps, swept(residual, paths[2], "stem", 1, engine, unit=4, target=2))
    assert (result.label, result.target, result.maps.unit, result.layer.path) == (1, 2, 4, "stem")
    assert result.engine == ("incremental" if engine == "incremental" else result.engine)
    assert result.engine_reason


def test_the_most_probable_class_is_the_default_label(residual: us.Network, paths: list[Path]) -> None:
    result = us.occlude(residual, paths[5], patch=PATCH, stride=STRIDE)
    assert result.label == result.maps.clear_class
    assert_same(result.maps, swept(residual, paths[5], "inner.conv2", result.maps.clear_class))
    assert result.maps.clear_probability == max(
        us.occlude(residual, paths[5], label=label, patch=PATCH, stride=20).maps.clear_probability
        for label in range(3)
    )


def test_arrays_can_be_saved_and_loaded_with_numpy(
    residual: us.Network, paths: list[Path], tmp_path: Path
) -> None:
    result = us.occlude(residual, paths[2], patch=PATCH, stride=STRIDE)
    assert set(result.arrays()) == {"starts", "activation", "probability", "classes", "computed"}
    with_target = us.occlude(residual, paths[2], target=0, patch=PATCH, stride=STRIDE)
    np.savez(tmp_path / "maps.npz", **with_target.arrays())
    with np.load(tmp_path / "maps.npz") as kept:
        assert np.array_equal(kept["target_probability"], with_target.maps.target_probability)
        assert np.array_equal(kept["starts"], with_target.maps.starts)


def test_images_in_memory_give_the_same_maps(residual: us.Network, paths: list[Path]) -> None:
    expected = us.occlude(residual, paths[2], patch=PATCH, stride=STRIDE)
    result = us.occlude(residual, Image.open(paths[2]), patch=PATCH, stride=STRIDE)
    assert_same(result.maps, expected.maps)


def titles(result: us.Occluded) -> list[str]:
    figure = result.figure()
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    return [axes.get_title(loc="left") for axes in figure.get_axes()]


def test_the_figure_has_the_panels_of_the_paper(residual: us.Network, paths: list[Path]) -> None:
    result = us.occlude(residual, paths[2], label="blue", target="red", patch=PATCH, stride=STRIDE)
    text = "\n".join(titles(result))
    for words in ("(a) input image", "(b) activation of unit", "(c) projection of unit", "probability of blue"):
        assert words in text
    assert "probability of red" in text


def test_the_figure_needs_neither_a_deconvnet_nor_class_names(paths: list[Path]) -> None:
    network = us.Network(trained_looking(Functional()), size=SIZE)
    text = "\n".join(titles(us.occlude(network, paths[2], patch=PATCH, stride=STRIDE, label=2)))
    assert "probability of 2" in text
    assert "projection" not in text


def test_a_network_that_cannot_be_traced_uses_the_full_engine(residual: us.Network, paths: list[Path]) -> None:
    network = us.Network(trained_looking(Untraceable()), size=SIZE, mean=residual.mean, std=residual.std)
    result = us.occlude(network, paths[2], patch=PATCH, stride=STRIDE, engine="incremental")
    assert result.engine == "full"
    assert "doesn't support this network" in result.engine_reason
    expected = us.occlude(residual, paths[2], patch=PATCH, stride=STRIDE, engine="full")
    np.testing.assert_allclose(result.maps.activation, expected.maps.activation, rtol=1e-4)


def test_layers_of_resnet18_are_given_by_path(paths: list[Path]) -> None:
    torch.manual_seed(0)
    network = us.load_network("resnet18", size=64, classes=3)
    assert us.occlude(network, paths[0], patch=32, stride=16).layer.path == "layer4.1.conv2"
    assert us.occlude(network, paths[0], layer="layer2.0.conv1", patch=32, stride=16).maps.activation.shape == (
        3,
        3,
    )


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "fill": ({"fill": "gray"}, "fill can't be 'gray'. Choose one of 'grey', 'mean', 'black', 'noise', 'blur'"),
    "engine": ({"engine": "fast"}, "engine can't be 'fast'. Choose one of 'auto', 'full', 'incremental'"),
    "patch": ({"patch": 33}, "patch can't be 33.*1 to 32"),
    "no patch": ({"patch": 0}, "patch can't be 0"),
    "stride": ({"stride": 0}, "stride can't be 0.*at least 1"),
    "label": ({"label": 3}, "label can't be 3.*0 to 2"),
    "target": ({"target": "cat"}, "target can't be 'cat'.*blue, green, red"),
    "seed": ({"seed": -1}, "seed can't be -1"),
    "device": ({"device": "tpu7"}, "Device 'tpu7' can't be used"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_are_reported(case: str, residual: us.Network, paths: list[Path]) -> None:
    options, says = WRONG[case]
    with pytest.raises(InvalidArgument, match=says):
        us.occlude(residual, paths[0], **{"patch": PATCH, **options})


OTHERS: dict[str, tuple[Callable[[us.Network, list[Path]], object], type[Exception], str]] = {
    "unit": (lambda n, p: us.occlude(n, p[0], unit=8), NoSuchUnit, "no unit 8"),
    "several": (lambda n, p: us.occlude(n, p), InvalidArgument, "a single image, not 24"),  # type: ignore[arg-type]
    "maps": (lambda n, p: us.occlude(us.Network(Maps(), size=SIZE), p[0]), InvalidArgument, "not a classifier"),
    "no convolution": (
        lambda n, p: us.occlude(us.Network(torch.nn.Flatten(), size=SIZE), p[0]),
        InvalidArgument,
        "no convolution",
    ),
    "module": (lambda n, p: us.occlude(n.model, p[0]), InvalidArgument, "must be a Network"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", OTHERS)
def test_unsupported_images_and_networks_are_reported(case: str, residual: us.Network, paths: list[Path]) -> None:
    call, error, says = OTHERS[case]
    with pytest.raises(error, match=says):
        call(residual, paths)
