"""Pictures of occlusion sweeps: colours, positions of squares and cells, and texts."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from unitscope.drawing import occlusion as occlusion_pictures
from unitscope.drawing import pictures
from unitscope.drawing import text as text_pictures
from unitscope.drawing.occlusion import OcclusionFigure
from unitscope.occlusion.sweep import OcclusionMaps
from worker.kinds.occlusion.finish import by_frequency

NAMES = [f"class {index}" for index in range(30)]
WEIRD = ["a" * 10_000, "one\nline\x00 🦮 犬 \udc80", "$\\frac{1$ _x^", "", "_hidden"]
SIZE, GAP = 96, 4
MARK = (77, 0, 200)  # a colour that no text or scale has


def make_maps(side: int = 4, target: bool = False, seed: int = 0) -> OcclusionMaps:
    """Make maps of squares of 8 pixels, 8 pixels apart (the last two 4), with the least probability at (1, 3)."""
    drawn = np.random.default_rng(seed)
    probability = drawn.uniform(0.2, 1, (side, side)).astype(np.float32)
    probability[1 % side, 3 % side] = 0.1
    return OcclusionMaps(
        starts=np.array([*range(0, 8 * (side - 1), 8), 8 * (side - 1) - 4]) if side > 1 else np.array([0]),
        patch=8,
        unit=7,
        clear_activation=2.0,
        clear_probability=0.9,
        clear_class=3,
        clear_target_probability=0.05 if target else None,
        activation=drawn.uniform(0, 4, (side, side)).astype(np.float32),
        probability=probability,
        target_probability=1 - probability if target else None,
        classes=drawn.integers(0, 30, (side, side), np.int32),
        computed=np.ones((side, side), bool),
        error=None,
    )


def make_image(size: int = 28) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (size, size, 3), np.uint8)


def make_figure(**changes: Any) -> OcclusionFigure:
    image = make_image()
    figure = OcclusionFigure(
        image=image,
        maps=make_maps(),
        title="dog: 1.jpg",
        class_name="dog",
        target_name=None,
        class_names=NAMES,
        layer="conv5",
        filled=np.full_like(image, 128),
        projection=image[:7, :9],
        patch=image[:7, :9],
    )
    return dataclasses.replace(figure, **changes)


def opened(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as file:
        assert file.format == "PNG"
        return np.asarray(file.convert("RGB"))


def of_map(row: np.ndarray, number: int) -> np.ndarray:
    """Cut a panel out of a contact row: 0 the image, 1 activation, 2 and 3 probability, 4 classes."""
    return row[:, number * (SIZE + GAP) :][:, :SIZE]


def test_the_colour_of_a_class_depends_on_its_index_only() -> None:
    alone = occlusion_pictures.class_colours(np.array([[25]]))[0, 0]
    among = occlusion_pictures.class_colours(np.array([[3, 25], [29, 0]]))
    assert among[0, 1].tolist() == alone.tolist() == list(occlusion_pictures.class_colour(25))
    assert among[1, 1].tolist() == list(occlusion_pictures.class_colour(0))


def test_colours_of_classes_differ_from_each_other_and_from_grey() -> None:
    colours = np.array([occlusion_pictures.class_colour(index) for index in range(1000)])
    assert colours.min() >= 0
    assert colours.max() <= 255
    voc = colours[:20]
    apart = np.abs(voc[:, None] - voc[None]).sum(2) + 1000 * np.eye(20, dtype=int)
    assert apart.min() >= 60
    for grey in (occlusion_pictures.RARE[0], pictures.EMPTY):
        assert np.abs(voc - grey).sum(1).min() >= 60
    assert len(np.unique(colours[:100], axis=0)) == 100


def test_class_shares_are_sorted_by_frequency() -> None:
    classes = np.array([[5, 2, 5], [9, 2, 5], [5, 5, 5]], np.int32)
    assert occlusion_pictures.class_shares(classes) == [(5, 6 / 9), (2, 2 / 9), (9, 1 / 9)]


def test_a_contact_row_draws_each_position_around_the_centre_of_its_square() -> None:
    maps, image = make_maps(), make_image()
    row = occlusion_pictures.contact_row(image, maps)
    assert row.shape == (SIZE, 5 * SIZE + 4 * GAP, 3)
    assert row.dtype == np.uint8
    assert (row[:, SIZE : SIZE + GAP] == pictures.PAPER).all()
    for rank, start in enumerate(maps.starts):
        for other, start_2 in enumerate(maps.starts):
            y, x = (int((begin + maps.patch / 2) * SIZE / len(image)) for begin in (start, start_2))
            share = maps.activation[rank, other] / 2
            viridis = mpl.colormaps["viridis"](share / 1.5, bytes=True)[:3]
            magma = mpl.colormaps["magma"](maps.probability[rank, other], bytes=True)[:3]
            assert of_map(row, 1)[y, x].tolist() == list(viridis)
            assert of_map(row, 2)[y, x].tolist() == list(magma)
            own = (maps.probability[rank, other] - 0.1) / (maps.probability.max() - 0.1)
            assert of_map(row, 3)[y, x].tolist() == list(mpl.colormaps["magma"](own, bytes=True)[:3])
            assert of_map(row, 4)[y, x].tolist() == list(
                occlusion_pictures.class_colour(int(maps.classes[rank, other]))
            )


def test_borders_of_positions_are_midway_between_centres() -> None:
    maps = dataclasses.replace(make_maps(), classes=np.arange(16, dtype=np.int32).reshape(4, 4))
    # Starts 0, 8, 16, 20: centres 4, 12, 20, 24, so borders 0, 8, 16, 22, 26 of 28 pixels.
    shown = of_map(occlusion_pictures.contact_row(make_image(), maps, size=SIZE), 4)
    scale = SIZE / 28
    column = [occlusion_pictures.class_colour(4 * place) for place in range(4)]
    for place, (first, end) in enumerate([(0, 8), (8, 16), (16, 22), (22, 26)]):
        inside = shown[round(first * scale) + 1 : round(end * scale) - 1, 2]
        assert (inside == column[place]).all()
    assert (shown[round(26 * scale) + 1 :] == pictures.EMPTY).all()
    assert (shown[:, round(26 * scale) + 1 :] == pictures.EMPTY).all()


def test_the_square_is_where_the_true_class_is_least_probable() -> None:
    maps, image = make_maps(), np.full((28, 28, 3), 40, np.uint8)
    filled = np.full((28, 28, 3), 200, np.uint8)
    scale = SIZE / 28
    top, left = round(8 * scale), round(20 * scale)  # position (1, 3)
    bottom, right = round(16 * scale), round(28 * scale)
    for given, colour in ((filled, 200), (None, 40)):
        shown = of_map(occlusion_pictures.contact_row(image, maps, given, SIZE), 0)
        assert (shown[top + 2 : bottom - 2, left + 2 : right - 2] == colour).all()
        for line in (shown[top, left:right], shown[top:bottom, left], shown[bottom - 1, left:right]):
            assert (line == [255, 45, 45]).all()
        outside = np.ones((SIZE, SIZE), bool)
        outside[top - 1 : bottom + 1, left - 1 :] = False
        assert (shown[outside] == 40).all()
    assert (image == 40).all()  # unchanged


def test_a_map_of_few_percent_uses_the_whole_of_its_own_scale() -> None:
    few = np.array([[0.02, 0.05], [0.035, 0.02]])
    colours = occlusion_pictures.probability_colours(few, occlusion_pictures.own_scale(few))
    magma = mpl.colormaps["magma"]
    for place, share in {(0, 0): 0.0, (0, 1): 1.0, (1, 0): 0.5}.items():
        assert colours[place].tolist() == list(magma(share, bytes=True)[:3])


@pytest.mark.parametrize("level", [0.0, 0.002, 0.3, 1.0])
def test_differences_of_rounding_are_not_enlarged(level: float) -> None:
    same = np.clip(np.full((3, 3), level) + np.eye(3) * 1e-7, 0, 1)
    scale = occlusion_pictures.own_scale(same)
    assert scale.vmin is not None
    assert scale.vmax is not None
    assert scale.vmax - scale.vmin == pytest.approx(occlusion_pictures.LEAST_SPAN)
    assert 0 <= scale.vmin <= level <= scale.vmax <= 1
    assert np.ptp(occlusion_pictures.probability_colours(same, scale).astype(int), axis=(0, 1)).max() <= 1


def test_with_a_clear_activation_of_zero_an_activation_of_zero_is_unchanged() -> None:
    silent = dataclasses.replace(make_maps(), clear_activation=0.0)
    silent.activation[:] = 0
    silent.activation[0, 0] = 1e-9
    colours = occlusion_pictures.activation_colours(silent)
    viridis = mpl.colormaps["viridis"]
    assert colours[0, 0].tolist() == list(viridis(1.0, bytes=True)[:3])
    assert colours[1, 1].tolist() == list(viridis(1 / 1.5, bytes=True)[:3])


@pytest.mark.parametrize("side", [1, 2, 26])
def test_grids_of_any_size_can_be_drawn(side: int) -> None:
    size = max(8 * side - 4, 8)
    image = make_image(size)
    maps = make_maps(side)
    row = occlusion_pictures.contact_row(image, maps, size=48)
    assert row.shape == (48, 5 * 48 + 16, 3)
    figure = make_figure(image=image, filled=image, maps=maps)
    assert opened(occlusion_pictures.draw_figure(figure)).std() > 0


def test_the_size_of_a_figure_depends_on_its_content() -> None:
    plain = opened(occlusion_pictures.draw_figure(make_figure()))
    mosaic = np.full((50, 50, 3), MARK, np.uint8)
    maps = dataclasses.replace(make_maps(target=True), error=0.012, computed=np.eye(4, dtype=bool))
    figure = make_figure(maps=maps, target_name="cat", others=(mosaic, mosaic), box=(2, 3, 20, 25))
    full = opened(occlusion_pictures.draw_figure(figure))
    assert full.shape[0] > plain.shape[0]
    assert full.shape[1] > plain.shape[1]
    assert (full == MARK).all(2).sum() > 2 * 200 * 200  # both mosaics


def test_the_object_is_outlined_if_there_is_a_box() -> None:
    maps = dataclasses.replace(make_maps(), classes=np.full((4, 4), 12, np.int32))
    dark = np.full((28, 28, 3), 20, np.uint8)
    for box in (None, (2, 3, 20, 25)):
        figure = make_figure(image=dark, projection=dark, patch=dark, maps=maps, box=box)
        of_image = opened(occlusion_pictures.draw_figure(figure))[120:410, 45:330]
        yellow = int(((of_image >= (180, 160, 0)) & (of_image <= (255, 255, 60))).all(2).sum())
        assert (yellow > 400) == (box is not None), yellow


def test_a_figure_states_the_approximation() -> None:
    maps = make_maps()
    assert "approximate" not in occlusion_pictures._facts(maps)
    approximate = dataclasses.replace(maps, error=0.012, computed=np.eye(4, dtype=bool))
    facts = occlusion_pictures._facts(approximate)
    assert "approximate: 4 of 16 positions computed" in facts
    assert "1.2 %" in facts


def test_figures_and_contact_rows_have_the_same_colours() -> None:
    maps = dataclasses.replace(make_maps(), classes=np.full((4, 4), 12, np.int32))
    figure = opened(occlusion_pictures.draw_figure(make_figure(maps=maps)))
    assert (figure == occlusion_pictures.class_colour(12)).all(2).sum() > 200 * 200
    lowest = occlusion_pictures.probability_colours(maps.probability)[1, 3]
    assert (figure == lowest).all(2).sum() > 30 * 30


@pytest.mark.filterwarnings("error")
def test_figures_can_be_drawn_with_any_text() -> None:
    for text in WEIRD[:3]:
        figure = make_figure(
            title=text,
            class_name=text,
            target_name=text,
            class_names=WEIRD * 6,
            layer=text,
            maps=make_maps(target=True),
        )
        assert opened(occlusion_pictures.draw_figure(figure)).ndim == 3


def test_a_sheet_contains_all_rows_and_grows_with_them() -> None:
    row = np.full((SIZE, 5 * SIZE + 4 * GAP, 3), MARK, np.uint8)
    heights = []
    for count in (1, 2, 3, 7):
        rows = [("dog: 1.jpg", "unit 7", row)] * count
        sheet = occlusion_pictures.contact_sheet(rows, "a title", [3, 25], NAMES, columns=2)
        assert (sheet == MARK).all(2).sum() == count * row.shape[0] * row.shape[1]
        for index in (3, 25):
            assert (sheet == occlusion_pictures.class_colour(index)).all(2).sum() >= 100
        heights.append(sheet.shape[0])
    assert heights[1] < heights[2] < heights[3]
    assert occlusion_pictures.contact_sheet([], "nothing", [], NAMES).shape[2] == 3


@pytest.mark.parametrize("columns", [1, 3])
def test_sheets_can_be_drawn_with_any_text_and_keep_their_size(columns: int) -> None:
    row = np.full((SIZE, 5 * SIZE + 4 * GAP, 3), MARK, np.uint8)
    plain = occlusion_pictures.contact_sheet([("a", "b", row)] * 5, "a title", [], NAMES, columns)
    rows = [(text, text, row) for text in WEIRD]
    sheets = [occlusion_pictures.contact_sheet(rows, text, [], NAMES, columns) for text in WEIRD]
    assert {sheet.shape for sheet in sheets} == {plain.shape}
    assert all((sheet == MARK).all(2).sum() == 5 * row[..., 0].size for sheet in sheets)
    many = occlusion_pictures.contact_sheet(rows, "a title", range(1000), WEIRD * 200, columns)
    assert (many == MARK).all(2).sum() == 5 * row[..., 0].size


def test_texts_are_truncated_to_fit() -> None:
    font = text_pictures.font(12)
    assert text_pictures.fitted("short", 12, 100) == "short"
    for width in (5, 50, 500):
        text = text_pictures.fitted("W" * 10_000, 12, width)
        assert text.endswith("…")
        assert width < 50 or font.getlength(text) <= width < font.getlength(text) + 30
    assert text_pictures.fitted("two\n\tlines", 12, 100) == "two lines"
    assert text_pictures.fitted("\x00\udc80", 12, 100) == "\ufffd\ufffd"


def test_the_order_of_classes_does_not_depend_on_shards() -> None:
    """The counts of classes are added up shard by shard."""
    shards = [Counter({3: 5, 7: 2}), Counter({1: 5, 2: 1, 7: 3}), Counter({2: 4})]
    for order in (shards, shards[::-1]):
        counts: Counter[int] = Counter()
        for shard in order:
            counts.update(shard)
        assert by_frequency(counts) == [1, 2, 3, 7]
