"""Drawing of projections, patches, mosaics and contact sheets."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from unitscope.drawing import pictures


def test_a_projection_is_drawn_around_mid_grey_at_its_own_scale() -> None:
    projection = np.zeros((3, 4, 4), np.float32)
    projection[0, 1, 2], projection[1, 3, 3] = -0.02, 0.01
    assert pictures.projection_scale(projection) == (np.float32(0.02), np.float32(0.02))
    picture = pictures.draw_projection(projection, 0.02)
    assert picture[0, 0].tolist() == [128, 128, 128]
    assert picture[1, 2].tolist() == [1, 128, 128]
    assert picture[3, 3].tolist() == [128, 192, 128]


def test_a_bright_spot_does_not_set_the_scale_of_a_projection() -> None:
    projection = np.random.default_rng(0).normal(0, 1e-30, (3, 100, 100)).astype(np.float32)
    projection[:, :50] = 0  # does not count: the rest keeps its contrast
    rms = np.sqrt((projection[:, 50:].astype(float) ** 2).mean())
    projection[0, 60, 60] = 2e-29
    scale, largest = pictures.projection_scale(projection)
    assert largest == np.float32(2e-29)
    assert 3 * rms < scale < 3.1 * rms
    picture = pictures.draw_projection(projection, scale)
    assert picture[60, 60, 0] == 255
    assert picture[50:].std() > 30
    assert pictures.projection_scale(-projection) == (scale, largest)


def test_a_projection_of_zeros_is_grey() -> None:
    zeros = np.zeros((3, 2, 2), np.float32)
    assert pictures.projection_scale(zeros) == (0, 0)
    assert (pictures.draw_projection(zeros, 0.0) == 128).all()


def test_a_patch_is_padded_with_grey_outside_of_the_image() -> None:
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    patch = pictures.cut(image, (-2, 3, 4, 8))
    assert patch.shape == (6, 5, 3)
    assert (patch[:2] == pictures.GREY).all()
    assert (patch[:, 3:] == pictures.GREY).all()
    assert np.array_equal(patch[2:, :3], image[:4, 3:])
    assert pictures.cut(image, None) is image
    assert (pictures.cut(image, (90, 90, 94, 94)) == pictures.GREY).all()


def test_a_mosaic_is_aligned_row_by_row() -> None:
    tiles = [np.full((10, 10, 3), value, np.uint8) for value in range(5)]
    mosaic = pictures.mosaic(tiles, columns=3, cell=10, gap=2)
    assert mosaic.shape == (22, 34, 3)
    for place, tile in enumerate(tiles):
        top, left = (place // 3) * 12, (place % 3) * 12
        assert np.array_equal(mosaic[top : top + 10, left : left + 10], tile)
    assert (mosaic[10:12] == pictures.PAPER).all()


def test_pictures_can_be_cut_out_of_a_mosaic() -> None:
    tiles = [np.full((7, 5, 3), value, np.uint8) for value in range(5)]
    mosaic, boxes = pictures.native_mosaic(tiles, columns=3, cells=8, gap=2)
    assert mosaic.shape == (25, 19, 3)
    for tile, box in zip(tiles, boxes, strict=True):
        assert np.array_equal(np.asarray(Image.fromarray(mosaic).crop(box)), tile)
    assert (mosaic[9:16, 14:19] == pictures.EMPTY).all()
    assert (mosaic[18:, 14:] == pictures.PAPER).all()  # behind the last cell


def test_small_fields_are_magnified_by_whole_factors() -> None:
    assert pictures.mosaic_cell(7) == 91
    tile = np.random.default_rng(0).integers(0, 255, (7, 7, 3), np.uint8)
    assert np.array_equal(pictures.resized(tile, 91)[6::13, 6::13], tile)


def test_a_sheet_contains_every_unit_and_files_can_be_read() -> None:
    tile = np.full((280, 280, 3), 77, np.uint8)
    sheet = pictures.contact_sheet([(unit, tile, tile) for unit in range(11)], "a title", columns=4)
    assert (sheet == 77).all(2).sum() == 22 * 132 * 132
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(pictures.png(sheet)))), sheet)
    assert Image.open(io.BytesIO(pictures.jpeg(sheet))).size == sheet.shape[1::-1]
    assert pictures.contact_sheet([], "nothing", columns=4).shape[2] == 3


def test_fine_lines_of_a_projection_are_kept_when_shrunk() -> None:
    lines = np.full((280, 280, 3), pictures.GREY, np.uint8)
    lines[:, 100:102] = [[0, 0, 0], [255, 255, 255]]  # their average is grey
    small = pictures.shrunk_projections(lines, 140)
    assert small.shape == (140, 140, 3)
    assert (small[:, 50] != pictures.GREY).all()
    assert (small[:, 60] == pictures.GREY).all()
    assert np.array_equal(pictures.shrunk_projections(lines[:91, :91], 91), lines[:91, :91])
