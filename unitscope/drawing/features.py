"""Pictures of feature maps: every layer of an image as one picture, all channels of a layer, a sheet of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from unitscope.drawing.pictures import INK, Picture, resized
from unitscope.drawing.text import NUMBER, SOFT, TEXT, blank, fitted, font, heading, stacked
from unitscope.vocabulary import Scale

COLOURS = colormaps["viridis"]
PANEL = 128  # side of a layer's picture, in pixels
PANEL_COLUMNS = 8
LARGEST_GRID = 2400  # pixels, the side of a grid of channels
SMALLEST_CELL, LARGEST_CELL = 32, 224
SHEET_CELL, SHEET_LAYERS, SHEET_IMAGES = 72, 24, 24


@dataclass(frozen=True)
class MeanMap:
    """The picture of a layer: the mean over its channels, float32 [rows, columns]."""

    name: str
    channels: int
    values: np.ndarray

    @property
    def shape_text(self) -> str:
        rows, columns = self.values.shape
        return f"{self.channels} x {rows} x {columns}"


def draw_map(values: np.ndarray, least: float, largest: float) -> Picture:
    """Draw a map float [rows, columns] in colours from ``least`` (dark) to ``largest`` (light)."""
    span = largest - least
    shares = (values - least) / span if span > 0 else np.zeros(values.shape)
    drawn: Picture = (COLOURS(np.clip(shares, 0, 1))[..., :3] * 255).round().astype(np.uint8)
    return drawn


def mean_picture(layer: MeanMap, side: int) -> Picture:
    """Draw the mean map of a layer with its own scale, as a square of ``side`` pixels."""
    return _cell(draw_map(layer.values, float(layer.values.min()), float(layer.values.max())), side)


def _cell(picture: Picture, side: int) -> Picture:
    """Resize a picture to a square; small maps are magnified without smoothing."""
    if picture.shape[0] == picture.shape[1]:
        return resized(picture, side)
    magnified = picture.shape[0] < side
    method = Image.Resampling.NEAREST if magnified else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize((side, side), method))


# --- every layer of an image ---


def overview(title: str, image: Picture, layers: Sequence[MeanMap]) -> Picture:
    """Draw an image and every layer as one picture, the mean over its channels, in the order of execution."""
    count = len(layers) + 1
    columns = min(PANEL_COLUMNS, count)
    height = PANEL + 3 * (NUMBER + 3) + 8
    picture = Image.fromarray(blank(columns * (PANEL + 10) - 10, -(-count // columns) * height))
    draw = ImageDraw.Draw(picture)
    panels = [(image_panel(image), ("image", f"{image.shape[0]} x {image.shape[1]}", ""))]
    panels += [(mean_picture(layer, PANEL), (layer.name, layer.shape_text, _range(layer))) for layer in layers]
    for index, (panel, lines) in enumerate(panels):
        left, top = (index % columns) * (PANEL + 10), (index // columns) * height
        picture.paste(Image.fromarray(panel), (left, top))
        for number, line in enumerate(lines):
            colour = SOFT if number else INK
            at = left, top + PANEL + 2 + number * (NUMBER + 3)
            draw.text(at, fitted(line, NUMBER, PANEL), colour, font(NUMBER))
    body = np.asarray(picture)
    text = (
        "Each layer as the mean over its channels, in the order in which the layers run. Each picture has its own "
        "scale, from its minimum (dark) to its maximum (light), which are the numbers below."
    )
    return stacked([heading(title, [text], max(body.shape[1], 400)), body], gap=8, margin=16)


def image_panel(image: Picture, side: int = PANEL) -> Picture:
    """Return an image as a square of ``side`` pixels."""
    return _cell(image, side)


def _range(layer: MeanMap) -> str:
    return f"{layer.values.min():.3g} to {layer.values.max():.3g}"


# --- all channels of a layer ---


def channel_grid(title: str, maps: np.ndarray, scale: Scale = "own") -> Picture:
    """Draw all channels of a layer in a square grid, each with its number.

    Parameters
    ----------
    maps
        float32 [channels, rows, columns].
    scale
        "own": each channel from its minimum (dark) to its maximum (light); "shared": all channels from the minimum
        to the maximum of the layer.
    """
    count = len(maps)
    columns = math.ceil(math.sqrt(count))
    side = _grid_cell(maps.shape[1:], columns)
    height = side + NUMBER + 5
    picture = Image.fromarray(blank(columns * (side + 4) - 4, -(-count // columns) * height))
    draw = ImageDraw.Draw(picture)
    least, largest = float(maps.min()), float(maps.max())
    for number, values in enumerate(maps):
        left, top = (number % columns) * (side + 4), (number // columns) * height
        draw.text((left, top), str(number), SOFT, font(NUMBER))
        limits = (least, largest) if scale == "shared" else (float(values.min()), float(values.max()))
        picture.paste(Image.fromarray(_cell(draw_map(values, *limits), side)), (left, top + NUMBER + 3))
    body = np.asarray(picture)
    rows, across = maps.shape[1:]
    lines = [f"{count} channels of {rows} x {across}, numbered from 0.", _scale_text(scale, least, largest)]
    return stacked([heading(title, lines, max(body.shape[1], 400)), body], gap=8, margin=16)


def _scale_text(scale: Scale, least: float, largest: float) -> str:
    if scale == "own":
        return (
            "Each channel has its own scale, from its minimum (dark) to its maximum (light); a constant is dark."
        )
    return f"One scale for all channels: from {least:.3g} (dark) to {largest:.3g} (light)."


def _grid_cell(shape: tuple[int, ...], columns: int) -> int:
    """Return the side of a channel's cell: a multiple of that of the map, if the grid is then not too large."""
    most = max(SMALLEST_CELL, min(LARGEST_CELL, LARGEST_GRID // columns - 4))
    longest = max(shape)
    if longest >= most:
        return most
    return longest * max(1, min(most, 96) // longest)


# --- a sheet of images ---


def sheet_row(image: Picture, layers: Sequence[MeanMap]) -> Picture:
    """Draw the part of an image on the sheet: the image, and some of its layers."""
    shown = [layers[index] for index in sheet_layers(len(layers))]
    cells = [image_panel(image, SHEET_CELL), *(mean_picture(layer, SHEET_CELL) for layer in shown)]
    row = blank(len(cells) * (SHEET_CELL + 4) - 4, SHEET_CELL)
    for index, cell in enumerate(cells):
        left = index * (SHEET_CELL + 4)
        row[:, left : left + SHEET_CELL] = cell
    return row


def sheet_layers(count: int) -> list[int]:
    """Return the indices of the layers on the sheet: all, or evenly spread ones."""
    if count <= SHEET_LAYERS:
        return list(range(count))
    return [(2 * index + 1) * count // (2 * SHEET_LAYERS) for index in range(SHEET_LAYERS)]


def feature_sheet(title: str, layers: Sequence[str], rows: Sequence[tuple[str, Picture]]) -> Picture:
    """Draw a sheet with a row for each image, and a column for each layer.

    Parameters
    ----------
    layers
        names of all layers.
    rows
        caption and ``sheet_row`` of each image.
    """
    shown = sheet_layers(len(layers))
    names = ["image", *(layers[index] for index in shown)]
    width = len(names) * (SHEET_CELL + 4) - 4
    head = Image.fromarray(blank(width, 2 * NUMBER + 7))
    draw = ImageDraw.Draw(head)
    for index, name in enumerate(names):
        for number, line in enumerate(heading_lines(name)):
            draw.text(
                (index * (SHEET_CELL + 4), number * (NUMBER + 3)), line, SOFT if number else INK, font(NUMBER)
            )
    parts: list[Picture] = [np.asarray(head)]
    for caption, row in rows:
        parts += [_caption(caption, width), row]
    some = "" if len(shown) == len(layers) else f" {len(shown)} of {len(layers)} layers, evenly spread."
    text = f"Each layer as the mean over its channels; each picture has its own scale, dark to light.{some}"
    return stacked([heading(title, [text], max(width, 400)), *parts], gap=3, margin=16)


def heading_lines(name: str) -> tuple[str, str]:
    """Return a layer's name and its type as two lines that fit above a cell of the sheet."""
    module, _, kind = name.partition(" ")
    return _end(module), fitted(kind, NUMBER, SHEET_CELL)


def _end(name: str) -> str:
    """Return the end of a layer's name, as much as fits above a cell of the sheet, behind an ellipsis."""
    if font(NUMBER).getlength(name) <= SHEET_CELL:
        return fitted(name, NUMBER, SHEET_CELL)
    start = 1
    while start < len(name) and font(NUMBER).getlength(f"…{name[start:]}") > SHEET_CELL:
        start += 1
    return fitted(f"…{name[start:]}", NUMBER, SHEET_CELL)


def _caption(text: str, width: int) -> Picture:
    picture = Image.fromarray(blank(width, TEXT + 6))
    ImageDraw.Draw(picture).text((0, 3), fitted(text, NUMBER, width), SOFT, font(NUMBER))
    return np.asarray(picture)
