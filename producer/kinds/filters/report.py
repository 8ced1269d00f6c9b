"""HTML page of a job of filters: the figure, and the picture of each layer."""

from __future__ import annotations

from sqlalchemy import exists, select

from producer.kinds.filters.results import FILTER_LAYERS
from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import inline, load_report, page_template
from shared.database.connection import Database
from shared.kinds.filters.tables import FilterLayer, FiltersJob
from shared.store.store import Store

PICTURES = 60  # at most: each can have a megabyte


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the page of a job, as far as it has come, for the layer that ``filters`` selects.

    Raises
    ------
    NoSuchJob, JobStateConflict, NoSuchLayer, ArtifactMissing
    """
    with database.read() as session:
        drawn = select(exists().where(FilterLayer.job_id == job_id))
        report = load_report(session, job_id, lambda session: bool(session.scalar(drawn)))
        figure = session.scalar(select(FiltersJob.figure_path).where(FiltersJob.job_id == job_id))
    layers = list(FILTER_LAYERS.rows(database, job_id, filters))
    return page_template("kinds/filters/page.html.j2").render(
        **vars(report),
        figure=inline(store, figure),
        layers=layers,
        pictures=[(row, inline(store, row.picture_path)) for row in layers[:PICTURES]],
    )
