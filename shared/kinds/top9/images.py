"""The images of a search, in the order of its kept maxima."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.database.datasets import Image, ImageSplit
from shared.jobs.tables import LeftOutImage
from unitscope.find.distinct import distinct_groups
from unitscope.vocabulary import Distinct

ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class SearchedImages:
    """Ids, int64 [images], ascending, and indices of the classes, int64 [images], of the images that a search
    used."""

    ids: np.ndarray
    labels: np.ndarray


def searched_images(session: Session, job_id: int, dataset_id: int, split: str) -> SearchedImages:
    """Return the images of a split without those that the search left out.

    Maxima are stored without ids, so that the same maxima are the same file in every database, also after an
    export. An image's position in the file is its position here.
    """
    left_out = select(LeftOutImage.image_id).where(LeftOutImage.job_id == job_id, LeftOutImage.stage == "search")
    query = (
        select(Image.id, Image.class_index)
        .join(ImageSplit, ImageSplit.image_id == Image.id)
        .where(ImageSplit.dataset_id == dataset_id, ImageSplit.split == split, Image.id.not_in(left_out))
        .order_by(Image.id)
    )
    rows = session.execute(query.execution_options(yield_per=ROWS_AT_ONCE))
    parts = [np.array([tuple(row) for row in part], np.int64) for part in rows.partitions()]
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *parts])
    return SearchedImages(pairs[:, 0].copy(), pairs[:, 1].copy())


@dataclass(frozen=True)
class ImageGroups:
    """Ids, int64 [images], ascending, of the images of a split, and the group of each, int64 [images]: see
    ``unitscope.find.distinct``."""

    ids: np.ndarray
    groups: np.ndarray

    def of(self, image_ids: np.ndarray) -> np.ndarray:
        """Return the groups of images of the split, by their ids, which may be in any shape."""
        result: np.ndarray = self.groups[self.ids.searchsorted(image_ids)]
        return result


def image_groups(session: Session, dataset_id: int, split: str, distinct: Distinct) -> ImageGroups:
    """Group the images of a split, so that a list can have one image of each group.

    All images of the split are grouped, whichever a search used or left out: the groups are the same for all
    shards. With "files", perceptual hashes are not used.
    """
    query = (
        select(Image.id, Image.sha256, Image.perceptual_hash)
        .join(ImageSplit, ImageSplit.image_id == Image.id)
        .where(ImageSplit.dataset_id == dataset_id, ImageSplit.split == split)
        .order_by(Image.id)
    )
    ids, files, hashes = [], [], []
    for image_id, sha256, perceptual in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)):
        ids.append(image_id)
        files.append(sha256)
        hashes.append(perceptual if distinct == "near" else None)
    has_hash = np.array([known is not None for known in hashes], bool)
    numbers = np.array([known or 0 for known in hashes], np.int64)
    return ImageGroups(np.array(ids, np.int64), distinct_groups(files, numbers, has_hash))


def kind_of_distinct(session: Session, dataset_id: int, split: str) -> Distinct:
    """Return "near" if all images of a split have perceptual hashes, else "files"."""
    missing = (
        select(Image.id)
        .join(ImageSplit, ImageSplit.image_id == Image.id)
        .where(ImageSplit.dataset_id == dataset_id, ImageSplit.split == split, Image.perceptual_hash.is_(None))
        .limit(1)
    )
    return "near" if session.scalar(missing) is None else "files"
