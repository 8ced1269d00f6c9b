"""HTML page of a job of feature maps: the sheet, and the pictures of each image."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select

from producer.kinds.features.results import FEATURE_MAPS
from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import inline, load_report, page_template
from shared.database.connection import Database
from shared.kinds.features.tables import FeatureMap, FeaturesJob
from shared.store.store import Store

IMAGES, GRIDS = 24, 48  # pictures at most: a grid of channels can have some megabytes


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the page of a job, as far as it has come, for the images and the layer that ``filters`` selects; the
    sheet and the overviews show all layers.

    Raises
    ------
    NoSuchJob, JobStateConflict, NoSuchClass, NoSuchLayer, ArtifactMissing
    """
    with database.read() as session:
        extracted = select(exists().where(FeatureMap.job_id == job_id))
        report = load_report(session, job_id, lambda session: bool(session.scalar(extracted)))
        sheet = session.scalar(select(FeaturesJob.sheet_path).where(FeaturesJob.job_id == job_id))
    images: dict[int, dict[str, Any]] = {}
    grids = 0
    for row in FEATURE_MAPS.rows(database, job_id, filters):
        if row.image_number not in images and len(images) == IMAGES:
            break
        shown = images.setdefault(row.image_number, {"row": row, "layers": [], "grids": []})
        shown["layers"].append(row)
        if row.channels_path and grids < GRIDS:
            shown["grids"].append((row, inline(store, row.channels_path)))
            grids += 1
    for shown in images.values():
        shown["picture"] = inline(store, shown["row"].picture_path)
    return page_template("kinds/features/page.html.j2").render(
        **vars(report), sheet=inline(store, sheet), images=list(images.values())
    )
