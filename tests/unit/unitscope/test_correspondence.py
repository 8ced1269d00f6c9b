"""Correspondence: Hamming distances of hand-made vectors, masks, and signs against a plain loop."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.unitscope.test_invariance import LAYERS, SIZE, convolutional, description, photo
from unitscope.correspondence.boxes import input_box
from unitscope.correspondence.masks import Box, masked, masked_share, random_boxes
from unitscope.correspondence.measure import Masking
from unitscope.correspondence.pairs import compare
from unitscope.correspondence.reported import reported_distance
from unitscope.correspondence.signs import Key, Signs, hamming, read_signs, signs_of, write_signs
from unitscope.data.images import to_input
from unitscope.drawing.correspondence import CELL, GAP, draw_masked, masked_row
from unitscope.errors import NotFinite
from unitscope.features.choice import last_convolution_and_last_hidden

PARTS = ["eye", "nose"]
BOXES: dict[str, list[Box]] = {"eye": [(2, 3, 10, 9), (20, 3, 28, 9)], "nose": [(12, 14, 20, 22)]}
DRAWS = 3


def vector(*signs: int) -> Signs:
    return signs_of(torch.tensor(signs, dtype=torch.float32), 1.0)


def masking(model: nn.Module | None = None, **options: Any) -> Masking:
    return Masking(model or convolutional(), LAYERS, SIZE, PARTS, DRAWS, seed=5, **options)


# --- signs ---


def test_the_hamming_distance_of_hand_made_vectors() -> None:
    one, other = vector(1, -1, 0, 0, 1), vector(1, 1, 0, -1, 0)
    assert one.unpacked().tolist() == [1, -1, 0, 0, 1]
    assert hamming(one, other) == hamming(other, one) == 3 / 5
    assert hamming(one, one) == 0
    assert hamming(vector(1, 1, -1), vector(-1, -1, 1)) == 1
    assert hamming(vector(0), vector(1)) == 1
    with pytest.raises(ValueError, match="different lengths"):
        hamming(one, vector(1))


def test_distances_equal_those_of_numpy() -> None:
    drawn = np.random.default_rng(0).integers(-1, 2, (6, 77))
    packed = [vector(*row) for row in drawn.tolist()]
    for one, first in zip(drawn, packed, strict=True):
        assert np.array_equal(first.unpacked(), one)
        for other, second in zip(drawn, packed, strict=True):
            assert hamming(first, second) == pytest.approx((one != other).mean())


def test_changes_of_rounding_size_have_the_sign_0() -> None:
    change = torch.tensor([[1e-3, -1e-3], [9e-5, -9e-5], [float("inf"), 0]])
    assert signs_of(change, 10.0).unpacked().tolist() == [1, -1, 0, 0, 1, 0]


def test_signs_are_stored(tmp_path: Path) -> None:
    signs: dict[Key, Signs] = {(0, 0, 0): vector(1, 0, -1), (1, 1, 2): vector(*[1, -1] * 20)}
    with (tmp_path / "signs.npz").open("wb") as file:
        write_signs(file, signs)
    for key, expected in signs.items():
        found = read_signs(tmp_path / "signs.npz", *key)
        assert np.array_equal(found.unpacked(), expected.unpacked())
    with np.load(tmp_path / "signs.npz", allow_pickle=False) as archive:
        assert archive["0-0-0"].shape == (2, 1)


# --- pairs ---


def test_all_pairs_are_compared_with_chance() -> None:
    by_draw = [
        [vector(1, 1, 0, 0), vector(1, 1, 0, 1), vector(1, 0, 0, 0)],  # distances 1/4, 1/4, 2/4
        [vector(1, 1, 1, 1), vector(1, 1, 1, 1), vector(0, 0, 0, 0)],  # 0, 1, 1
        [vector(1, 0, 0, 0), vector(0, 0, 0, 0), vector(1, 0, 0, 0)],  # 1/4, 0, 1/4
    ]
    found = compare(3, 2, lambda image, draw: by_draw[draw][image])
    assert found.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert found.distances.tolist() == [1 / 4, 1 / 4, 2 / 4]
    assert found.distance == pytest.approx(1 / 3)
    assert found.spread == pytest.approx(np.std([1 / 4, 1 / 4, 2 / 4]))
    assert found.random.tolist() == [[0, 1, 1], [1 / 4, 0, 1 / 4]]
    assert found.random_distance == pytest.approx(2.5 / 6)
    assert found.random_spread == pytest.approx(np.std([0, 1, 1, 1 / 4, 0, 1 / 4]))
    assert found.random_by_pair.tolist() == [1 / 8, 1 / 2, 5 / 8]
    assert found.below_chance == pytest.approx(2 / 3)


def test_an_image_corresponds_to_itself() -> None:
    signs = masking().run(photo(), BOXES, 0)
    for part in range(2):
        for layer in range(2):
            found = compare(2, DRAWS, lambda image, draw, p=part, n=layer: signs[p, n, draw])  # type: ignore[misc]
            assert found.distance == found.random_distance == 0
            assert found.below_chance == 0


@pytest.mark.parametrize("images", [0, 1])
def test_fewer_than_two_images_have_no_distance(images: int) -> None:
    found = compare(images, 2, lambda image, draw: vector(1))
    assert found.pairs.shape == (0, 2)
    assert [found.distance, found.spread, found.random_distance, found.random_spread, found.below_chance] == [
        None
    ] * 5


# --- masks ---


def test_masks_are_filled() -> None:
    image = photo()
    for fill, colour in (("grey", [128] * 3), ("black", [0] * 3), ("mean", image.double().mean((1, 2)).round())):
        found = masked(image, BOXES["eye"], fill)  # type: ignore[arg-type]
        inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
        inside[3:9, 2:10] = inside[3:9, 20:28] = True
        assert torch.equal(found[:, ~inside], image[:, ~inside])
        expected = torch.as_tensor(colour, dtype=torch.uint8)[:, None].expand(3, int(inside.sum()))
        assert torch.equal(found[:, inside], expected)
    assert masked_share(BOXES["eye"], SIZE) == pytest.approx(2 * 8 * 6 / SIZE**2)
    noise = [masked(image, BOXES["nose"], "noise", seed) for seed in (1, 1, 2)]
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])


def test_random_masks_have_the_same_sizes_and_reach_every_position() -> None:
    found = {random_boxes([(0, 0, 3, 2)], 5, 0, "eye", 7, draw)[0] for draw in range(200)}
    assert found == {(left, top, left + 3, top + 2) for left in range(3) for top in range(4)}
    assert random_boxes([(0, 0, 5, 5)], 5, 0, "eye", 7, 1) == [(0, 0, 5, 5)]
    base = random_boxes(BOXES["eye"], SIZE, 0, "eye", 7, 1)
    digests = [hashlib.sha256(b"0\0eye\x007\x001\x00%d" % number).digest() for number in range(2)]
    lefts, tops = ([int.from_bytes(digest[at : at + 8], "big") for digest in digests] for at in (0, 8))
    expected = [(left % (SIZE - 7), top % (SIZE - 5)) for left, top in zip(lefts, tops, strict=True)]
    assert base == [(left, top, left + 8, top + 6) for left, top in expected]
    for other in ((1, "eye", 7, 1), (0, "nose", 7, 1), (0, "eye", 8, 1), (0, "eye", 7, 2)):
        assert random_boxes(BOXES["eye"], SIZE, *other) != base


# --- measurements ---


def test_signs_equal_a_plain_loop() -> None:
    model, image = convolutional(), photo()
    measured = masking(model)
    signs = measured.run(image, BOXES, 7)
    assert sorted(signs) == [(part, layer, draw) for part in range(2) for layer in range(2) for draw in range(4)]

    def features(pixels: torch.Tensor) -> list[torch.Tensor]:
        values, kept = to_input(pixels[None]).double(), []
        for index, module in enumerate(model.double()):
            values = module(values)
            if index in (1, 3):
                kept.append(values.detach().clone())
        model.float()
        return kept

    clear = features(image)
    for (part, layer, draw), found in signs.items():
        boxes = BOXES[PARTS[part]]
        if draw:
            boxes = random_boxes(boxes, SIZE, 5, PARTS[part], 7, draw)
        change = (clear[layer] - features(masked(image, boxes))[layer]).flatten()
        limit = 1e-5 * float(clear[layer].max())
        certain = (change.abs() < limit / 2) | (change.abs() > 2 * limit)
        assert certain.double().mean() > 0.99
        expected = torch.where(change.abs() > limit, change.sign(), 0).to(torch.int8).numpy()
        assert np.array_equal(found.unpacked()[certain.numpy()], expected[certain.numpy()])
    assert (signs[1, 0, 0].unpacked() == 0).mean() > 0.8  # outside of the mask's reach


@pytest.mark.parametrize("at_once", [1, 3])
def test_signs_do_not_depend_on_batches(at_once: int) -> None:
    expected = masking().run(photo(), BOXES, 7)
    other = masking()
    other.at_once = at_once
    for key, signs in other.run(photo(), BOXES, 7).items():
        assert hamming(signs, expected[key]) < 0.005


def test_an_image_without_a_part_has_no_signs_of_it() -> None:
    signs = masking().run(photo(), {"nose": BOXES["nose"]}, 7)
    assert {part for part, _, _ in signs} == {1}
    whole = masking().run(photo(), BOXES, 7)
    assert all(np.array_equal(vector.bits, whole[key].bits) for key, vector in signs.items())


def test_features_that_are_not_finite_are_an_error() -> None:
    model = convolutional()
    nn.init.constant_(model[0].weight, float("inf"))  # type: ignore[arg-type]
    with pytest.raises(NotFinite):
        masking(model).run(photo(), BOXES, 0)


def test_a_batch_that_does_not_fit_is_halved() -> None:
    smaller = list[int]()

    class Limited(nn.Sequential):
        def forward(self, images: torch.Tensor) -> Any:
            if len(images) > 5:
                raise torch.OutOfMemoryError
            return super().forward(images)

    signs = masking(Limited(*convolutional()), on_smaller=smaller.append).run(photo(), BOXES, 7)
    assert smaller == [8, 4]
    assert len(signs) == 16


def test_the_last_convolution_and_the_last_hidden_layer() -> None:
    found = [(layer.layer, layer.path) for layer in last_convolution_and_last_hidden(description("resnet18"))]
    assert found == [("layer4.1.conv2", "layer4.1.relu"), ("avgpool", "avgpool")]


# --- boxes ---


def test_boxes_are_mapped_to_the_input() -> None:
    assert input_box((10, 20, 30, 40), (0, 0, 100, 80), 50) == (5, 12, 15, 25)
    assert input_box((10, 20, 30, 40), (10, 20, 30, 40), 64) == (0, 0, 64, 64)
    assert input_box((5, 20, 30, 40), (10, 20, 110, 120), 100) == (0, 0, 20, 20)  # a fifth is outside
    assert input_box((0, 0, 0.2, 0.2), (0, 0, 100, 100), 10) == (0, 0, 1, 1)
    assert input_box((99.9, 99.9, 100, 100), (0, 0, 100, 100), 10) == (9, 9, 10, 10)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((5, 5, 5, 9), "no area"),
        ((9, 5, 5, 9), "no area"),
        ((-20, 0, 10, 10), "not inside of 0, 0, 100, 100"),
        ((200, 200, 210, 210), "not inside"),
        ((float("nan"), 0, 1, 1), "four finite numbers"),
        ((0, 0, 1), "four finite numbers"),
    ],
)
def test_boxes_outside_are_refused(box: tuple[float, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        input_box(box, (0, 0, 100, 100), 50)


# --- the paper, and pictures ---


def test_reported_values_are_found_by_name() -> None:
    assert reported_distance("Right_Eye", "conv5") == 0.067
    assert reported_distance("nose", "fc7") == 0.069
    assert reported_distance("random", "fc7") == 0.073
    assert reported_distance("nose", "conv1") is None
    assert reported_distance("head", "conv5") is None


def test_the_figure_has_a_row_for_each_image() -> None:
    row = masked_row(masking(), photo(), {"nose": BOXES["nose"]}, 0)
    assert row.shape == (CELL, 6 * (CELL + GAP) - GAP, 3)
    cells = [row[:, place * (CELL + GAP) :][:, :CELL] for place in range(6)]
    assert (cells[1] == 255).all()  # there is no eye
    assert not np.array_equal(cells[0], cells[2])
    assert draw_masked("a $title", PARTS, DRAWS, [("a.jpg", row), ("$b.jpg" * 20, row)]).startswith(b"\x89PNG")
