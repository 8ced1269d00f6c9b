"""Units side by side: of several networks, epochs, layers, or data sets."""

from __future__ import annotations

from typing import Any

from producer.gallery.page import Gallery, Parameters
from producer.kinds.top9.gallery.unit import read_unit
from shared.errors import UsageError

NAMES = ("a", "b", "c", "d")
SHOWN = (
    "job_id",
    "what",
    "layer",
    "unit",
    "state",
    "projection",
    "top",
    "statistics",
    "classes",
    "labels",
    "address",
)


def read_compared(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/compare?a=JOB/LAYER/UNIT&b=...``, with up to four units.

    Raises
    ------
    UsageError, NoSuchJob, JobNotOfKind, NoSuchModule, NoSuchUnit
    """
    texts = {name: parameters.text(name) for name in NAMES}
    units = []
    for name, text in texts.items():
        if text:
            values = read_unit(gallery, Parameters(_place(name, text), {}))
            units.append({"name": name, **{key: values[key] for key in SHOWN}})
    names = ", ".join(f"{unit['layer']}:{unit['unit']} of job {unit['job_id']}" for unit in units)
    return {"title": names, "units": units, "texts": texts}


def _place(name: str, text: str) -> dict[str, Any]:
    """Return job, layer and unit of a text such as ``8/conv5/131``.

    Raises
    ------
    UsageError
    """
    job, _, rest = text.partition("/")
    layer, _, unit = rest.rpartition("/")
    if not (layer and all(part.isascii() and part.isdigit() and len(part) < 10 for part in (job, unit))):
        raise UsageError(reason=f"{name} is '{text}', and has to be JOB/LAYER/UNIT, such as 8/conv5/131.")
    return {"job_id": int(job), "layer": layer, "unit": int(unit)}
