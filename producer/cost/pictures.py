"""Estimated sizes of pictures of image patches and projections, as PNG files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.database.catalogue import turns_images
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from unitscope.images.decoding import BrokenImage, decode, read_file
from unitscope.images.encoding import photographic_png

SAMPLE = 6  # images
PHOTO_SHARE = 0.7  # of a photograph's bytes in memory, if no image can be read here
PROJECTION_SHARE = 0.85  # of projections; those of random weights are as irregular as noise
PNG_BYTES = 80  # of a file without pixels


def png_share(database: Database, dataset_id: int, size: int) -> float:
    """Return the size of PNG files of images that were resized to ``size`` x ``size`` pixels, as a share of their
    3 bytes per pixel: the mean of a few images of the data set, which are read."""
    with database.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
        images = list(_spread(session, dataset_id))
    shares = []
    for image in images:
        try:
            picture = decode(read_file(Path(dataset.root) / image.path), upright=turns_images(dataset.options))
        except BrokenImage:
            continue
        region = picture.crop(image.box) if image.box else picture
        resized = np.asarray(region.resize((size, size), Picture.Resampling.BILINEAR))
        shares.append(len(photographic_png(resized)) / resized.size)
    return sum(shares) / len(shares) if shares else PHOTO_SHARE


def _spread(session: Session, dataset_id: int) -> Iterator[Image]:
    """Yield images of a data set, evenly spread by their ids."""
    of_dataset = Image.dataset_id == dataset_id
    first, last = session.execute(select(func.min(Image.id), func.max(Image.id)).where(of_dataset)).one()
    if first is None:
        return
    for number in range(SAMPLE):
        at_least = first + (last - first) * (2 * number + 1) // (2 * SAMPLE)
        query = select(Image).where(of_dataset, Image.id >= at_least).order_by(Image.id).limit(1)
        yield session.scalars(query).one()


def crop_bytes(field: int, size: int, share: float) -> int:
    """Return the size of a picture of a receptive field of ``field`` pixels; outside of the image it is grey."""
    return PNG_BYTES + round(3 * share * min(field, size) ** 2)
