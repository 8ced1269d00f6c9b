"""Mosaics of units in pages."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from producer.results.pages import data_url
from shared.store.store import Store

LEGIBLE = 288  # pixels: smaller mosaics are magnified, since browsers would blur them


def inline_mosaic(store: Store, path: str | None) -> str:
    """Return a mosaic as a data URL, or an empty string for None; that of small receptive fields is magnified.

    Raises
    ------
    ArtifactMissing
    """
    if path is None:
        return ""
    return data_url(_legible(store.locate(path).read_bytes()), Path(path).suffix)


def _legible(content: bytes) -> bytes:
    """Return a PNG file with its picture magnified if that is small."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            factor = LEGIBLE // max(picture.size)
            if factor < 2:
                return content
            magnified = picture.resize([factor * side for side in picture.size], Image.Resampling.NEAREST)
    except (OSError, Image.DecompressionBombError):  # a row may name a file that is no picture, or too large a one
        return content
    file = io.BytesIO()
    magnified.save(file, "PNG")
    return file.getvalue()
