"""``us.compare_parts``: equal to the underlying masking and comparison."""

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
from unitscope.correspondence.boxes import input_box
from unitscope.correspondence.measure import Masking
from unitscope.correspondence.pairs import compare
from unitscope.data.images import ImageSource, read_image
from unitscope.errors import InvalidArgument, NoSuchModule

NOSE = [(2, 3, 12, 14), (5, 5, 20, 20), [(0, 0, 9, 9), (12, 12, 20, 20)]]
EYE = [(2, 3, 12, 14), None, (1, 1, 9, 9)]


def test_distances_equal_those_of_the_comparison(residual: us.Network, paths: list[Path]) -> None:
    images: list[Any] = [paths[0], Image.open(paths[1]), np.asarray(Image.open(paths[2]))]
    result = us.compare_parts(residual, images, {"nose": NOSE, "eye": EYE}, draws=2, seed=4, fill="mean")
    assert [layer.path for layer in result.layers] == ["relu3"]
    masking = Masking(
        residual.model, result.layers, SIZE, ["nose", "eye"], 2, "mean", 4, mean=residual.mean, std=residual.std
    )
    signs = []
    for number, path in enumerate(paths[:3]):
        pixels = torch.from_numpy(read_image(ImageSource(0, path), SIZE).copy()).permute(2, 0, 1)
        width, height = Image.open(path).size
        boxes = {
            part: [input_box(box, (0, 0, width, height), SIZE) for box in (given if listed else [given])]
            for part, given, listed in (("nose", NOSE[number], number == 2), ("eye", EYE[number], False))
            if given
        }
        signs.append(masking.run(pixels, boxes, number))
    for place, (part, having) in enumerate((("nose", [0, 1, 2]), ("eye", [0, 2]))):
        expected = compare(len(having), 2, lambda image, draw: signs[having[image]][place, 0, draw])  # noqa: B023
        found = result.compared[part, result.layers[0].layer]
        assert np.array_equal(found.distances, expected.distances)
        assert np.array_equal(found.random, expected.random)
        assert found.pairs.tolist() == [[having[one], having[other]] for one, other in expected.pairs.tolist()]
    rows = result.rows()
    assert [(row["part"], row["images"], row["pairs"]) for row in rows] == [("nose", 3, 3), ("eye", 2, 1)]
    assert isinstance(result.figure(), matplotlib.figure.Figure)


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "fill": ({"fill": "blur"}, InvalidArgument, "fill can't be 'blur'"),
    "draws": ({"draws": 0}, InvalidArgument, "draws can't be 0"),
    "layer": ({"layers": ["x"]}, NoSuchModule, "no layer 'x'"),
    "no parts": ({"parts": {}}, InvalidArgument, "parts is empty"),
    "one image": ({"parts": {"eye": [(0, 0, 5, 5), None]}}, InvalidArgument, "at least two images"),
    "entries": ({"parts": {"eye": [(0, 0, 5, 5)]}}, InvalidArgument, "1 entries for 2 images"),
    "outside": ({"parts": {"eye": [(0, 0, 5, 5), (500, 0, 505, 5)]}}, InvalidArgument, "not inside"),
    "no box": ({"parts": {"eye": [(0, 0, 5, 5), "ab"]}}, InvalidArgument, "can't be masked"),
    "three": ({"parts": {"eye": [(0, 0, 5, 5), (1, 2, 3)]}}, InvalidArgument, "four finite numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_are_reported(case: str, residual: us.Network, paths: list[Path]) -> None:
    options, error, says = WRONG[case]
    with pytest.raises(error, match=says):
        us.compare_parts(residual, paths[:2], **{"parts": {"eye": [(0, 0, 5, 5)] * 2}, **options})


def test_other_networks_are_reported(paths: list[Path]) -> None:
    with pytest.raises(InvalidArgument, match="no hidden layer"):
        us.compare_parts(us.Network(Maps(), size=SIZE), paths[:2], {"eye": [(0, 0, 5, 5)] * 2})
