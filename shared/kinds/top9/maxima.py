"""The units of a file of kept maxima."""

from __future__ import annotations

from shared.kinds.top9.specification import Top9Specification
from shared.kinds.top9.tables import SearchedLayer
from unitscope.errors import MaximaNotReadable


def units_of_maxima(specification: Top9Specification, row: SearchedLayer) -> list[int]:
    """Return the units of a layer's file, in the order of its rows.

    Raises
    ------
    MaximaNotReadable
        The specification has no such layer, as that of an imported job may be.
    """
    for layer in specification.layers:
        if layer.path == row.layer_path:
            return layer.units
    reason = f"the specification of job {row.job_id} has no layer with the path '{row.layer_path}'"
    raise MaximaNotReadable(path=row.maxima_path, reason=reason)
