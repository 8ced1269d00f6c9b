"""The HTML page of a brightness job."""

from __future__ import annotations

from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import page_template, reported
from shared.database.connection import Database
from shared.store.store import Store


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the means by class."""
    with database.read() as session:
        report = reported(session, job_id)
    return page_template("kinds/brightness/page.html.j2").render(**vars(report))
