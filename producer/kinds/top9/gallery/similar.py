"""Units of a search that respond to its images like one of them, from its kept maxima."""

from __future__ import annotations

from typing import Any

from producer.gallery.page import Gallery, Parameters
from producer.gallery.templates import job_link
from producer.kinds.top9.find.answers import find_similar
from producer.kinds.top9.find.kept import kept_maxima
from producer.kinds.top9.gallery.layer import find_job_and_layer
from producer.kinds.top9.gallery.shown import shown_units

UNITS = 8
MEMORY = 64 * 10**6  # bytes of the arrays of a scan


def read_similar(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs/ID/layers/LAYER/units/U/similar``, of which the unit's page takes a part.

    Raises
    ------
    NoSuchJob, JobNotOfKind, NoSuchModule, NoSuchUnit, JobStateConflict, MaximaNotReadable, ArtifactMissing
    UsageError
        The search kept no maxima.
    """
    job_id, unit = parameters.path["job_id"], parameters.path["unit"]
    with gallery.database.read() as session:
        _, row, _ = find_job_and_layer(session, job_id, parameters.path["layer"])
    kept = kept_maxima(gallery.database, gallery.store, job_id)
    layer = next(layer for layer in kept.layers if layer.path == row.layer_path)
    layer.index(unit)
    active = bool(layer.active[layer.index(unit)])
    found = find_similar(kept, (layer, unit), kept, kept.layers, False, UNITS, MEMORY) if active else []
    return {
        "title": f"Units like unit {unit} of {row.layer}, job {job_id}",
        "job_id": job_id,
        "layer": row.layer,
        "unit": unit,
        "active": active,
        "units": shown_units(gallery, job_id, found),
        "precision": kept.precision,
        "address": job_link(job_id, "layers", row.layer, "units", unit),
    }
