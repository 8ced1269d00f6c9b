"""The top-9 search (paper, Fig. 2)."""

from shared.kinds.descriptor import Kind
from shared.kinds.top9.specification import Top9Specification
from shared.kinds.top9.summary import Top9Summary
from shared.kinds.top9.tables import (
    BottomActivation,
    ClassActivation,
    SearchedLayer,
    SearchedUnit,
    TopActivation,
    UnitLabel,
    UnitSelectivity,
    UnitStatistics,
)


def describe(specification: Top9Specification) -> str:
    """Return a short description such as ``top 9 of zfnet conv5, val``."""
    layers = ", ".join(layer.layer for layer in specification.layers)
    screen = f", screened in {specification.screen}" if specification.screen else ""
    top = f"distinct top {specification.top}" if specification.distinct else f"top {specification.top}"
    rows = "" if specification.projection else ", no pictures"
    return f"{top} of {specification.network.name} {layers}, {specification.split}{screen}{rows}"


KIND = Kind(
    name="top9",
    specification=Top9Specification,
    summary=Top9Summary,
    stages={"search": "images", "select": None, "project": "units", "finish": None},
    tables=(
        SearchedLayer,
        SearchedUnit,
        TopActivation,
        BottomActivation,
        ClassActivation,
        UnitStatistics,
        UnitSelectivity,
        UnitLabel,
    ),
    describe=describe,
    other_jobs=("training_job_id",),
    repeatable=True,
    tables_added={table.__tablename__: "0021" for table in (UnitSelectivity, UnitLabel)},
)
