"""A generated data set of drawn objects in the PASCAL VOC layout, which needs no download.

Every object is one of five shapes filled with one of four textures. Colours, sizes, angles and positions are
random and independent of the class: a network has to recognize shape and texture.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageColor, ImageDraw

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Rng = np.random.Generator

SHAPES = ("circle", "square", "triangle", "star", "cross")
TEXTURES = ("striped", "checked", "dotted", "plain")
CLASSES: tuple[str, ...] = tuple(f"{texture}-{shape}" for shape in SHAPES for texture in TEXTURES)
# 000001, 000003, ... are training images, the others validation images.
SPLITS = {"train": slice(0, None, 2), "val": slice(1, None, 2)}

_WIDTHS, _HEIGHTS = (256, 320), (192, 256)  # pixels, ranges of an image's size
_SIZES = (70, 116)  # pixels, range of the longer side of an object
_TILT = 20  # degrees to either side, at most; more would turn a square into a diamond
_MARGIN = 4  # pixels, minimum width of background around an object
_RIM = 2  # pixels, width of an object's dark outline
_OVERSAMPLING = 4

# An object has a dark and a light colour, and the background's brightness lies between them.
_DEEP = ("#b3202c", "#1d4fa3", "#136b3f", "#63298f", "#a83f0c", "#0b6370", "#8a1a58", "#2a2d74", "#5c3317")
_LIGHT = ("#ffd84a", "#fff3da", "#a9ecd0", "#a6dcff", "#ffb9cb", "#ffbf7d", "#daf27a", "#dccaff")
_GROUND = ("#948a7c", "#7f8f7e", "#7a8b94", "#8f8496", "#98827a", "#8a8a8a", "#8f8e72", "#748f8c")


@dataclass(frozen=True)
class DrawnObject:
    """A drawn object: its class, its upper left pixel (from 0), and its coverage of each pixel.

    ``coverage`` is uint8 (height, width), with 255 for a fully covered pixel, cropped so that its first and last
    rows and columns each hold a pixel above 0.
    """

    name: str
    left: int
    top: int
    coverage: Bytes

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The box ``xmin, ymin, xmax, ymax`` as in PASCAL VOC: from 1, with the last pixel included."""
        height, width = self.coverage.shape
        return self.left + 1, self.top + 1, self.left + width, self.top + height


@dataclass(frozen=True)
class Scene:
    """A drawn image, uint8 RGB (height, width, 3), and its objects from left to right."""

    pixels: Bytes
    objects: tuple[DrawnObject, ...]


def generate(
    root: Path, *, images: int = 800, seed: int = 0, progress: Callable[[int], None] = lambda written: None
) -> None:
    """Draw a data set and write it below ``root`` as ``VOC2007/{JPEGImages,Annotations,ImageSets/Main}``.

    The same ``images`` and ``seed`` give the same bytes with the same versions of NumPy and Pillow. With a
    multiple of 20 images, every class appears equally often in ``train`` and in ``val``.

    Parameters
    ----------
    root
        The folder to create. It is renamed into place when all files are written.
    images
        Number of images, at least 2; each holds two objects.
    seed
        Seed of the random numbers, at least 0.
    progress
        Called after each image with the number of images written so far.

    Raises
    ------
    FileExistsError
        ``root`` is a file, or a folder that is not empty.
    ValueError
        ``images`` or ``seed`` is too small.
    """
    if images < 2 or seed < 0:
        raise ValueError(f"images must be at least 2 and seed at least 0, not {images} and {seed}")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} exists and is not an empty folder")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as unfinished:
        # A new folder inside, because the temporary one has mode 700.
        fresh = Path(unfinished) / "fresh"
        _write_all(fresh / "VOC2007", images, seed, progress)
        if root.exists():
            root.rmdir()
        fresh.rename(root)


def deal_classes(images: int, seed: int) -> list[tuple[str, str]]:
    """Choose the two classes of every image, each class equally often in each split."""
    rng = np.random.default_rng([seed, 0])
    dealt = [("", "")] * images
    for split in SPLITS.values():
        dealt[split] = _shuffled_pairs(len(dealt[split]), rng)
    return dealt


