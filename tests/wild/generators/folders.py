"""Folders of images as people have them: splits under any name, odd files, links, names in NFC and NFD."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
WIDTH, HEIGHT = 12, 8


def picture(seed: int = 0) -> Image.Image:
    """Draw noise of 12 x 8 pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def encoded(form: str = "JPEG", image: Image.Image | None = None, orientation: int = 1) -> bytes:
    """Encode an image file, with an EXIF orientation."""
    content, exif = io.BytesIO(), Image.Exif()
    exif[ORIENTATION] = orientation
    more = {"exif": exif} if orientation != 1 else {}
    (image or picture()).save(content, form, **more)
    return content.getvalue()


def images(root: Path, paths: Iterable[str]) -> Path:
    """Write an image of its own content to each path below ``root``."""
    for seed, path in enumerate(paths):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded("PNG", picture(seed)))
    return root


def files(root: Path, contents: Mapping[str, bytes]) -> Path:
    """Write files below ``root``."""
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def splits(*names: str, classes: Iterable[str] = ("cat", "dog"), count: int = 2) -> list[str]:
    """Return paths SPLIT/CLASS/NUMBER.png."""
    return [f"{split}/{name}/{number}.png" for split in names for name in classes for number in range(count)]


def decomposed(text: str) -> str:
    """Return the spelling of a name on macOS."""
    return unicodedata.normalize("NFD", text)


def odd_images() -> dict[str, bytes]:
    """Return images whose files have other names or modes than photographs usually have; all can be read."""
    modes = {mode: picture().convert(mode) for mode in ("L", "LA", "P", "RGBA", "1")}
    deep = Image.fromarray(np.arange(96, dtype=np.uint16).reshape(8, 12) * 600)
    return {
        **{f"{mode}.png": encoded("PNG", image) for mode, image in modes.items()},
        "cmyk.jpg": encoded("JPEG", picture().convert("CMYK")),
        "deep.png": encoded("PNG", deep),
        "deep.tif": encoded("TIFF", deep),
        "frames.gif": encoded("GIF", modes["P"]),
        "w.webp": encoded("WEBP"),
        "thin.png": encoded("PNG", picture().resize((500, 1))),
        "a PNG.jpg": encoded("PNG"),
        **{f"x{suffix}": encoded() for suffix in (".jfif", ".jpe", ".JIF", ".JPEG", ".jpg_large", ".1")},
        "x.pnm": encoded("PPM"),
        "noextension": encoded(),
        "noextension2": encoded("BMP"),
    }


UNREADABLE = {
    "x.heic": (b"\0\0\0\x18ftypheic" + bytes(100), "unsupported format (HEIC): convert to JPEG or PNG"),
    "photo.jpg": (b"\0\0\0\x18ftypmif1" + bytes(100), "unsupported format (HEIC): convert to JPEG or PNG"),
    "avif": (b"\0\0\0\x1cftypavif" + bytes(100), "unsupported format (AVIF): convert to JPEG or PNG"),
    "x.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(9), "unsupported format (JPEG 2000): convert to JPEG or PNG"),
    "x.jxl": (b"\xff\x0a" + bytes(9), "unsupported format (JPEG XL): convert to JPEG or PNG"),
    "raw.NEF": (encoded("TIFF"), "unsupported format (camera raw): convert to JPEG or PNG"),
    "x.svg": (b"<svg/>", "unsupported format (SVG): convert to JPEG or PNG"),
    "html.jpg": (b"<html>404 not found</html>", "broken image"),
    "empty.jpg": (b"", "broken image"),
    "truncated.jpg": (encoded()[:-200], "broken image"),
}
NO_IMAGES = ("notes.txt", "labels.csv", "copy.jpg.bak", "P3 is my favourite")
SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini", "._1.jpg")
IGNORED = ("__MACOSX/cat/1.jpg", "@eaDir/1.jpg/thumb.jpg", ".ipynb_checkpoints/1.jpg", "$RECYCLE.BIN/2.jpg")
