"""Found units and images with what pages show of them: addresses, mosaics, thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from producer.gallery.page import Gallery
from producer.gallery.pictures import image_link
from producer.gallery.templates import job_link
from producer.kinds.top9.find.answers import FoundImage
from shared.database.datasets import Image
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit
from unitscope.find.exceptional import FoundUnit
from unitscope.find.similar import SimilarUnit

SIDE = 240  # pixels of a thumbnail


def shown_units(gallery: Gallery, job_id: int, found: Sequence[FoundUnit | SimilarUnit]) -> list[dict[str, Any]]:
    """Return the columns of found units with their addresses and the paths of their mosaics."""
    query = (
        select(SearchedLayer.layer, SearchedUnit.unit, SearchedUnit.patches_path, SearchedUnit.projections_path)
        .join(SearchedUnit, SearchedUnit.layer_id == SearchedLayer.id)
        .where(SearchedLayer.job_id == job_id, SearchedLayer.layer.in_({one.layer for one in found}))
        .where(SearchedUnit.unit.in_({one.unit for one in found}))
    )
    with gallery.database.read() as session:
        mosaics = {(layer, unit): paths for layer, unit, *paths in session.execute(query)}
    shown = []
    for one in found:
        patches, projections = mosaics.get((one.layer, one.unit), (None, None))
        address = job_link(job_id, "layers", one.layer, "units", one.unit)
        mosaic = {"address": address, "patches_path": patches, "projections_path": projections}
        shown.append({**asdict(one), **mosaic})
    return shown


def shown_images(gallery: Gallery, found: Sequence[FoundImage]) -> list[dict[str, Any]]:
    """Return the columns of found images with the addresses of their pages and thumbnails."""
    ids = [one.image_id for one in found]
    with gallery.database.read() as session:
        query = select(Image.id, Image.sha256).where(Image.id.in_(ids))
        hashes = dict(session.execute(query).all())
    return [
        {
            **asdict(one),
            "address": f"/images/{one.image_id}",
            "picture": image_link(one.image_id, hashes[one.image_id], SIDE),
        }
        for one in found
    ]
