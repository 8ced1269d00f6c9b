"""HTML page of found images: small pictures of them, inside the file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Resampling

from producer.kinds.top9.find.answers import FoundImage
from producer.kinds.top9.find.kept import KeptMaxima
from producer.kinds.top9.find.units_text import LayerUnit
from producer.results.pages import data_url, page_template
from shared.database.catalogue import turns_images
from shared.database.connection import Database
from shared.database.datasets import Image
from unitscope.images.decoding import BrokenImage, UnavailableFile, decode, read_file

SIZE = 180  # pixels of the longer side
MOST_PICTURES = 200
MOST_UNITS = 6  # whose activations a caption has


@dataclass(frozen=True)
class Tile:
    """An image on the page. ``picture`` is a data URL, empty if the file can't be shown for ``problem``."""

    image: FoundImage
    caption: str
    picture: str
    problem: str


def render(
    database: Database, kept: KeptMaxima, units: Sequence[LayerUnit], found: Sequence[FoundImage], title: str
) -> str:
    """Render the page. Only the first 200 images have pictures."""
    tiles = [_tile(database, kept, units, image, number < MOST_PICTURES) for number, image in enumerate(found)]
    return page_template("kinds/top9/find/page.html.j2").render(
        title=title[:1].upper() + title[1:], tiles=tiles, precision=kept.precision, dataset=kept.dataset
    )


def _tile(
    database: Database, kept: KeptMaxima, units: Sequence[LayerUnit], found: FoundImage, has_picture: bool
) -> Tile:
    values = zip(units[:MOST_UNITS], found.activations, strict=False)
    caption = ", ".join(f"{layer.name}:{unit} {value:.3g}" for (layer, unit), value in values)
    caption += ", ..." if len(units) > MOST_UNITS else ""
    if not has_picture:
        return Tile(found, caption, "", "no picture: too many images")
    with database.read() as session:
        image = session.get_one(Image, found.image_id)
    try:
        return Tile(found, caption, data_url(_small(kept, image), ".jpg"), "")
    except (BrokenImage, UnavailableFile) as error:
        return Tile(found, caption, "", str(error))


def _small(kept: KeptMaxima, image: Image) -> bytes:
    """Return a small JPEG of an image's box.

    Raises
    ------
    UnavailableFile, BrokenImage
    """
    content = read_file(Path(kept.dataset.root) / image.path)
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise BrokenImage("changed image", "the file was changed")
    picture = decode(content, upright=turns_images(kept.dataset.options))
    if image.box:
        picture = picture.crop(image.box)
    picture.thumbnail((SIZE, SIZE), Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
