"""The images of a search, in the order of its kept maxima."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.database.datasets import Image, ImageSplit
from shared.jobs.tables import LeftOutImage

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
