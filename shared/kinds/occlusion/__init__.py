"""Occlusion sweeps (paper, Fig. 7)."""

from shared.kinds.descriptor import Kind
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.tables import OcclusionJob, OcclusionMap, OcclusionPosition


def describe(asked: OcclusionSpecification) -> str:
    """``hide 32 px, every 8 on 64 images, zfnet conv5``."""
    images = len(asked.images)
    hidden = f"{asked.patch} px, every {asked.stride}"
    return f"hide {hidden} on {images} image{'s' if images > 1 else ''}, {asked.network.name} {asked.layer}"


KIND = Kind(
    name="occlusion",
    specification=OcclusionSpecification,
    stages={"sweep": "images", "draw": "images", "finish": None},
    tables=(OcclusionJob, OcclusionMap, OcclusionPosition),
    describe=describe,
    other_jobs=("training_job_id", "top9_job_id"),
)
