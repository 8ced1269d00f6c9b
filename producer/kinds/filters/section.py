"""Section of a job of filters on the page of a study: the figure, and how many filters are dead or dominate."""

from __future__ import annotations

from sqlalchemy import select

from producer.kinds.filters.results import FILTER_LAYERS
from producer.results.pages import inline, load_report
from producer.results.sections import Picture, Section
from shared.database.connection import Database
from shared.kinds.filters.tables import FiltersJob
from shared.store.store import Store


def section(database: Database, store: Store, job_id: int) -> Section:
    """Return the section of a job that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    """
    with database.read() as session:
        load_report(session, job_id)
        figure = session.scalar(select(FiltersJob.figure_path).where(FiltersJob.job_id == job_id))
    first = [row for row in FILTER_LAYERS.rows(database, job_id) if row.reads_pixels]
    measures = {}
    for row in first:
        kernel = f"{row.kernel_rows} x {row.kernel_cols}, stride {row.stride_rows}"
        counts = f"{row.dead} dead, {row.dominating} dominating, median RMS {row.rms_median:.3g}"
        measures[f"filters of {row.network} {row.layer}"] = f"{row.filters} of {kernel}: {counts}"
    return Section(None, measures, [Picture(inline(store, figure), columns=2)] if figure else [])
