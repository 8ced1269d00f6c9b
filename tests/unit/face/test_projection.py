"""``us.project``: the projection of an activation equals that of the underlying projectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
import torch
from PIL import Image

import unitscope as us
from tests.unit.face.networks import SIZE, Functional, trained_looking
from unitscope.data.images import ImageSource, read_image, to_input
from unitscope.errors import InvalidArgument, NoSuchUnit, UnitNotFiring, UnsupportedActivation
from unitscope.geometry.receptive_fields import trace
from unitscope.projection.deconvnet import Deconvnet

METHODS = ["deconvnet", "guided", "gradient"]


def inputs(network: us.Network, path: Path) -> torch.Tensor:
    pixels = torch.from_numpy(read_image(ImageSource(0, path), network.size).copy()).permute(2, 0, 1)[None]
    return to_input(pixels, mean=network.mean, std=network.std)


def maps_of(network: us.Network, layer: str, path: Path) -> np.ndarray:
    """Return the output of the module, [units, rows, columns]."""
    seen: list[torch.Tensor] = []
    module = network.model.get_submodule(layer)
    handle = module.register_forward_hook(lambda module, inputs, output: seen.append(output.detach().clone()))
    network.model(inputs(network, path))
    handle.remove()
    return seen[0][0].numpy()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer", ["stem", "inner.conv2"])
def test_a_projection_equals_that_of_the_deconvnet(
    residual: us.Network, paths: list[Path], method: Any, layer: str
) -> None:
    maps = maps_of(residual, layer, paths[3])
    unit = int(maps.max((1, 2)).argmax())
    result = us.project(residual, layer, unit=unit, image=paths[3], method=method)
    row, col = divmod(int(maps[unit].argmax()), maps.shape[2])
    assert result.place == (row, col)
    assert result.activation == pytest.approx(float(maps[unit].max()), rel=1e-5)
    geometry = next(item.geometry for item in trace(residual.model, SIZE).layers if item.path == layer)
    assert geometry is not None
    assert result.window == geometry.window(row, col)
    expected, _ = Deconvnet(residual.model, layer, method).project(
        inputs(residual, paths[3]), *(torch.tensor([value]) for value in (unit, row, col))
    )
    assert (result.values.dtype, result.values.shape) == (np.float32, (3, SIZE, SIZE))
    np.testing.assert_allclose(
        result.values, expected[0].numpy(), rtol=1e-4, atol=1e-5 * np.abs(result.values).max()
    )
    assert np.abs(result.values).max() > 0


def test_a_projection_along_a_chain_equals_that_of_the_deconvnet(paths: list[Path]) -> None:
    """Along a chain, windows are projected, which can extend beyond the image."""
    torch.manual_seed(0)
    network = us.load_network("cifar-cnn", classes=3)
    for place in ((0, 0), (0, 15), (15, 15), (7, 8)):
        maps = maps_of(network, "features.9", paths[0])
        unit = int(maps[:, place[0], place[1]].argmax())
        result = us.project(network, "conv4", unit=unit, image=paths[0], place=place)
        assert result.place == place
        expected, _ = Deconvnet(network.model, "features.9").project(
            inputs(network, paths[0]), *(torch.tensor([value]) for value in (unit, *place))
        )
        np.testing.assert_allclose(
            result.values, expected[0].numpy(), rtol=1e-3, atol=1e-5 * np.abs(result.values).max()
        )
        top, left, bottom, right = result.window or (0, 0, 0, 0)
        outside = result.values.copy()
        outside[:, max(top, 0) : bottom, max(left, 0) : right] = 0
        assert not outside.any()


def test_a_row_of_the_search_is_projected_at_its_position(residual: us.Network, photos: Path) -> None:
    row = us.top9(residual, "inner.conv2", photos).rows()[0]
    for place in (None, (row["row"], row["col"])):
        result = us.project(residual, "inner.conv2", unit=row["unit"], image=row["image"], place=place)
        assert result.place == (row["row"], row["col"])
        assert result.activation == pytest.approx(row["activation"], rel=1e-5)
        assert result.image == row["image"]


def test_images_in_memory_give_the_same_projection(residual: us.Network, paths: list[Path]) -> None:
    unit = int(maps_of(residual, "stem", paths[3]).max((1, 2)).argmax())
    expected = us.project(residual, "stem", unit=unit, image=paths[3])
    picture = Image.open(paths[3])
    for image in (str(paths[3]), picture, np.asarray(picture)):
        result = us.project(residual, "stem", unit=unit, image=image)
        assert np.array_equal(result.values, expected.values)
        assert np.array_equal(result.pixels, expected.pixels)


def test_the_figure_shows_image_patch_and_projection(residual: us.Network, paths: list[Path]) -> None:
    unit = int(maps_of(residual, "stem", paths[3]).max((1, 2)).argmax())
    result = us.project(residual, "stem", unit=unit, image=paths[3])
    figure = result.figure()
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.get_axes()]
    assert [picture.shape for picture in pictures] == [(SIZE, SIZE, 3), (3, 3, 3), (3, 3, 3)]
    assert np.array_equal(pictures[0], result.pixels)
    assert figure.get_axes()[0].get_title() == paths[3].name
    assert repr(result) == f"Projected(Residual stem, unit {unit}, {result.activation:.4g} at {result.place})"


def negative(network: us.Network, path: Path) -> tuple[int, tuple[int, int]]:
    """Return a unit of the stem and a position where it is not positive."""
    maps = maps_of(network, "stem", path)
    unit, row, col = (int(values[0]) for values in np.nonzero(maps < 0))
    return unit, (row, col)


WRONG: dict[str, tuple[Callable[[us.Network, list[Path]], object], type[Exception], str]] = {
    "unit": (lambda n, p: us.project(n, "stem", unit=8, image=p[0]), NoSuchUnit, "no unit 8"),
    "method": (
        lambda n, p: us.project(n, "stem", unit=0, image=p[0], method="lrp"),  # type: ignore[arg-type]
        InvalidArgument,
        "method can't be 'lrp'. Choose one of 'auto', 'deconvnet'",
    ),
    "row": (
        lambda n, p: us.project(n, "stem", unit=0, image=p[0], place=(16, 0)),
        InvalidArgument,
        "The row of place can't be 16.*0 to 15",
    ),
    "place": (
        lambda n, p: us.project(n, "stem", unit=0, image=p[0], place=7),  # type: ignore[arg-type]
        InvalidArgument,
        "place can't be 7. It must be a pair",
    ),
    "several": (lambda n, p: us.project(n, "stem", unit=0, image=p), InvalidArgument, "a single image, not 24"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_are_reported(case: str, residual: us.Network, paths: list[Path]) -> None:
    call, error, says = WRONG[case]
    with pytest.raises(error, match=says):
        call(residual, paths)


def test_projecting_an_activation_that_is_not_positive_is_an_error(
    residual: us.Network, paths: list[Path]
) -> None:
    unit, place = negative(residual, paths[0])
    with pytest.raises(UnitNotFiring, match=rf"Unit {unit} .* at row {place[0]}, column {place[1]} of .*0\.png"):
        us.project(residual, "stem", unit=unit, image=paths[0], place=place)
    model = residual.model
    with torch.no_grad():
        model.stem.weight[2], model.stem.bias[2] = 0, -1  # type: ignore[index, operator]
    with pytest.raises(
        UnitNotFiring, match=r"Unit 2 of layer 'stem' has no positive activation anywhere on .*0\.png"
    ):
        us.project(us.Network(model, size=SIZE), "stem", unit=2, image=paths[0])


def test_a_functional_activation_is_reported(paths: list[Path]) -> None:
    network = us.Network(trained_looking(Functional()), size=SIZE)
    unit = int(maps_of(network, "conv2", paths[0]).max((1, 2)).argmax())
    with pytest.raises(UnsupportedActivation):
        us.project(network, "conv2", unit=unit, image=paths[0], method="deconvnet")
    by_gradient = us.project(network, "conv2", unit=unit, image=paths[0], method="gradient")
    chosen = us.project(network, "conv2", unit=unit, image=paths[0])
    assert by_gradient.values.any()
    assert chosen.method == by_gradient.method == "gradient"
    assert np.array_equal(chosen.values, by_gradient.values)
