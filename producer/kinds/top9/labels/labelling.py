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
from unitscope.find.labels import soft_wpmi, strongest_images
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
    # Concepts are compared among the units of a layer: those of other layers respond to other things.
    for layer in kept.layers:
        indices = [at for at in np.flatnonzero(layer.active).tolist() if np.isfinite(layer.maxima[at]).all()]
        if not indices:
            continue
        strongest = numbers[strongest_images(layer.maxima, indices, positions)]
        scores = soft_wpmi(strongest, similarities.rows(), len(similarities.names))
        rows += _rows(layers[layer.path], [layer.units[index] for index in indices], scores, similarities, count)
        labelled += len(indices)
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
        return dict(session.execute(query).tuples().all())


def _rows(
    layer_id: int, units: Sequence[int], scores: np.ndarray, similarities: Similarities, count: int
) -> list[dict[str, Any]]:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]  # of equal scores, the concept listed first
    return [
        {
            "layer_id": layer_id,
            "unit": unit,
            "rank": rank,
            "label": similarities.names[concept],
            "score": float(scores[place, concept]),
            "similarities_sha256": similarities.sha256,
        }
        for place, unit in enumerate(units)
        for rank, concept in enumerate(best[place].tolist(), 1)
    ]


def _write(database: Database, job_id: int, layer_ids: Sequence[int], rows: Sequence[dict[str, Any]]) -> None:
    with database.write() as session:
        job = job_of_kind(session, job_id, "top9", "units to label")
        if incomplete(session, job):  # it was retried in the meantime
            raise JobStateConflict(job_id=job_id, state=job.state, action="labelled before it is done")
        session.execute(delete(UnitLabel).where(UnitLabel.layer_id.in_(layer_ids)))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            session.execute(insert(UnitLabel), rows[start : start + ROWS_AT_ONCE])
