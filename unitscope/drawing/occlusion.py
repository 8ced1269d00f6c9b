"""Pictures of occlusion sweeps (paper, Fig. 7): a figure for one image, and a contact sheet for many.

Pictures of different images are comparable: activations and probabilities have fixed scales, and the colour of a
class depends on its index only. Probabilities are also drawn on a scale of their own, from the map's lowest to its
highest, since many maps change by a few percent only.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from unitscope.drawing.figures import NotebookFigure, as_png
from unitscope.drawing.pictures import EMPTY, INK, PAPER, Picture, resized
from unitscope.drawing.text import fitted, font
from unitscope.occlusion.cells import LEAST_SPAN as LEAST_SPAN
from unitscope.occlusion.cells import cell_edges, own_span
from unitscope.occlusion.sweep import OcclusionMaps

RGB = tuple[int, int, int]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels
MOST_SHARE = 1.5  # upper end of the activation scale, as a share of the clear image's activation
ACTIVATIONS, PROBABILITIES = colormaps["viridis"], colormaps["magma"]
FALL = LinearSegmentedColormap.from_list("fall", [(1, 0.1, 0.1, 0), (1, 0.1, 0.1, 0.85)])
# For VOC's 20 classes. None is grey, which is used for rare classes and for areas without a position.
TWENTY = bytes.fromhex(
    "e6194b 3cb44b ffe119 4363d8 f58231 911eb4 42d4f4 f032e6 bfef45 fabed4 "
    "469990 dcbeff 9a6324 fffac8 800000 aaffc3 808000 ffc890 000075 000000"
)
RARE: RGB = (165, 165, 165)
PALE: RGB = (110, 110, 110)
SQUARE, OBJECT = "#ff2d2d", "#ffe119"  # colours of outlines
MOST_CLASSES, MOST_NAMED = 8, 40  # classes in the legend of a figure and of a sheet
PANEL, BETWEEN, LEFT, HEADING, ABOVE, BELOW, LEGEND = 2.5, 0.3, 0.45, 0.7, 0.45, 0.6, 1.6  # inches


@dataclass(frozen=True)
class OcclusionFigure:
    """Content of an image's figure; pictures are uint8 [rows, columns, 3]."""

    image: Picture  # [H, W, 3], resized to the network's input size
    maps: OcclusionMaps
    title: str
    class_name: str  # true class
    target_name: str | None  # target class
    class_names: Sequence[str]  # by index
    layer: str
    filled: Picture  # [H, W, 3], pixels that replace those of the image inside the square
    projection: Picture | None  # of the unit from this image; None if it isn't active or there is no deconvnet
    patch: Picture | None  # part of the image in the unit's receptive field
    others: tuple[Picture, Picture] | None = None  # the unit's mosaics of a search: projections, image patches
    box: Box | None = None  # bounding box of the object


def class_colour(index: int) -> RGB:
    """Return the colour of a class, which is the same in all pictures."""
    if 3 * index < len(TWENTY):
        red, green, blue = TWENTY[3 * index : 3 * index + 3]
        return red, green, blue
    saturation, value = ((0.85, 0.9), (0.5, 0.95), (0.8, 0.6))[index % 3]
    hue = index * 0.618034 % 1  # steps of the golden ratio, so that successive hues differ much
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def class_shares(classes: np.ndarray) -> list[tuple[int, float]]:
    """Return classes and their shares of the positions, in descending order of frequency."""
    indices, counts = np.unique(classes, return_counts=True)
    return [(int(indices[n]), float(counts[n] / classes.size)) for n in np.argsort(-counts, kind="stable")]


def draw_figure(shown: OcclusionFigure) -> bytes:
    """Draw ``occlusion_figure`` as a PNG file."""
    return as_png(occlusion_figure(shown))


