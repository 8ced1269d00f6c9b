"""Feature maps of images (replications 002 and 004)."""

from shared.kinds.descriptor import Kind
from shared.kinds.features.specification import FeaturesSpecification
from shared.kinds.features.summary import FeaturesSummary
from shared.kinds.features.tables import FeatureImage, FeatureMap, FeaturesJob


def describe(specification: FeaturesSpecification) -> str:
    """Return a short description such as ``features of 8 images, zfnet, 14 layers``."""
    count = specification.image_count
    images = f"{count} image{'s' if count > 1 else ''}"
    return f"features of {images}, {specification.network.name}, {len(specification.layers)} layers"


KIND = Kind(
    name="features",
    specification=FeaturesSpecification,
    summary=FeaturesSummary,
    stages={"extract": "images", "finish": None},
    tables=(FeatureImage, FeatureMap, FeaturesJob),
    describe=describe,
    other_jobs=("training_job_id",),
    repeatable=True,
)
