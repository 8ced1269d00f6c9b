"""``us.measure_invariance``: equal to the underlying measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
import torch
from PIL import Image

import unitscope as us
from tests.unit.face.networks import SIZE, Maps
from unitscope.data.images import ImageSource, read_image
from unitscope.errors import InvalidArgument, NoSuchModule
from unitscope.invariance.measure import Measurement

SERIES: dict[str, Any] = {"shifts": [4, -4, 0], "scales": [1.5], "rotations": []}


def pixels_of(path: Path) -> torch.Tensor:
    return torch.from_numpy(read_image(ImageSource(0, path), SIZE).copy()).permute(2, 0, 1)


def test_curves_equal_those_of_the_measurement(residual: us.Network, paths: list[Path]) -> None:
    labels = ["green", 2, "blue"]
    result = us.measure_invariance(residual, paths[:3], labels=labels, outside="edge", **SERIES)
    assert [layer.path for layer in result.layers] == ["relu1", "relu3"]
    assert result.labels == [1, 2, 0]
    measurement = Measurement(
        residual.model,
        result.layers,
        {"shift": (-4, 0, 4), "scale": (1.5,)},
        "edge",
        mean=residual.mean,
        std=residual.std,
    )
    for path, label, measured in zip(paths, result.labels, result.measured, strict=False):
        expected = measurement.run(pixels_of(path), label)
        assert measured.curves.keys() == expected.curves.keys() == {"shift", "scale"}
        for name, curves in expected.curves.items():
            assert np.array_equal(measured.curves[name].distances, curves.distances)
            assert np.array_equal(measured.curves[name].probability, curves.probability)
    rows = result.rows()
    assert len(rows) == 3 * 4 * 2
    unchanged = [row for row in rows if row["transformation"] == "shift" and row["value"] == 0]
    assert {row["distance"] for row in unchanged} == {0}
    assert rows[0]["image"] == str(paths[0])
    assert rows[0]["class_name"] == "green"
    figure = result.figure()
    assert isinstance(figure, matplotlib.figure.Figure)
    assert [axes.get_title() for axes in figure.get_axes()[:4]] == [
        "transformed images", "stem", result.layers[1].layer, "true class",
    ]  # fmt: skip


def test_the_most_probable_class_is_the_default_label(residual: us.Network, paths: list[Path]) -> None:
    result = us.measure_invariance(residual, [Image.open(paths[3])], **SERIES)
    assert result.labels == [result.measured[0].clear_class]
    default = us.measure_invariance(residual, paths[3], shifts=[0], scales=[])
    assert len(default.measured[0].curves["rotation"].values) == 36


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "outside": ({"outside": "gray"}, InvalidArgument, "outside can't be 'gray'"),
    "interpolation": ({"interpolation": "x"}, InvalidArgument, "interpolation can't be 'x'"),
    "layer": ({"layers": ["x"]}, NoSuchModule, "Layers of Residual: stem"),
    "nothing": ({"shifts": [], "scales": [], "rotations": []}, InvalidArgument, "nothing to measure"),
    "shifts": ({"shifts": [99]}, InvalidArgument, "shifts can't be used: 99 is not from -31 to 31"),
    "label": ({"labels": ["cat"]}, InvalidArgument, "labels can't be 'cat'"),
    "labels": ({"labels": [1, 2]}, InvalidArgument, "2 classes for 1 images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_are_reported(case: str, residual: us.Network, paths: list[Path]) -> None:
    options, error, says = WRONG[case]
    with pytest.raises(error, match=says):
        us.measure_invariance(residual, paths[:1], **options)


def test_other_networks_are_reported(paths: list[Path]) -> None:
    with pytest.raises(InvalidArgument, match="no hidden layer"):
        us.measure_invariance(us.Network(Maps(), size=SIZE), paths[:1])
    with pytest.raises(InvalidArgument, match="must be a Network"):
        us.measure_invariance(Maps(), paths[:1])  # type: ignore[arg-type]