def occlusion_figure(shown: OcclusionFigure) -> NotebookFigure:
    """Draw a figure like the paper's Fig. 7, for one image.

    (a) the image with the square; (b) the unit's activation by position of the square, and its decrease; (c) the
    unit's projection; (d) the probability of the true class on the scale from 0 to 1, and on its own; that of the
    target in a third row; (e) the most probable class.
    """
    maps, unit = shown.maps, f"unit {shown.maps.unit}"
    width = LEFT + (4 if shown.others is None else 5) * (PANEL + BETWEEN)
    # The legend of the classes is below the second row: beside the third one, or where it would be.
    rows, lowest = (2, LEGEND) if maps.target_probability is None else (3, BELOW + 0.1)
    figure = NotebookFigure(figsize=(width, HEADING + rows * (ABOVE + PANEL) + (rows - 1) * BELOW + lowest))
    for text, down, size, colour in ((shown.title, 0.3, 13, "black"), (_facts(maps), 0.52, 8.5, "0.35")):
        text = fitted(text, size, 72 * (width - LEFT - BETWEEN))
        down = 1 - down / figure.get_figheight()
        figure.text(LEFT / width, down, text, fontsize=size, color=colour, parse_math=False)

    axes = _panel(figure, 0, 0, "(a) input image", "with the square where (d) is lowest")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    _draw_image(axes, _with_square(shown.image, maps, shown.filled))
    _outline(axes, _square(maps), SQUARE)
    if shown.box is not None:
        _outline(axes, shown.box, OBJECT)
        axes.set_xlabel("red: square; yellow: object", fontsize=8, loc="left")

    lines = f"(b) activation of {unit} of {shown.layer}", f"clear image: {maps.clear_activation:.4g}"
    axes = _panel(figure, 0, 1, *lines)
    _draw_map(axes, shown, activation_colours(maps))
    _draw_bar(axes, ACTIVATIONS, MOST_SHARE, "share of the clear image's activation", extend="max")
    axes = _panel(figure, 0, 2, "(b) decrease of the activation", "over the clear image")
    # In grey, because the decrease is drawn in red.
    _draw_image(axes, np.asarray(Image.fromarray(shown.image).convert("L").convert("RGB")))
    _draw_map(axes, shown, FALL(np.clip(1 - _shares(maps), 0, 1)))
    _draw_bar(axes, FALL, 1, "decrease, as a share of the clear image's activation")

    if shown.projection is not None and shown.patch is not None:
        _draw_image(_panel(figure, 0, 3, f"(c) projection of {unit}", "from this image"), shown.projection)
        _draw_image(_panel(figure, 1, 3, "(c) part of the image", "in the receptive field"), shown.patch)
    if shown.others is not None:
        lines = f"(c) projections of {unit}", "from its strongest images"
        _draw_image(_panel(figure, 0, 4, *lines), shown.others[0])
        _draw_image(_panel(figure, 1, 4, "(c) parts of these images", "in the receptive field"), shown.others[1])

    drawn = [(shown.class_name, maps.probability, maps.clear_probability)]
    if maps.target_probability is not None:
        clear = maps.clear_target_probability
        drawn.append((shown.target_name or "the target", maps.target_probability, clear or 0.0))
    for row, (name, probability, clear) in enumerate(drawn, 1):
        axes = _panel(figure, row, 0, f"(d) probability of {name}", f"clear image: {clear:.3g}")
        _draw_map(axes, shown, probability_colours(probability))
        label = f"probability: lowest {probability.min():.3g}, highest {probability.max():.3g}"
        _draw_bar(axes, PROBABILITIES, 1, label)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes = _panel(figure, row, 1, f"(d) probability of {name}", "on its own scale")
        scale = own_scale(probability)
        _draw_map(axes, shown, probability_colours(probability, scale))
        _draw_own_bar(axes, scale)
    _draw_classes(figure, shown)
    return figure


def _facts(maps: OcclusionMaps) -> str:
    rows, columns = maps.classes.shape
    facts = [f"square of {maps.patch} px at {rows} × {columns} positions"]
    if not maps.computed.all():
        facts.append(f"approximate: {int(maps.computed.sum())} of {maps.computed.size} positions computed")
    if maps.error is not None:
        facts.append(f"largest measured error {100 * maps.error:.2g} % of a map's range")
    if maps.correlation is not None:
        facts.append(f"correlation of activation and probability {maps.correlation:.2f}")
    return "; ".join(facts)


