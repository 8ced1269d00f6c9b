"""One HTML page of an occlusion sweep that opens by double click: its pictures are inside it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from producer.files import write_file
from producer.pages import inline, page_template, reported
from shared.database import Database
from shared.models import OcclusionJob
from shared.store import Store

FIGURES = 24  # of the images whose probability falls most: each is a picture of half a megabyte or more

BY_CLASS = """
    SELECT class_name, count(*) AS images, avg(clear_probability) AS clear, avg(min_probability) AS least,
           sum(CASE WHEN class_changes > 0 THEN 1 ELSE 0 END) AS changed, avg(correlation) AS correlation
    FROM occlusion_maps WHERE job_id = :job
    GROUP BY class_name ORDER BY avg(clear_probability - min_probability) DESC, class_name
"""

MOST_CHANGED = """
    SELECT image_path, class_name, unit, clear_class, clear_probability, min_probability, class_changes, positions,
           picture_path
    FROM occlusion_maps WHERE job_id = :job AND picture_path IS NOT NULL
    ORDER BY clear_probability - min_probability DESC, image_id LIMIT :most
"""


def write_report(database: Database, store: Store, job_id: int, page: Path) -> None:
    """Write the page: the classes, the contact sheet, figures of the images whose probability falls most, and
    where it all comes from.

    Raises
    ------
    NoSuchJob, UsageError, JobStateConflict
        there is no such sweep, or it is not done.
    ArtifactMissing, FileNotWritable
    """
    write_file(page, _render(database, store, job_id).encode())


def _render(database: Database, store: Store, job_id: int) -> str:
    with database.read() as session:
        report = reported(session, job_id, "occlusion")
        sheet = session.get_one(OcclusionJob, job_id).contact_sheet_path
        classes = session.execute(text(BY_CLASS), {"job": job_id}).mappings().all()
        figures = session.execute(text(MOST_CHANGED), {"job": job_id, "most": FIGURES}).mappings().all()
    return page_template("occlusion.html.j2").render(
        **vars(report),
        sheet=inline(store, sheet),
        classes=classes,
        figures=[{**figure, "picture": inline(store, figure["picture_path"])} for figure in figures],
    )
