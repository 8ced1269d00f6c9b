"""HTML page of an evolution: the paper's figure, the shares of settled units, and each layer's units."""

from __future__ import annotations

from sqlalchemy.orm import Session

from producer.kinds.evolution.results import SETTLED_UNITS, searched_layers
from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import inline, load_report, page_template
from shared.database.connection import Database
from shared.kinds.evolution.tables import EvolutionJob
from shared.store.store import Store


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the page of an evolution, as far as it has come; ``filters`` selects layers of the table and blocks.

    Raises
    ------
    NoSuchJob, JobStateConflict, NoSuchLayer, ArtifactMissing
    """

    def has_rows(session: Session) -> bool:
        return bool(searched_layers(session, job_id))

    with database.read() as session:
        report = load_report(session, job_id, has_rows)
        layers = searched_layers(session, job_id, filters.layer)
        drawn = session.get(EvolutionJob, job_id)
    settled = list(SETTLED_UNITS.rows(database, job_id, Filters(layer=filters.layer)))
    blocks = []
    for layer in layers:
        counts = [row for row in settled if row.layer_path == layer.layer_path]
        blocks.append(
            {
                "name": layer.layer,
                "picture": inline(store, layer.block_path),
                "counts": counts,
                "last": counts[-1] if counts else None,
            }
        )
    return page_template("kinds/evolution/page.html.j2").render(
        **vars(report),
        figure=inline(store, drawn.figure_path) if drawn else "",
        curve=inline(store, drawn.curve_path) if drawn else "",
        layers=blocks,
        epochs=[checkpoint.epoch for checkpoint in report.specification.checkpoints],
    )
