"""When units settle, and each unit's strongest activation with the weights of several epochs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.face.networks import SIZE, Residual, trained_looking
from unitscope.data.images import MEAN, STD, Batch, ImageSource, to_input
from unitscope.drawing.evolution import FRAME, LayerBlock, UnitRow, draw_block, evolution_figure, settled_figure
from unitscope.drawing.figures import as_png
from unitscope.drawing.unit_pictures import UnitPicture
from unitscope.evolution.projections import StrongestPictures
from unitscope.evolution.settling import NEVER, choose_units, settled_counts, settled_epochs
from unitscope.evolution.strongest import Strongest, strongest_activations
from unitscope.projection.deconvnet import Deconvnet
from unitscope.projection.graph import GraphProjector
from unitscope.projection.requests import Requests
from unitscope.search.ranking import NO_IMAGE, TopActivations

EPOCHS = [1, 2, 5, 10]
IMAGES, BATCH = 10, 4


# --- settling ---


@pytest.mark.parametrize(
    ("images", "epoch"),
    [
        ([7, 7, 7, 7], 1),
        ([3, 7, 7, 7], 2),
        ([7, 3, 7, 7], 5),  # it had this image before, and lost it
        ([1, 2, 3, 7], 10),
        ([NO_IMAGE, NO_IMAGE, 7, 7], 5),
        ([7, 7, NO_IMAGE, 7], 10),
        ([7, 7, 7, NO_IMAGE], NEVER),
        ([NO_IMAGE] * 4, NEVER),
        ([0, 0, 0, 0], 1),  # an image whose id is 0
    ],
)
def test_a_unit_settles_where_its_top_image_last_changes(images: list[int], epoch: int) -> None:
    assert settled_epochs(np.array(images)[:, None], EPOCHS).tolist() == [epoch]


def test_settled_epochs_equal_a_plain_loop() -> None:
    images = np.random.default_rng(0).integers(-1, 2, (len(EPOCHS), 300))
    expected = []
    for unit in range(images.shape[1]):
        last = images[-1, unit]
        index = len(EPOCHS) - 1
        while index and images[index - 1, unit] == last:
            index -= 1
        expected.append(NEVER if last == NO_IMAGE else EPOCHS[index])
    assert settled_epochs(images, EPOCHS).tolist() == expected
    assert set(expected) == {NEVER, *EPOCHS}


def test_settled_units_are_counted_up_to_each_epoch() -> None:
    settled = np.array([1, 1, 5, NEVER, 10, 5])
    assert settled_counts(settled, EPOCHS).tolist() == [2, 2, 4, 5]
    assert settled_counts(np.array([NEVER]), EPOCHS).tolist() == [0, 0, 0, 0]


def test_chosen_units_are_active_if_possible() -> None:
    active = np.arange(100) % 4 == 0
    chosen = choose_units(active, 6, "0 conv1")
    assert chosen == sorted(set(chosen)) == choose_units(active, 6, "0 conv1")
    assert len(chosen) == 6
    assert all(active[chosen])
    assert chosen != choose_units(active, 6, "1 conv1")
    few = choose_units(np.array([False, True, False, True]), 3, "0")
    assert {1, 3} < set(few)
    assert choose_units(np.zeros(3, bool), 3, "0") == [0, 1, 2]
    assert choose_units(np.ones(3, bool), 0, "0") == []


def test_every_unit_can_be_chosen() -> None:
    counts = Counter(unit for seed in range(200) for unit in choose_units(np.ones(8, bool), 2, f"{seed} x"))
    assert set(counts) == set(range(8))
    assert max(counts.values()) < 2 * min(counts.values())


# --- strongest activations ---


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (IMAGES, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A network with a dead unit (0), a constant one (1) and one that is not finite (2) in ``stem``."""
    model = trained_looking(Residual()).eval()
    stem = model.get_submodule("stem")
    assert isinstance(stem, nn.Conv2d)
    assert stem.bias is not None
    with torch.no_grad():
        stem.bias[0] = -1e6
        stem.weight[1], stem.bias[1] = 0, 3
        stem.bias[2] = torch.nan
    return model


