"""Small data sets in VOC's format, as annotation tools and their users leave them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
Corners = tuple[object, object, object, object]


def picture(path: Path, orientation: int = 1, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write an image whose pixels depend on its name; JPEG, unless the name says PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG" if path.suffix.lower() == ".png" else "JPEG", exif=exif)
    path.write_bytes(content.getvalue())
    return path


def thing(name: str = "cat", box: Corners = (5, 5, 20, 20), more: str = "") -> str:
    """Return an object."""
    corners = "".join(f"<{side}>{value}</{side}>" for side, value in zip(SIDES, box, strict=True))
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox>{more}</object>"


SIDES = ("xmin", "ymin", "xmax", "ymax")


def annotation(
    filename: str | None,
    *objects: str,
    size: tuple[int, int] | None = (WIDTH, HEIGHT),
    encoding: str = "utf-8",
    head: str = "",
    more: str = "",
) -> bytes:
    """Return an annotation file."""
    name = f"<filename>{filename}</filename>" if filename is not None else ""
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"{head}<annotation>{more}{name}{stated}{''.join(objects)}</annotation>".encode(encoding)


def devkit(
    root: Path,
    items: Mapping[str, bytes],
    lists: Mapping[str, str | bytes] | None = None,
    images: Mapping[str, str] | None = None,
    year: str = "VOC2012",
    sub: str = "Main",
) -> Path:
    """Write ``VOCdevkit``.

    Parameters
    ----------
    items
        Annotations by id.
    lists
        Lists by name; None for a list ``train`` of all ids, empty for no folder ``ImageSets``.
    images
        File names by id, where they are not the id with ``.jpg``.
    """
    base = root / "VOCdevkit" / year
    for image_id, content in items.items():
        picture(base / "JPEGImages" / (images or {}).get(image_id, f"{image_id}.jpg"))
        write(base / "Annotations" / f"{image_id}.xml", content)
    for name, text in ({"train": "\n".join(items)} if lists is None else lists).items():
        write(base / "ImageSets" / sub / f"{name}.txt", text.encode() if isinstance(text, str) else text)
    return root


def plain(ids: Iterable[str], *objects: str) -> dict[str, bytes]:
    """Return an annotation for each id, of the image of its name."""
    return {image_id: annotation(f"{image_id}.jpg", *(objects or (thing(),))) for image_id in ids}


def beside(folder: Path, *stems: str, annotations: Path | None = None) -> None:
    """Write images and, in the same folder or another one, their annotations."""
    for stem in stems:
        picture(folder / f"{stem}.jpg")
        write((annotations or folder) / f"{stem}.xml", annotation(f"{stem}.jpg", thing()))


def write(path: Path, content: bytes) -> None:
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
