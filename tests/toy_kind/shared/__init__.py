"""Specification and tables of brightness jobs."""

from shared.kinds.brightness.specification import BrightnessSpecification
from shared.kinds.brightness.tables import ImageBrightness

from shared.kinds.descriptor import Kind


def describe(asked: BrightnessSpecification) -> str:
    """Describe a job in one line, such as ``brightness of 60 images, val``."""
    return f"brightness of {asked.image_count} images, {asked.split}"


KIND = Kind(
    name="brightness",
    specification=BrightnessSpecification,
    stages={"measure": "images", "finish": None},
    tables=(ImageBrightness,),
    describe=describe,
)
