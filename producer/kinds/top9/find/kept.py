"""The kept maxima of a search: the files of its layers, mapped into memory, and what the database says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.kinds.top9.layers import network_description, searched_layers, searched_paths
from producer.results.jobs import incomplete, job_of_kind
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.errors import JobStateConflict, UsageError
from shared.kinds.registry import parse
from shared.kinds.top9.images import SearchedImages, searched_images
from shared.kinds.top9.maxima import units_of_maxima
from shared.kinds.top9.specification import Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation, UnitStatistics
from shared.store.store import Store
from unitscope.description import NetworkDescription
from unitscope.errors import MaximaNotReadable
from unitscope.find.layer import LayerMaxima
from unitscope.find.maxima import map_maxima
from unitscope.find.scales import scales_of

CHECKED_UNITS = 16  # of each layer, whose strongest activation is compared with the database
SCREENED_DIFFERENCE = 0.1  # of a unit's typical size, between float32 and a lower precision


@dataclass(frozen=True)
class KeptMaxima:
    """The kept maxima of a search. ``precision`` is that in which they were computed; ``description`` is that of
    the network, if the database has it."""

    job_id: int
    dataset: Dataset
    specification: Top9Specification
    images: SearchedImages
    layers: Sequence[LayerMaxima]
    description: NetworkDescription | None

    @property
    def precision(self) -> str:
        return self.specification.screen or "float32"

    def named(self, name: str) -> list[LayerMaxima]:
        """Return the layers that a text names: see ``searched_paths``.

        Raises
        ------
        NoSuchModule
        """
        searched = {layer.path: layer.name for layer in self.layers}
        paths = searched_paths(name, searched, self.description, self.job_id)
        return [layer for layer in self.layers if layer.path in paths]

    def position(self, image_id: int) -> int | None:
        """Return an image's position in the maxima, or None if the search did not use it."""
        at = int(self.images.ids.searchsorted(image_id))
        return at if at < len(self.images.ids) and self.images.ids[at] == image_id else None


def kept_maxima(database: Database, store: Store, job_id: int) -> KeptMaxima:
    """Open the kept maxima of a search that is done.

    The order of the images is that of their ids in the database. It is checked against stored rows: the strongest
    activations of some units. The files' content is not compared with their SHA-256, which `analyze verify` does.

    Raises
    ------
    NoSuchJob, JobNotOfKind, JobStateConflict, ArtifactMissing
    UsageError
        The search kept no maxima.
    MaximaNotReadable
        A file is not that of the search.
    """
    with database.read() as session:
        job = job_of_kind(session, job_id, "top9", "maxima")
        if incomplete(session, job):
            raise JobStateConflict(job_id=job_id, state=job.state, action="searched before it is done")
        specification = parse(job.kind, job.specification)
        assert isinstance(specification, Top9Specification)  # noqa: S101 - of a top-9 job
        rows = searched_layers(session, job_id)
        if not rows or any(row.maxima_path is None for row in rows):
            raise _none_kept(job_id, specification)
        images = searched_images(session, job_id, job.dataset_id, specification.split)
        dataset = session.get_one(Dataset, job.dataset_id)
        layers = [_open_layer(session, store, row, specification, images) for row in rows]
        description = network_description(session, job)
    return KeptMaxima(job_id, dataset, specification, images, layers, description)


def _none_kept(job_id: int, specification: Top9Specification) -> UsageError:
    if not specification.maxima:
        return UsageError(reason=f"Job {job_id} kept no maxima (--no-maxima). Submit the search again without it.")
    reason = f"Job {job_id} was computed by a version of unitscope that kept no maxima."
    return UsageError(reason=f"{reason} Submit it again with --force.")


def _open_layer(
    session: Session,
    store: Store,
    row: SearchedLayer,
    specification: Top9Specification,
    images: SearchedImages,
) -> LayerMaxima:
    units = units_of_maxima(specification, row)
    file = store.locate(row.maxima_path or "")
    maxima = map_maxima(file, len(units), len(images.ids))
    scales, active = _states(session, row.id, units)
    layer = LayerMaxima(row.layer, row.layer_path, units, maxima, scales, active)
    share = SCREENED_DIFFERENCE if specification.screen else 0.0
    _check_order(session, row, layer, images, share, f"{file.parent.name}/{file.name}")
    return layer


def _states(session: Session, layer_id: int, units: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the scales of a layer's units, and which of them are active on some image and finite."""
    query = (
        select(SearchedUnit.unit, SearchedUnit.dead, UnitStatistics.q999, UnitStatistics.maximum)
        .outerjoin(
            UnitStatistics,
            (UnitStatistics.layer_id == SearchedUnit.layer_id) & (UnitStatistics.unit == SearchedUnit.unit),
        )
        .where(SearchedUnit.layer_id == layer_id)
    )
    # Units that are not finite have no statistics.
    found = {
        unit: (q999 or 0.0, maximum or 0.0, not dead and maximum is not None)
        for unit, dead, q999, maximum in session.execute(query)
    }
    quantiles, maxima, active = zip(*(found.get(unit, (0.0, 0.0, False)) for unit in units), strict=True)
    return scales_of(np.array(quantiles), np.array(maxima)), np.array(active, bool)


def _check_order(
    session: Session,
    row: SearchedLayer,
    layer: LayerMaxima,
    images: SearchedImages,
    share: float,
    path: str,
) -> None:
    """Check that the file has the strongest activations of the database, at the positions of their images.

    They may differ by a share of the unit's typical size, not of the activation: the error of a lower precision is
    that of the terms of a sum, which can be much larger than the sum.
    """
    top, statistics = TopActivation, UnitStatistics
    query = (
        select(top.unit, top.image_id, top.activation, statistics.q50, statistics.minimum)
        .join(statistics, (statistics.layer_id == top.layer_id) & (statistics.unit == top.unit))
        .where(top.layer_id == row.id, top.rank == 1)
    )
    rows = session.execute(query.order_by(top.unit).limit(CHECKED_UNITS))
    for unit, image_id, activation, median, minimum in rows:
        at = int(images.ids.searchsorted(image_id))
        found = at < len(images.ids) and images.ids[at] == image_id
        value = float(layer.maxima[layer.index(unit), at]) if found else np.nan
        if not abs(value - activation) <= share * max(abs(activation), abs(median), abs(minimum)):
            reason = f"it has not the strongest activation of unit {unit} of {layer.name} that the database has"
            raise MaximaNotReadable(path=path, reason=reason)
