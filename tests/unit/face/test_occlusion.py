"""``us.occlude``: maps and figures are those of the sweep below it."""

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
    """What the sweep itself finds."""
    choice = choose_engine(network.model, layer, Grid(SIZE, PATCH, STRIDE), engine)
    sweep = Sweep(choice.engine, mean=network.mean, std=network.std, together=1, **options)
    return sweep.run(pixels_of(path), [label])[0]


def assert_same(found: OcclusionMaps, expected: OcclusionMaps) -> None:
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(getattr(found, name), value), name
        else:
            assert getattr(found, name) == value, name


@pytest.mark.parametrize("fill", get_args(Fill))
def test_maps_are_those_of_the_sweep(residual: us.Network, paths: list[Path], fill: Fill) -> None:
    found = us.occlude(residual, paths[2], label=1, patch=PATCH, stride=STRIDE, fill=fill, seed=3)
    assert_same(found.maps, swept(residual, paths[2], "inner.conv2", 1, fill=fill, seed=3))
    assert np.array_equal(found.pixels, read_image(ImageSource(0, paths[2]), SIZE))
    expected = filling(pixels_of(paths[2]), fill, PATCH, 3)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(found.filled, expected)
    assert found.maps.activation.shape == found.maps.probability.shape == (6, 6)


@pytest.mark.parametrize("engine", get_args(Engine))
def test_engine_layer_unit_and_target_are_as_asked_for(
    residual: us.Network, paths: list[Path], engine: Engine
) -> None:
    found = us.occlude(
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
    assert_same(found.maps, swept(residual, paths[2], "stem", 1, engine, unit=4, target=2))
    assert (found.label, found.target, found.maps.unit, found.layer.path) == (1, 2, 4, "stem")
    assert found.engine == ("incremental" if engine == "incremental" else found.engine)
    assert found.engine_reason


def test_the_most_probable_class_is_taken_for_the_true_one(residual: us.Network, paths: list[Path]) -> None:
    found = us.occlude(residual, paths[5], patch=PATCH, stride=STRIDE)
    assert found.label == found.maps.clear_class
    assert_same(found.maps, swept(residual, paths[5], "inner.conv2", found.maps.clear_class))
    assert found.maps.clear_probability == max(
        us.occlude(residual, paths[5], label=label, patch=PATCH, stride=20).maps.clear_probability
        for label in range(3)
    )


def test_an_approximate_sweep_is_that_of_the_sweep(residual: us.Network, paths: list[Path]) -> None:
    found = us.occlude(residual, paths[2], label=0, patch=PATCH, stride=STRIDE, approximate=0.3)
    assert_same(found.maps, swept(residual, paths[2], "inner.conv2", 0, tolerance=0.3))


def test_arrays_are_for_numpy(residual: us.Network, paths: list[Path], tmp_path: Path) -> None:
    found = us.occlude(residual, paths[2], patch=PATCH, stride=STRIDE)
    assert set(found.arrays()) == {"starts", "activation", "probability", "classes", "computed"}
    with_target = us.occlude(residual, paths[2], target=0, patch=PATCH, stride=STRIDE)
    np.savez(tmp_path / "maps.npz", **with_target.arrays())
    with np.load(tmp_path / "maps.npz") as kept:
        assert np.array_equal(kept["target_probability"], with_target.maps.target_probability)
        assert np.array_equal(kept["starts"], with_target.maps.starts)


def test_pictures_in_memory_are_swept_alike(residual: us.Network, paths: list[Path]) -> None:
    expected = us.occlude(residual, paths[2], patch=PATCH, stride=STRIDE)
    found = us.occlude(residual, Image.open(paths[2]), patch=PATCH, stride=STRIDE)
    assert_same(found.maps, expected.maps)


def titles(found: us.Occluded) -> list[str]:
    figure = found.figure()
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    return [axes.get_title(loc="left") for axes in figure.get_axes()]


def test_its_figure_is_the_papers(residual: us.Network, paths: list[Path]) -> None:
    found = us.occlude(residual, paths[2], label="blue", target="red", patch=PATCH, stride=STRIDE)
    text = "\n".join(titles(found))
    for words in ("(a) input image", "(b) activation of unit", "(c) projection of unit", "probability of blue"):
        assert words in text
    assert "probability of red" in text


def test_without_a_deconvnet_or_names_there_is_a_figure_all_the_same(paths: list[Path]) -> None:
    network = us.Network(trained_looking(Functional()), size=SIZE)
    text = "\n".join(titles(us.occlude(network, paths[2], patch=PATCH, stride=STRIDE, label=2)))
    assert "probability of 2" in text
    assert "projection" not in text


def test_a_network_that_can_not_be_traced_runs_whole(residual: us.Network, paths: list[Path]) -> None:
    network = us.Network(trained_looking(Untraceable()), size=SIZE, mean=residual.mean, std=residual.std)
    found = us.occlude(network, paths[2], patch=PATCH, stride=STRIDE, engine="incremental")
    assert found.engine == "full"
    assert "doesn't support this network" in found.engine_reason
    expected = us.occlude(residual, paths[2], patch=PATCH, stride=STRIDE, engine="full")
    np.testing.assert_allclose(found.maps.activation, expected.maps.activation, rtol=1e-4)


def test_layers_of_resnet18_by_path(paths: list[Path]) -> None:
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
    "approximate": ({"approximate": 1}, "approximate can't be 1"),
    "nan": ({"approximate": float("nan")}, "approximate can't be nan"),
    "label": ({"label": 3}, "label can't be 3.*0 to 2"),
    "target": ({"target": "cat"}, "target can't be 'cat'.*blue, green, red"),
    "seed": ({"seed": -1}, "seed can't be -1"),
    "device": ({"device": "tpu7"}, "Device 'tpu7' can't be used"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case: str, residual: us.Network, paths: list[Path]) -> None:
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
def test_what_can_not_be_swept_is_named(case: str, residual: us.Network, paths: list[Path]) -> None:
    call, error, says = OTHERS[case]
    with pytest.raises(error, match=says):
        call(residual, paths)
