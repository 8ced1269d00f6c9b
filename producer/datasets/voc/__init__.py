"""PASCAL VOC and what annotation tools write in its format: objects cut out by their boxes, or whole images."""

from producer.datasets.voc.classes import VOC_CLASSES
from producer.datasets.voc.reading import read_voc

__all__ = ["VOC_CLASSES", "read_voc"]
