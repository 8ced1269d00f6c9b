"""Valid and broken data sets and image files, and helpers to check the result of reading them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from shared.database.catalogue import FoundDataset, FoundImage, Problem
from unitscope.data.images import ImageSource

Box = tuple[object, object, object, object]
WIDTH, HEIGHT = 24, 18


def noise(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> np.ndarray:
    """Generate random pixels, uint8 [height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(picture: np.ndarray | Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Encode an image file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


GOOD = encoded(noise())


def box_of(xmin: object, ymin: object, xmax: object, ymax: object) -> str:
    sides = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    return f"<bndbox>{''.join(f'<{name}>{value}</{name}>' for name, value in sides.items())}</bndbox>"


def an_object(name: str = "dog", box: Box = (2, 3, 9, 8), more: str = "") -> str:
    return f"<object><name>{escape(name)}</name>{more}{box_of(*box)}</object>"


def an_annotation(filename: str, *objects: str) -> str:
    return f"<annotation><filename>{escape(filename)}</filename>{''.join(objects)}</annotation>"


class Voc:
    """A VOC data set that tests build step by step."""

    def __init__(self, root: Path, year: str = "2007") -> None:
        self.root, self.year = root, root / f"VOC{year}"
        for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (self.year / folder).mkdir(parents=True)

    def image(self, name: str, content: bytes = GOOD) -> None:
        (self.year / "JPEGImages" / name).write_bytes(content)

    def annotation(self, image_id: str, content: str | bytes) -> None:
        file = self.year / "Annotations" / f"{image_id}.xml"
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def split(self, name: str, *lines: str) -> None:
        (self.year / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))

    def add(self, image_id: str, *objects: str, content: bytes = GOOD) -> None:
        self.image(f"{image_id}.png", content)
        self.annotation(image_id, an_annotation(f"{image_id}.png", *objects))

    def path(self, name: str) -> str:
        return f"{self.year.name}/JPEGImages/{name}"


def problems_of(dataset: FoundDataset) -> list[tuple[str, int, str]]:
    return [(problem.path, problem.object_number, problem.reason) for problem in dataset.problems]


def only_problem(dataset: FoundDataset) -> Problem:
    """Return the only problem, and check that the good image was read."""
    assert [Path(image.path).stem for image in dataset.images] == ["good"]
    assert len(dataset.problems) == 1, dataset.problems
    return dataset.problems[0]


def source_of(dataset: FoundDataset, image: FoundImage, number: int = 1) -> ImageSource:
    return ImageSource(number, Path(dataset.root) / image.path, image.class_index, image.box, image.sha256)


def stems(dataset: FoundDataset) -> list[str]:
    return [Path(image.path).stem for image in dataset.images]


def write_folder(root: Path, paths: Iterable[str], content: bytes = GOOD) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def nested(depth: int) -> str:
    return "<a>" * depth + "</a>" * depth


def grey_ramp(bits: int) -> np.ndarray:
    ramp = np.repeat(np.arange(16, dtype=np.uint16)[None] * 17, 16, axis=0)
    return ramp.astype(np.uint8) if bits == 8 else ramp * 257


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def one_bit_png(width: int, height: int) -> bytes:
    """Build a black PNG of any size in a few kilobytes."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


JPEG = encoded(noise(200, 150), "JPEG")
BROKEN_IMAGES: dict[str, tuple[bytes, str]] = {
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "broken image"),
    "JPEG without its head": (JPEG[100:], "broken image"),
    "truncated PNG": (GOOD[: len(GOOD) // 2], "broken image"),
    "PNG with a flipped bit": (GOOD[:60] + bytes([GOOD[60] ^ 1]) + GOOD[61:], "broken image"),
    "zero bytes": (b"", "broken image"),
    "one byte": (b"\xff", "broken image"),
    "text": (b"this is no image\n", "broken image"),
    "markup": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "broken image"),
    "much too large": (one_bit_png(30_000, 30_000), "image too large"),
    "too large": (one_bit_png(10_000, 9_000), "image too large"),
    "no width": (one_bit_png(0, 5), "broken image"),
}