def batches(pixels: np.ndarray, first: int = 0, last: int = IMAGES) -> Iterator[Batch]:
    for start in range(first, last, BATCH):
        stop = min(start + BATCH, last)
        padded = np.zeros((BATCH, *pixels.shape[1:]), np.uint8)
        padded[: stop - start] = pixels[start:stop]
        sources = [ImageSource(100 + number, None) for number in range(start, stop)]  # type: ignore[arg-type]
        yield Batch(torch.from_numpy(padded).permute(0, 3, 1, 2), sources)


@pytest.fixture(scope="module")
def strongest(model: nn.Module, pixels: np.ndarray) -> Strongest:
    return strongest_activations(model, {"stem": 8}, batches(pixels))["stem"]


def test_strongest_activations_equal_a_loop_over_images(
    model: nn.Module, pixels: np.ndarray, strongest: Strongest
) -> None:
    with torch.no_grad():
        maps = torch.cat(
            [
                model.get_submodule("stem")(to_input(torch.from_numpy(image).permute(2, 0, 1)[None]))
                for image in pixels
            ]
        ).numpy()
    assert strongest.states == ["dead", "constant", "not finite", *["active"] * 5]
    for unit in range(3, 8):
        image = int(maps[:, unit].max((1, 2)).argmax())
        place = np.unravel_index(maps[image, unit].argmax(), maps.shape[2:])
        assert strongest.images[unit] == 100 + image
        assert (strongest.top.row[unit, 0], strongest.top.col[unit, 0]) == place
        assert strongest.top.activation[unit, 0] == pytest.approx(maps[image, unit].max(), rel=1e-5)
    assert strongest.images[:3].tolist() == [NO_IMAGE] * 3
    assert not strongest.tied.any()


@pytest.mark.parametrize("cuts", [[0, 4, IMAGES], [0, 4, 8, IMAGES]])
def test_merged_parts_equal_one_search(
    model: nn.Module, pixels: np.ndarray, strongest: Strongest, cuts: list[int]
) -> None:
    parts = [
        strongest_activations(model, {"stem": 8}, batches(pixels, first, last))["stem"]
        for first, last in pairwise(cuts)
    ]
    merged = Strongest.merged(parts)
    assert merged.states == strongest.states
    for name in ("activation", "image", "row", "col"):
        assert np.array_equal(getattr(merged.top, name), getattr(strongest.top, name)), name


def test_a_unit_that_is_not_finite_in_one_part_has_no_image(strongest: Strongest) -> None:
    broken = Strongest(TopActivations.empty(8, 2), np.arange(8) == 4, strongest.constant)
    merged = Strongest.merged([strongest, broken])
    assert merged.states[4] == "not finite"
    assert merged.images[4] == NO_IMAGE
    assert merged.images[5] == strongest.images[5]


def test_equal_images_are_tied_and_the_first_one_is_the_top_image(model: nn.Module, pixels: np.ndarray) -> None:
    twice = np.concatenate([pixels, pixels])
    found = strongest_activations(model, {"stem": 8}, batches(twice, 0, 2 * IMAGES))["stem"]
    active = found.active
    assert found.tied.tolist() == active.tolist()
    assert (found.images[active] < 100 + IMAGES).all()


# --- pictures ---


def test_pictures_are_the_projections_of_the_top_images(
    model: nn.Module, pixels: np.ndarray, strongest: Strongest
) -> None:
    maker = StrongestPictures(model, "stem", SIZE, strongest, range(8))
    made: dict[int, UnitPicture] = dict(maker.of([0, 1, 2, 5, 7], lambda image: pixels[image - 100]))
    assert sorted(made) == [5, 7]
    graph = GraphProjector(Deconvnet(model, "stem", "deconvnet"), "cpu", MEAN, STD)
    assert type(maker.projector) is not GraphProjector
    for unit, picture in made.items():
        top = strongest.top
        image, row, col = (int(values[unit, 0]) for values in (top.image, top.row, top.col))
        request = Requests(*(np.array([value]) for value in (unit, 0, image, row, col)))
        ((_, projection),) = graph.project([pixels[image - 100]], request)
        values = projection.in_image(SIZE, SIZE)
        present = np.abs(projection.values)[projection.values != 0]
        stretched = 3 * np.sqrt(np.square(present, dtype=np.float64).mean())  # three root mean squares
        assert picture.scale == pytest.approx(min(stretched, present.max()), rel=1e-4)
        first_row, first_col = 2 * row - 1, 2 * col - 1  # of a receptive field of 3 pixels, stride 2, padding 1
        inside = (slice(max(first_row, 0), first_row + 3), slice(max(first_col, 0), first_col + 3))
        drawn = np.rint(values[:, *inside].transpose(1, 2, 0) / picture.scale * 127).clip(-127, 127) + 128
        rows, cols = drawn.shape[:2]
        assert picture.projection.shape == (3, 3, 3)
        assert np.abs(picture.projection[-rows:, -cols:].astype(int) - drawn).max() <= 1
        assert np.array_equal(picture.patch[-rows:, -cols:], pixels[image - 100][inside])