def _panel(figure: Figure, row: int, column: int, *lines: str) -> Axes:
    """Add square axes at a row and column of the figure's grid, with lines of text above."""
    width, height = figure.get_size_inches()
    left = LEFT + column * (PANEL + BETWEEN)
    down = HEADING + (row + 1) * (ABOVE + PANEL) + row * BELOW
    axes = figure.add_axes((left / width, 1 - down / height, PANEL / width, PANEL / height))
    axes.set(xticks=[], yticks=[], facecolor=str(EMPTY / 255))
    axes.tick_params(labelsize=7)
    title = "\n".join(fitted(line, 9, 72 * PANEL) for line in lines)
    # The place is given, since finding it measures all labels of the axes.
    axes.set_title(title, loc="left", y=1, fontsize=9, parse_math=False)
    return axes


def _draw_image(axes: Axes, image: Picture) -> None:
    axes.imshow(image, extent=(0, image.shape[1], image.shape[0], 0))


def _draw_map(axes: Axes, shown: OcclusionFigure, colours: np.ndarray) -> None:
    """Draw a map's colours [rows, columns, 3 or 4] at the squares' positions, on axes with the image's extent."""
    edges = cell_edges(shown.maps.starts, shown.maps.patch)
    axes.pcolormesh(edges, edges, colours)
    axes.set(xlim=(0, shown.image.shape[1]), ylim=(shown.image.shape[0], 0), aspect="equal")
    if shown.box is not None:
        _outline(axes, shown.box, "white", 0.9)
        _outline(axes, shown.box, "black", 0.9, "--")


def _outline(axes: Axes, box: Box, colour: str, width: float = 1.3, style: Literal["-", "--"] = "-") -> None:
    left, top, right, bottom = box
    outline = Rectangle((left, top), right - left, bottom - top, fill=False, linewidth=width, linestyle=style)
    outline.set_edgecolor(colour)
    axes.add_patch(outline)


