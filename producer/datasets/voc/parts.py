"""Parts of objects, such as heads and hands, from VOC's annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from producer.datasets.voc.annotations import AnnotatedPart, Annotation, BadAnnotation, read_annotation
from producer.datasets.voc.boxes import FROM_1, Box, box_of
from producer.datasets.voc.index import ANNOTATION
from shared.database.catalogue import turns_images
from shared.database.datasets import Dataset, Image
from shared.errors import UsageError

FOLDER = "Annotations"  # beside the folder of the images
LONGEST_NAME = 100  # characters


@dataclass(frozen=True)
class FoundPart:
    """A part of an image: its name, and its box in pixels of the file."""

    image: Image
    part: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class UnusablePart:
    """A part, or with an empty name the annotation of an image, that can't be used, and the reason."""

    image: Image
    part: str
    reason: str


def annotated_parts(dataset: Dataset, images: Sequence[Image]) -> tuple[list[FoundPart], list[UnusablePart]]:
    """Read the parts of images from the annotations of a data set in VOC's own layout.

    An object's parts are those inside its ``<object>``; a whole image has those of all of its objects.

    Raises
    ------
    UsageError
        no image has an annotation, or the data set has images that are turned.
    """
    if turns_images(dataset.options):
        raise UsageError(
            reason=f"Data set {dataset.name} has images that are turned as their EXIF orientation says, so that "
            "the parts of its annotations may lie elsewhere. Give the parts in a file (--boxes FILE)."
        )
    origin = str(dataset.options.get("boxes", FROM_1))
    annotations: dict[str, Annotation | BadAnnotation] = {}
    found: list[FoundPart] = []
    unusable: list[UnusablePart] = []
    for image in images:
        if image.path not in annotations:
            try:
                annotations[image.path] = _annotation(Path(dataset.root), image.path)
            except BadAnnotation as bad:
                annotations[image.path] = bad
        annotation = annotations[image.path]
        if isinstance(annotation, BadAnnotation):
            unusable.append(UnusablePart(image, "", f"{annotation.reason}: {annotation}"))
            continue
        for part in _parts_of(annotation, image.object_number):
            if not 0 < len(part.name) <= LONGEST_NAME or not part.name.isprintable():
                unusable.append(UnusablePart(image, "", "the name of a part can't be used"))
            elif part.corners is None:
                unusable.append(UnusablePart(image, part.name, "its box can't be read"))
            else:
                box: Box = box_of(part.corners, origin)
                found.append(FoundPart(image, part.name, box))
    if annotations and all(isinstance(annotation, BadAnnotation) for annotation in annotations.values()):
        raise UsageError(
            reason=f"Data set {dataset.name} has no annotations of parts: {unusable[0].image.path} has no "
            f"readable XML file in VOC's format ({unusable[0].reason}). Give the parts in a file (--boxes FILE)."
        )
    return found, unusable


def _parts_of(annotation: Annotation, number: int) -> list[AnnotatedPart]:
    """Return the parts of an object, or for number 0 those of all objects."""
    return [part for item in annotation.objects if number in (0, item.number) for part in item.parts]


def _annotation(root: Path, image: str) -> Annotation:
    """Read the annotation of an image: ``Annotations/000423.xml`` for ``JPEGImages/000423.jpg``, or the XML file
    beside the image.

    Raises
    ------
    BadAnnotation
    """
    path = PurePosixPath(image)
    beside = path.with_suffix(ANNOTATION)
    own = path.parent.parent / FOLDER / beside.name
    return read_annotation(root, str(own if (root / own).is_file() else beside))
