"""Occlusion sweeps (paper, Fig. 7)."""

from shared.kinds.descriptor import Kind
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.summary import OcclusionSummary
from shared.kinds.occlusion.tables import OcclusionJob, OcclusionMap, OcclusionPosition


def describe(specification: OcclusionSpecification) -> str:
    """Return a short description such as ``hide 32 px, every 8 on 64 images, zfnet conv5``."""
    count = len(specification.images)
    images = f"{count} image{'s' if count > 1 else ''}"
    square = f"{specification.patch} px, every {specification.stride}"
    return f"hide {square} on {images}, {specification.network.name} {specification.layer}"


KIND = Kind(
    name="occlusion",
    specification=OcclusionSpecification,
    summary=OcclusionSummary,
    stages={"sweep": "images", "draw": "images", "finish": None},
    tables=(OcclusionJob, OcclusionMap, OcclusionPosition),
    describe=describe,
    other_jobs=("training_job_id", "top9_job_id"),
    repeatable=True,
)