def _draw_bar(axes: Axes, colours: Colormap, top: float, label: str, extend: str = "neither") -> None:
    """Draw the colour scale of a map, from 0 to ``top``, below its axes."""
    below, ticks = axes.inset_axes((0, -0.075, 1, 0.045)), np.arange(0, top + 0.1, 0.25)
    values = ScalarMappable(Normalize(0, top), colours)
    bar = axes.figure.colorbar(values, below, orientation="horizontal", extend=extend, ticks=ticks, format="%g")
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_own_bar(axes: Axes, scale: Normalize) -> None:
    """Draw the colour scale of a map of probabilities with its own scale, below its axes."""
    low, high = float(scale.vmin or 0), float(scale.vmax or 0)
    below = axes.inset_axes((0, -0.075, 1, 0.045))
    bar = axes.figure.colorbar(ScalarMappable(scale, PROBABILITIES), below, orientation="horizontal")
    ticks = [low, (low + high) / 2, high]
    bar.set_ticks(ticks, labels=[f"{value:.3g}" for value in ticks])
    bar.set_label("probability, from its lowest to its highest", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    first, _, last = bar.ax.get_xticklabels()  # inside of the panel, apart from those of its neighbours
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def _draw_classes(figure: Figure, shown: OcclusionFigure) -> None:
    """Draw the map of the most probable class, with a legend below it."""
    maps, names = shown.maps, shown.class_names
    axes = _panel(figure, 1, 2, "(e) most probable class", f"clear image: {names[maps.clear_class]}")
    shares = class_shares(maps.classes)
    named, rare = shares[:MOST_CLASSES], shares[MOST_CLASSES:]
    colours = class_colours(maps.classes)
    colours[np.isin(maps.classes, [index for index, _ in rare])] = RARE
    _draw_map(axes, shown, colours)
    entries = [(class_colour(index), share, names[index]) for index, share in named]
    if rare:
        entries.append((RARE, sum(share for _, share in rare), f"{len(rare)} others"))
    patches = []
    for colour, share, name in entries:
        percent = f"{100 * share:.1f} %".rjust(7, "\u2007")  # figure space, as wide as a digit
        label = f"{percent}  {fitted(name, 8, 72 * PANEL - 60)}"
        red, green, blue = (part / 255 for part in colour)
        patches.append(Patch(facecolor=(red, green, blue), edgecolor="0.4", linewidth=0.5, label=label))
    legend = axes.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(0, -0.02),
        borderaxespad=0,
        borderpad=0,
        frameon=False,
        fontsize=8,
        handlelength=1,
        handleheight=1,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def activation_colours(maps: OcclusionMaps) -> Picture:
    """Return the colours of the activations: uint8 [rows, columns, 3]."""
    return np.asarray(ACTIVATIONS(_shares(maps) / MOST_SHARE, bytes=True))[..., :3]


def probability_colours(probability: np.ndarray, scale: Normalize | None = None) -> Picture:
    """Return the colours of probabilities on a scale, by default that from 0 to 1: uint8 [rows, columns, 3]."""
    shares = probability if scale is None else scale(probability)
    return np.asarray(PROBABILITIES(shares, bytes=True))[..., :3]


def own_scale(probability: np.ndarray) -> Normalize:
    """Return the scale from the lowest to the highest probability of a map, of at least ``LEAST_SPAN``."""
    return Normalize(*own_span(float(probability.min()), float(probability.max())))


def class_colours(classes: np.ndarray) -> Picture:
    """Return the colours of classes: uint8 [rows, columns, 3]."""
    indices, inverse = np.unique(classes, return_inverse=True)
    colours = np.array([class_colour(index) for index in indices.tolist()], np.uint8)
    return colours[inverse.reshape(classes.shape)]


def _shares(maps: OcclusionMaps) -> np.ndarray:
    """Return activations as shares of the clear image's; if that is zero, zero has a share of 1."""
    activation = maps.activation.astype(np.float64)
    if maps.clear_activation > 0:
        return activation / maps.clear_activation
    return np.where(activation > 0, 2 * MOST_SHARE, 1.0)


def _square(maps: OcclusionMaps) -> Box:
    """Return left, top, right, bottom of the square where the true class is least probable."""
    row, column = np.unravel_index(maps.probability.argmin(), maps.probability.shape)
    top, left = int(maps.starts[row]), int(maps.starts[column])
    return left, top, left + maps.patch, top + maps.patch


def _with_square(image: Picture, maps: OcclusionMaps, filled: Picture) -> Picture:
    left, top, right, bottom = _square(maps)
    image = image.copy()
    image[top:bottom, left:right] = filled[top:bottom, left:right]
    return image


def contact_row(image: Picture, maps: OcclusionMaps, filled: Picture | None = None, size: int = 96) -> Picture:
    """Draw an image and its maps side by side, each ``size`` x ``size`` pixels.

    From the left: the image, uint8 [H, W, 3], with the square where the true class is least probable (its outline
    only, unless ``filled`` is given); the maps of the activation, of the true class's probability on the scale
    from 0 to 1 and on its own, and of the most probable class.
    """
    gap = 4
    row = np.full((size, 5 * (size + gap) - gap, 3), PAPER, np.uint8)
    small = Image.fromarray(resized(image if filled is None else _with_square(image, maps, filled), size))
    scale = size / len(image)
    left, top, right, bottom = (round(scale * side) for side in _square(maps))
    ImageDraw.Draw(small).rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), outline=SQUARE)
    row[:, :size] = np.asarray(small)
    # Index of each pixel's position plus 1; 0 and the last index are outside of all positions.
    where = np.searchsorted(cell_edges(maps.starts, maps.patch), (np.arange(size) + 0.5) / scale, side="right")
    drawn = (
        activation_colours(maps),
        probability_colours(maps.probability),
        probability_colours(maps.probability, own_scale(maps.probability)),
        class_colours(maps.classes),
    )
    for number, colours in enumerate(drawn, 1):
        padded = np.pad(colours, ((1, 1), (1, 1), (0, 0)), constant_values=EMPTY)
        row[:, number * (size + gap) :][:, :size] = padded[np.ix_(where, where)]
    return row


