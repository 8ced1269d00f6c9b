"""Correspondence of parts between images (paper, Table 1)."""

from shared.kinds.correspondence.specification import CorrespondenceSpecification
from shared.kinds.correspondence.summary import CorrespondenceSummary
from shared.kinds.correspondence.tables import (
    CorrespondenceImage,
    CorrespondenceJob,
    CorrespondencePair,
    CorrespondencePart,
)
from shared.kinds.descriptor import Kind


def describe(specification: CorrespondenceSpecification) -> str:
    """Return a short description such as ``head, hand masked in 40 images, zfnet conv5, fc7``."""
    layers = ", ".join(layer.layer for layer in specification.layers)
    parts = ", ".join(specification.parts)
    return f"{parts} masked in {len(specification.images)} images, {specification.network.name} {layers}"


KIND = Kind(
    name="correspondence",
    specification=CorrespondenceSpecification,
    summary=CorrespondenceSummary,
    stages={"mask": "images", "compare": None},
    tables=(CorrespondenceJob, CorrespondenceImage, CorrespondencePart, CorrespondencePair),
    describe=describe,
    other_jobs=("training_job_id",),
    repeatable=True,
)
