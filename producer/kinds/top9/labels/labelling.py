"""Labels of the units of a search: computed from its kept maxima, and written to the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, select

from producer.kinds.top9.find.kept import KeptMaxima
from producer.kinds.top9.labels.similarities import Similarities
from producer.results.jobs import incomplete, job_of_kind
from shared.database.connection import Database
from shared.database.datasets import Image
from shared.errors import JobStateConflict, UsageError
from shared.kinds.top9.tables import SearchedLayer, UnitLabel
from unitscope.find.labels import UnitConcept, best_concepts
from unitscope.spelling import nfc

ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Labelled:
    """Numbers of labelled units, and of the images that labels were computed from."""

    units: int
    images: int


def label_units(database: Database, kept: KeptMaxima, similarities: Similarities, count: int) -> Labelled:
    """Label each active unit with its best concepts, in place of the labels that the search had.

    Images of the file are those of the search with the same path in the data set; the objects of a file share its
    similarities.

    Parameters
    ----------
    count
        Number of labels of a unit, at most.

    Raises
    ------
    UsageError
        The file and the search have no images in common, or the file is not as expected.
    """
    positions, numbers = _images_of(database, kept, similarities)
    rows: list[dict[str, Any]] = []
    labelled = 0
    layers = _layer_ids(database, kept.job_id)
    for layer in kept.layers:
        found = best_concepts(layer, positions, numbers, similarities.rows, len(similarities.names), count)
        rows += (_row(layers[layer.path], one, similarities) for one in found)
        labelled += sum(one.rank == 1 for one in found)
    _write(database, kept.job_id, list(layers.values()), rows)
    return Labelled(labelled, len(positions))


def _images_of(database: Database, kept: KeptMaxima, similarities: Similarities) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the searched images that the file has, ascending, and their rows in the file."""
    number_of = {nfc(path): number for number, path in enumerate(similarities.paths)}
    objects: dict[int, int] = {}
    query = select(Image.id, Image.path).where(Image.dataset_id == kept.dataset.id)
    with database.read() as session:
        for image_id, path in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)):
            number, position = number_of.get(nfc(path)), kept.position(image_id)
            if number is not None and position is not None:
                objects[position] = number
    if not objects:
        reason = f"No path in {similarities.file} is that of an image of job {kept.job_id}"
        example = f"paths are relative to the data set's folder, {kept.dataset.root}"
        raise UsageError(reason=f"{reason}: {example}.")
    positions = np.array(sorted(objects), np.int64)
    return positions, np.array([objects[position] for position in positions.tolist()], np.int64)


def _layer_ids(database: Database, job_id: int) -> dict[str, int]:
    query = select(SearchedLayer.layer_path, SearchedLayer.id).where(SearchedLayer.job_id == job_id)
    with database.read() as session:
        return dict(session.execute(query).all())


def _row(layer_id: int, found: UnitConcept, similarities: Similarities) -> dict[str, Any]:
    return {
        "layer_id": layer_id,
        "unit": found.unit,
        "rank": found.rank,
        "label": similarities.names[found.concept],
        "score": found.score,
        "similarities_sha256": similarities.sha256,
    }


def _write(database: Database, job_id: int, layer_ids: Sequence[int], rows: Sequence[dict[str, Any]]) -> None:
    with database.write() as session:
        job = job_of_kind(session, job_id, "top9", "units to label")
        if incomplete(session, job):  # it was retried in the meantime
            raise JobStateConflict(job_id=job_id, state=job.state, action="labelled before it is done")
        session.execute(delete(UnitLabel).where(UnitLabel.layer_id.in_(layer_ids)))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            session.execute(insert(UnitLabel), rows[start : start + ROWS_AT_ONCE])
