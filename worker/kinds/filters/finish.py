"""Stage *finish* of a job of filters: the figure, and the job's summary."""

from __future__ import annotations

from typing import cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.jobs.tables import Job
from shared.kinds.filters.specification import FiltersSpecification
from shared.kinds.filters.tables import FilterLayer, FiltersJob
from unitscope.drawing.figures import as_png
from unitscope.drawing.filters import filters_figure
from worker.kinds.common import register_artifacts
from worker.kinds.filters.draw import filters_of
from worker.runner import ShardContext


def finish(context: ShardContext) -> None:
    """Draw the first layer of each network side by side, and write the job's summary."""
    specification = cast(FiltersSpecification, context.specification)
    first = [filters_of(context, specification, network, 0) for network in range(len(specification.networks))]
    figure = context.store.put(as_png(filters_figure(first, specification.scale)), ".png")
    counted = select(
        func.count().label("layers"),
        *(
            func.sum(column).label(column.key)
            for column in (
                FilterLayer.filters, FilterLayer.dead, FilterLayer.dominating, FilterLayer.over_limit,
            )
        ),
    ).where(FilterLayer.job_id == context.claim.job_id)  # fmt: skip
    with context.database.read() as session:
        summary = {name: int(value) for name, value in session.execute(counted).mappings().one().items()}

    def write(session: Session) -> None:
        register_artifacts(context, session, [figure])
        session.merge(FiltersJob(job_id=context.claim.job_id, figure_path=figure.path))
        session.get_one(Job, context.claim.job_id).summary = summary

    context.complete(write)
