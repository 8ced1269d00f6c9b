"""Reading the results of a top-9 search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, select, text
from sqlalchemy.orm import Session

from shared.database import Database
from shared.errors import NoSuchJob, NoSuchLayer, NoSuchUnit, UsageError
from shared.models import Job, SearchedLayer, SearchedUnit

COLUMNS = (
    *("job_id", "layer", "layer_path", "unit", "rank", "activation", "image_id", "image_path", "class_name"),
    *("row", "col", "patch_path", "projection_path", "projection_scale", "tied"),
)


FOUND = {"top9": "top activations", "occlusion": "occlusion maps"}  # by kind of job


@dataclass(frozen=True)
class UnitSummary:
    """A live unit in one line: what its top images are of."""

    layer: str
    unit: int
    activation: float  # of the first
    class_name: str  # the most frequent class
    share: float  # of the images that are of that class
    count: int
    patches_path: str | None
    projections_path: str | None


def kind_of(database: Database, job_id: int) -> str:
    """Of which kind a job is.

    Raises
    ------
    NoSuchJob
    """
    with database.read() as session:
        kind = session.scalar(select(Job.kind).where(Job.id == job_id))
    if kind is None:
        raise NoSuchJob(job_id=job_id)
    return kind


def job_of_kind(session: Session, job_id: int, kind: str) -> Job:
    """The job, if it is of this kind.

    Raises
    ------
    NoSuchJob, UsageError
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NoSuchJob(job_id=job_id)
    if job.kind != kind:
        raise UsageError(reason=f"Job {job_id} is of kind {job.kind}: it has no {FOUND[kind]}.")
    return job


def top_rows(
    database: Database, job_id: int, layer: str | None = None, units: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Rows of ``top_activations``, in the order of layer, unit and rank.

    Raises
    ------
    NoSuchJob, NoSuchLayer, NoSuchUnit, UsageError
    """
    with database.read() as session:
        job_of_kind(session, job_id, "top9")
        layers = searched_layers(session, job_id, layer, units)
        listed = ", ".join(f'"{column}"' for column in COLUMNS)
        query = text(
            f"SELECT {listed} FROM top_activations "  # noqa: S608 - a constant
            "WHERE job_id = :job AND layer_path = :path ORDER BY unit, rank"
        ).columns(tied=Boolean)
        rows: list[dict[str, Any]] = []
        for found in layers:
            answer = session.execute(query, {"job": job_id, "path": found.layer_path}).mappings()
            rows += [dict(row) for row in answer if not units or row["unit"] in units]
    return rows


def searched_layers(
    session: Session, job_id: int, layer: str | None = None, units: Sequence[int] | None = None
) -> list[SearchedLayer]:
    """The layers of a search, or the one that is named; all of them must have the units.

    Raises
    ------
    NoSuchLayer, NoSuchUnit
    """
    layers = _named_layers(session, job_id, layer)
    if units:
        _check_units(session, layers, units)
    return layers


def _named_layers(session: Session, job_id: int, layer: str | None) -> list[SearchedLayer]:
    query = select(SearchedLayer).where(SearchedLayer.job_id == job_id).order_by(SearchedLayer.id)
    layers = list(session.scalars(query))
    if layer is None:
        return layers
    chosen = [
        found for found in layers if layer in (found.layer, found.layer_path) or f"conv{layer}" == found.layer
    ]
    if not chosen:
        choices = ", ".join(found.layer for found in layers) or "none yet"
        raise NoSuchLayer(network=f"Job {job_id}", layer=layer, choices=choices)
    return chosen


def _check_units(session: Session, layers: Sequence[SearchedLayer], units: Sequence[int]) -> None:
    query = select(SearchedUnit.layer_id, SearchedUnit.unit)
    searched: dict[int, set[int]] = {layer.id: set() for layer in layers}
    for layer_id, unit in session.execute(query.where(SearchedUnit.layer_id.in_(searched))):
        searched[layer_id].add(unit)
    for unit in units:
        for layer in layers:
            if unit not in searched[layer.id]:
                raise NoSuchUnit(layer=layer.layer, unit=unit, last=max(searched[layer.id], default=-1))


def best_units(database: Database, job_id: int, count: int, layer: str | None = None) -> list[UnitSummary]:
    """The units whose top images agree most on one class; among equals, those that fire most."""
    rows = top_rows(database, job_id, layer)
    mosaics = _mosaics(database, job_id)
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((row["layer"], row["unit"]), []).append(row)
    summaries = []
    for (name, unit), group in grouped.items():
        class_name, frequency = Counter(row["class_name"] for row in group).most_common(1)[0]
        patches, projections = mosaics[name, unit]
        summaries.append(
            UnitSummary(
                layer=name,
                unit=unit,
                activation=group[0]["activation"],
                class_name=class_name,
                share=frequency / len(group),
                count=len(group),
                patches_path=patches,
                projections_path=projections,
            )
        )
    full = max((summary.count for summary in summaries), default=0)
    summaries.sort(key=lambda s: (s.count < full, -s.share, -s.activation, s.unit))
    return summaries[:count]


def _mosaics(database: Database, job_id: int) -> dict[tuple[str, int], tuple[str | None, str | None]]:
    query = text("SELECT layer, unit, patches_path, projections_path FROM units WHERE job_id = :job")
    with database.read() as session:
        rows = session.execute(query, {"job": job_id})
        return {(row.layer, row.unit): (row.patches_path, row.projections_path) for row in rows}