def draw_scene(names: Sequence[str], *, seed: int, number: int) -> Scene:
    """Draw image ``number`` (from 1) with an object of each class in ``names``, at most two, side by side.

    The background depends only on ``seed`` and ``number``; without names, the image is only background.
    """
    rng = np.random.default_rng([seed, number])
    width, height = (int(rng.integers(*sides, endpoint=True)) for sides in (_WIDTHS, _HEIGHTS))
    pixels = _ground(height, width, rng)
    drawn = [_draw_object(name, rng) for name in names]
    lefts = _place_side_by_side([coverage.shape[1] for coverage, _ in drawn], width, rng)
    objects = []
    for name, left, (coverage, colours) in zip(names, lefts, drawn, strict=True):
        rows, columns = coverage.shape
        top = int(rng.integers(_MARGIN, height - _MARGIN - rows, endpoint=True))
        under = pixels[top : top + rows, left : left + columns]
        under *= 1 - coverage[..., None] / np.float32(255)
        under += colours
        objects.append(DrawnObject(name, left, top, coverage))
    return Scene(np.clip(pixels + 0.5, 0, 255).astype(np.uint8), tuple(objects))


def _shuffled_pairs(count: int, rng: Rng) -> list[tuple[str, str]]:
    """Return random pairs of classes; every class is used once before any is used again."""
    rounds = -(-2 * count // len(CLASSES))
    names = [CLASSES[index] for _ in range(rounds) for index in rng.permutation(len(CLASSES))]
    return list(zip(names[::2], names[1::2], strict=True))[:count]


# --- drawing ---------------------------------------------------------------------------------------------


def _ground(height: int, width: int, rng: Rng) -> Floats:
    """Draw a background: clouds, a gradient and noise in one muted tone; colours 0..255, (height, width, 3)."""
    clouds = _clouds(height, width, 5, rng) + _clouds(height, width, 14, rng) / 2
    down, right = rng.uniform(-1, 1, 2)
    slope = np.add.outer(np.linspace(-down, down, height), np.linspace(-right, right, width))
    light = (clouds + slope).astype(np.float32)
    strength = rng.uniform(6, 14, 3).astype(np.float32)  # different in the three channels, so that the tint varies
    grain = np.float32(2.5) * rng.standard_normal((height, width), np.float32)
    tone = _random_colour(_GROUND, rng) + np.float32(rng.uniform(-10, 10))
    return np.stack([tone[k] + light * strength[k] + grain for k in range(3)], axis=2)


def _clouds(height: int, width: int, cells: int, rng: Rng) -> Floats:
    coarse = Image.fromarray(rng.standard_normal((cells, cells), np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _draw_object(name: str, rng: Rng) -> tuple[Bytes, Floats]:
    """Draw an object: its coverage (height, width), and its colours, 0..255 times its share of a pixel."""
    texture, shape = name.split("-")
    size = rng.uniform(*_SIZES)
    coverage, inside, rim = _draw_masks(_corners(shape), size, rng.uniform(-_TILT, _TILT))
    deep, light = _random_colour(_DEEP, rng), _random_colour(_LIGHT, rng)
    first, second = (deep, light) if rng.random() < 0.5 else (light, deep)
    share = _texture(texture, coverage.shape, size, rng)[..., None]
    filling = inside[..., None] / 255 * (first + share * (second - first))
    return coverage, (filling + rim[..., None] / 255 * (0.35 * deep)).astype(np.float32)


def _draw_masks(corners: Floats, size: float, degrees: float) -> tuple[Bytes, Bytes, Bytes]:
    """Draw masks of a rotated polygon, its inside and its rim: coverage of each pixel, 0..255, cropped."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turned = corners @ np.array([[cos, sin], [-sin, cos]])
    turned -= turned.min(axis=0)
    points = (turned * (size / turned.max()) + 1) * _OVERSAMPLING
    side, rim_width = (int(np.ceil(size)) + 2) * _OVERSAMPLING, _RIM * _OVERSAMPLING
    fine = Image.new("RGB", (side, side))  # its three channels hold the three masks
    draw = ImageDraw.Draw(fine)
    draw.polygon(points.ravel().tolist(), fill=(255, 255, 0), outline=(255, 0, 255), width=rim_width)
    masks = fine.reduce(_OVERSAMPLING)
    whole, inside, rim = masks.crop(masks.getbbox()).split()
    return np.asarray(whole), np.asarray(inside), np.asarray(rim)


def _corners(shape: str) -> Floats:
    """Return the corners of a shape's polygon, (corners, 2), x to the right and y downwards, in any scale."""
    if shape == "square":
        return np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    if shape == "cross":  # with wide arms, since narrow ones would hide the texture
        steps = [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (2, 2), (2, 3), (1, 3), (1, 2), (0, 2), (0, 1), (1, 1)]
        return np.take(np.array([0, 0.32, 0.68, 1], np.float32), steps)
    radii = {"circle": np.ones(120), "triangle": np.ones(3), "star": np.tile([1, 0.48], 5)}[shape]
    angles = np.arange(len(radii)) * (2 * np.pi / len(radii))
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1).astype(np.float32)


def _texture(texture: str, shape: tuple[int, ...], size: float, rng: Rng) -> Floats:
    """Draw a texture: the share, 0..1, of the second colour in each pixel of an object ``size`` pixels long."""
    angle, shift, scale = rng.uniform(0, np.pi), rng.uniform(0, size, 2), rng.uniform(0.9, 1.1)
    y, x = np.indices(shape, np.float32)
    across: Floats = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y + np.float32(shift[0])
    along: Floats = np.float32(np.cos(angle)) * y - np.float32(np.sin(angle)) * x + np.float32(shift[1])
    if texture == "striped":
        return _bars(across, 0.2 * size * scale)
    if texture == "checked":
        one, other = _bars(across, 0.27 * size * scale), _bars(along, 0.27 * size * scale)
        return one + other - 2 * one * other
    if texture == "dotted":
        return _dots(across, along, 0.21 * size * scale)
    return np.zeros(shape, np.float32)


def _bars(position: Floats, period: float) -> Floats:
    """Draw bars half a period wide, with edges blurred over one pixel."""
    return _soft(np.abs(position % period - period / 2) - period / 4)


def _dots(across: Floats, along: Floats, pitch: float) -> Floats:
    """Draw round dots on a square lattice, with edges blurred over one pixel."""
    return _soft(0.32 * pitch - np.hypot(across % pitch - pitch / 2, along % pitch - pitch / 2))


def _soft(depth: ArrayLike) -> Floats:
    """Return the share of a pixel inside an edge, if the pixel's centre is ``depth`` pixels inside."""
    return np.asarray(np.clip(np.add(depth, 0.5), 0, 1), np.float32)


def _random_colour(palette: Sequence[str], rng: Rng) -> Floats:
    return np.array(ImageColor.getrgb(palette[int(rng.integers(len(palette)))]), np.float32)


def _place_side_by_side(widths: Sequence[int], room: int, rng: Rng) -> list[int]:
    """Return the left edges of objects of these widths, with the spare space divided at random."""
    spare = room - sum(widths) - _MARGIN * (len(widths) + 1)
    before = np.sort(rng.integers(0, spare, len(widths), endpoint=True))
    return [int(gap) + sum(widths[:k]) + _MARGIN * (k + 1) for k, gap in enumerate(before)]


# --- writing ---------------------------------------------------------------------------------------------


def _write_all(folder: Path, images: int, seed: int, progress: Callable[[int], None]) -> None:
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    ids = [f"{number:06}" for number in range(1, images + 1)]
    for number, (image_id, names) in enumerate(zip(ids, deal_classes(images, seed), strict=True), start=1):
        scene = draw_scene(names, seed=seed, number=number)
        Image.fromarray(scene.pixels).save(folder / f"JPEGImages/{image_id}.jpg", quality=92)
        _write_text(folder / f"Annotations/{image_id}.xml", _annotation(f"{image_id}.jpg", scene))
        progress(number)
    for split, members in [*SPLITS.items(), ("trainval", slice(None))]:
        _write_text(folder / f"ImageSets/Main/{split}.txt", "".join(f"{i}\n" for i in ids[members]))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _annotation(filename: str, scene: Scene) -> str:
    objects = "".join(_OBJECT.format(drawn.name, *drawn.box) for drawn in scene.objects)
    return _ANNOTATION.format(filename, *scene.pixels.shape, objects)


_ANNOTATION = """<annotation>
\t<folder>VOC2007</folder>
\t<filename>{0}</filename>
\t<source><database>Drawn shapes</database></source>
\t<size>
\t\t<width>{2}</width>
\t\t<height>{1}</height>
\t\t<depth>{3}</depth>
\t</size>
\t<segmented>0</segmented>
{4}</annotation>
"""

_OBJECT = """\t<object>
\t\t<name>{}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>{}</xmin>
\t\t\t<ymin>{}</ymin>
\t\t\t<xmax>{}</xmax>
\t\t\t<ymax>{}</ymax>
\t\t</bndbox>
\t</object>
"""
