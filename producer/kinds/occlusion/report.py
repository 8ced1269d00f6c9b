"""HTML page of an occlusion sweep: classes, contact sheet, and the images with the largest drop in probability."""

from __future__ import annotations

from sqlalchemy import case, exists, func, select

from producer.kinds.occlusion.results import OCCLUSION_MAPS
from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import inline, load_report, page_template
from shared.database.connection import Database
from shared.database.datasets import Image
from shared.kinds.occlusion.tables import OcclusionJob, OcclusionMap
from shared.store.store import Store

FIGURES = 24  # at most: each is a picture of half a megabyte or more
FIGURE_COLUMNS = ("unit", "clear_class", "clear_probability", "min_probability", "class_changes", "positions")


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the page of a sweep, as far as it has come, for the images that ``filters`` selects; the sheet
    shows all images.

    Raises
    ------
    NoSuchJob, JobStateConflict, NoSuchClass, NoSuchLayer, ArtifactMissing
    """
    row, drop = OcclusionMap, OcclusionMap.clear_probability - OcclusionMap.min_probability
    with database.read() as session:
        swept = select(exists().where(row.job_id == job_id))
        report = load_report(session, job_id, lambda session: bool(session.scalar(swept)))
        sheet = session.scalar(select(OcclusionJob.contact_sheet_path).where(OcclusionJob.job_id == job_id))
        selected = (row.job_id == job_id, *OCCLUSION_MAPS.conditions(session, report.job, filters))
        by_class = (
            select(
                Image.class_name,
                func.count().label("images"),
                func.avg(row.clear_probability).label("clear"),
                func.avg(row.min_probability).label("least"),
                func.sum(case((row.class_changes > 0, 1), else_=0)).label("changed"),
                func.avg(row.correlation).label("correlation"),
            )
            .join_from(row, Image, Image.id == row.image_id)
            .where(*selected)
            .group_by(Image.class_name)
            .order_by(func.avg(drop).desc(), Image.class_name)
        )
        most_changed = (
            select(Image.path.label("image_path"), Image.class_name, row)
            .join_from(row, Image, Image.id == row.image_id)
            .where(*selected, row.picture_path.is_not(None))
            .order_by(drop.desc(), row.image_id)
            .limit(FIGURES)
        )
        classes = session.execute(by_class).mappings().all()
        figures = session.execute(most_changed).all()
    return page_template("kinds/occlusion/page.html.j2").render(
        **vars(report),
        sheet=inline(store, sheet),
        classes=classes,
        figures=[
            {
                **{name: getattr(sweep, name) for name in FIGURE_COLUMNS},
                "class_name": class_name,
                "image_path": path,
                "picture": inline(store, sweep.picture_path),
            }
            for path, class_name, sweep in figures
        ],
    )
