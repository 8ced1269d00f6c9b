"""Invariance to shifts, scales and rotations (paper, Fig. 5)."""

from shared.kinds.descriptor import Kind
from shared.kinds.invariance.specification import InvarianceSpecification
from shared.kinds.invariance.summary import InvarianceSummary
from shared.kinds.invariance.tables import (
    InvarianceDistance,
    InvarianceImage,
    InvarianceJob,
    InvariancePrediction,
)


def describe(specification: InvarianceSpecification) -> str:
    """Return a short description such as ``shift, scale, rotation of 5 images, zfnet conv1, fc7``."""
    count = len(specification.images)
    layers = ", ".join(layer.layer for layer in specification.layers)
    transformations = ", ".join(specification.series)
    return f"{transformations} of {count} image{'s' if count > 1 else ''}, {specification.network.name} {layers}"


KIND = Kind(
    name="invariance",
    specification=InvarianceSpecification,
    summary=InvarianceSummary,
    stages={"measure": "images", "draw": "images", "finish": None},
    tables=(InvarianceJob, InvarianceImage, InvariancePrediction, InvarianceDistance),
    describe=describe,
    other_jobs=("training_job_id",),
    repeatable=True,
)