def test_pictures_do_not_depend_on_the_call(model: nn.Module, pixels: np.ndarray, strongest: Strongest) -> None:
    maker = StrongestPictures(model, "stem", SIZE, strongest, range(8))
    together = dict(maker.of(range(8), lambda image: pixels[image - 100]))
    for unit, picture in together.items():
        alone = StrongestPictures(model, "stem", SIZE, strongest, range(8))
        ((_, again),) = alone.of([unit], lambda image: pixels[image - 100])
        assert np.array_equal(again.projection, picture.projection)
        assert again.scale == picture.scale


# --- drawing ---


def test_a_block_has_a_row_for_each_unit_and_a_column_for_each_epoch() -> None:
    colours = np.random.default_rng(0).integers(0, 255, (2, 4, 3), np.uint8)
    cells = [[np.full((9, 9, 3), colour, np.uint8) for colour in row] for row in colours]
    rows = [UnitRow(3, cells[0], 2), UnitRow(200, [*cells[1][:3], "dead"], None)]
    cell = 40
    drawn = draw_block(LayerBlock("conv1", EPOCHS, rows), cell)
    step = (drawn.shape[1] - 40) // len(EPOCHS)
    for row in range(2):
        for column in range(4):
            top, left = drawn.shape[0] - (2 - row) * step, 40 + column * step
            content = drawn[top + 5 : top + cell - 5, left + 5 : left + cell - 5].reshape(-1, 3)
            if (row, column) == (1, 3):
                assert len(np.unique(content, axis=0)) > 1  # a word
            else:
                assert (content == colours[row, column]).all()
    framed = (drawn == FRAME).all(2)
    across, down = np.flatnonzero(framed.any(0)), np.flatnonzero(framed.any(1))
    left = 40 + 2 * step  # the epoch at which the first unit settles
    assert (across.min(), across.max()) == (left - 2, left + cell + 1)
    assert down.max() < drawn.shape[0] - step + 2  # no frame around the second unit


def test_the_figure_arranges_up_to_three_blocks_in_a_row() -> None:
    block = draw_block(LayerBlock("conv1", EPOCHS, [UnitRow(0, ["dead"] * 4, None)]), 30)
    three, four = (evolution_figure("title", "caption", [block] * count) for count in (3, 4))
    assert three.shape[1] == four.shape[1] > 3 * block.shape[1]
    assert four.shape[0] > three.shape[0] + block.shape[0]


@pytest.mark.parametrize("epochs", [[1, 2, 3], [1, 10, 64]])
def test_the_curve_has_a_line_for_each_layer(epochs: list[int]) -> None:
    shares = {"conv1 (9 units)": [0.5, 0.75, 1.0], "conv2 (7 units)": [0.0, 0.5, 1.0]}
    figure = settled_figure("title", epochs, shares)
    (axes,) = figure.get_axes()
    lines = axes.get_lines()
    for solid, dotted, (layer, values) in zip(lines[::2], lines[1::2], shares.items(), strict=True):
        assert list(solid.get_xdata()) == epochs[:2]
        assert list(dotted.get_xdata()) == epochs[1:]
        assert [*solid.get_ydata(), dotted.get_ydata()[-1]] == [100 * value for value in values]
        assert solid.get_label() == layer
    assert as_png(figure).startswith(b"\x89PNG")
    assert as_png(settled_figure("no unit is active", epochs, {})).startswith(b"\x89PNG")