def contact_sheet(
    rows: Sequence[tuple[str, str, Picture]],
    title: str,
    classes: Sequence[int],
    class_names: Sequence[str],
    columns: int = 2,
) -> Picture:
    """Draw rows of several images on one sheet, each below two lines of text, with the colour scales at the top.

    Parameters
    ----------
    rows
        (caption, second line, picture of ``contact_row``).
    title
        heading of the sheet.
    classes
        indices of the classes that occur in the rows, in the order of the legend.
    class_names
        class names by index.
    columns
        number of columns.
    """
    margin, gap, line, entry = 24, 16, 17, 20
    columns = min(columns, max(len(rows), 1))
    cell_width = max((row.shape[1] for _, _, row in rows), default=0) + gap
    cell_height = max((row.shape[0] for _, _, row in rows), default=0) + 2 * line + gap
    width = max(columns * cell_width - gap, 640)

    legend = [
        (_scale("activation, in shares of the clear image's:", ACTIVATIONS, f"{MOST_SHARE} or more"), ""),
        (_scale("probability of the true class:", PROBABILITIES, "1"), ""),
        (_scale("beside it, on the image's own scale:", PROBABILITIES, "highest", "lowest"), ""),
    ]
    legend += [(_tile(class_colour(index)), class_names[index]) for index in classes[:MOST_NAMED]]
    if len(classes) > MOST_NAMED:
        legend.append((_tile((PAPER, PAPER, PAPER)), f"and {len(classes) - MOST_NAMED} more classes"))
    entries, left, top = [], 0, 70
    for picture, text in legend:
        text = fitted(text, 12, width / 2)
        entry_width = picture.shape[1] + 6 + int(font(12).getlength(text)) + gap
        if left + entry_width - gap > width:
            left, top = 0, top + entry
        entries.append((margin + left, top, picture, text))
        left += entry_width
    heading = top + entry + gap

    height = heading + -(-len(rows) // columns) * cell_height + margin - gap
    sheet = Image.new("RGB", (width + 2 * margin, height), (PAPER, PAPER, PAPER))
    draw = ImageDraw.Draw(sheet)
    draw.text((margin, 14), fitted(title, 20, width), INK, font(20))
    order = (
        "image with the square where the true class is least probable; activation; probability; probability on "
        "its own scale; predicted class"
    )
    draw.text((margin, 44), fitted(order, 12, width), PALE, font(12))
    for left, top, picture, text in entries:
        sheet.paste(Image.fromarray(picture), (left, top + (16 - len(picture)) // 2))
        draw.text((left + picture.shape[1] + 6, top), text, INK, font(12))
    for index, (caption, second, row) in enumerate(rows):
        left, top = margin + (index % columns) * cell_width, heading + (index // columns) * cell_height
        draw.text((left, top), fitted(caption, 12, row.shape[1]), INK, font(12))
        draw.text((left, top + line), fitted(second, 11, row.shape[1]), PALE, font(11))
        sheet.paste(Image.fromarray(row), (left, top + 2 * line))
    return np.asarray(sheet)


def _tile(colour: RGB) -> Picture:
    tile = np.full((12, 12, 3), PALE, np.uint8)
    tile[1:-1, 1:-1] = colour
    return tile


def _scale(name: str, colours: Colormap, most: str, least: str = "0") -> Picture:
    """Draw a colour scale on one line, labelled with ``least`` and ``most``."""
    small, bar = font(12), colours(np.linspace(0, 1, 100), bytes=True)[:, :3]
    left = int(small.getlength(f"{name} {least}")) + 6
    scale = Image.new("RGB", (left + 106 + int(small.getlength(most)) + 1, 16), (PAPER, PAPER, PAPER))
    draw = ImageDraw.Draw(scale)
    draw.text((0, 0), f"{name} {least}", INK, small)
    draw.text((left + 106, 0), most, INK, small)
    scale.paste(Image.fromarray(np.repeat(bar[None], 12, 0)), (left, 2))
    return np.asarray(scale)
