"""The image that an annotation refers to.

What an annotation says is a name, never a way: folders in it are not followed, and the image is looked for among
the files of the data set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from producer.datasets.voc.annotations import BadAnnotation
from producer.datasets.voc.index import ANNOTATION, folded, stem_of
from producer.datasets.voc.layout import Part

DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Pair:
    """An annotation's image (path relative to the base), and whether the annotation says another name."""

    image: str
    is_as_stated: bool


def image_of(part: Part, annotation: str, filename: str | None) -> Pair:
    """Find the image of an annotation.

    The file that it names comes first, then one whose name differs in case or extension, and then the image with
    the name of the annotation itself. An annotation that names the image of another one, because it was copied,
    refers to the image with its own name, if there is one.

    Parameters
    ----------
    annotation
        Path relative to the base.
    filename
        What the annotation says, None if it says nothing.

    Raises
    ------
    BadAnnotation
        The name leads outside of the data set, and no image inside has it. (Any other name is returned, whether
        the file exists or not.)
    """
    within = annotation.removeprefix(f"{part.annotations}/") if part.annotations else annotation
    folder, own = str(PurePosixPath(within).parent).removeprefix("."), _own_stem(within)
    own_image = part.image_index.with_stem(f"{folder}/{own}" if folder else own, folder)
    own_image = own_image or part.image_index.with_stem(own, folder)
    stated = (filename or "").strip().replace("\\", "/")
    stated_image = _stated(part, stated, folder)
    image = stated_image or own_image
    if stated_image and own_image and _is_of_another(part, stated_image, own):
        image = own_image
    if image:
        as_stated = not stated or PurePosixPath(image).name == filename
        return Pair(_path(part, image), as_stated)
    name = PurePosixPath(stated).name
    if stated and (_leads_out(stated) or not name):
        raise BadAnnotation("path outside the data set", stated[:200])
    return Pair(_path(part, name or f"{within[: -len(ANNOTATION)]}.jpg"), is_as_stated=True)


def is_own(annotation: str, image: str) -> bool:
    """Return whether an image has the name of an annotation."""
    return PurePosixPath(stem_of(image)).name == _own_stem(annotation)


def _stated(part: Part, stated: str, folder: str) -> str | None:
    name = PurePosixPath(stated).name
    if not name or name == "..":
        return None
    index = part.image_index
    inside = None if _leads_out(stated) else index.named(stated, folder)
    return (
        inside
        or index.named(name, folder)
        or index.with_stem(name, folder)
        or index.with_stem(stem_of(name), folder)
    )


def _is_of_another(part: Part, image: str, own: str) -> bool:
    """Return whether another annotation has the name of an image."""
    stem = PurePosixPath(stem_of(image)).name
    return folded(stem) != folded(own) and part.annotation_index.with_stem(stem) is not None


def _leads_out(stated: str) -> bool:
    path = PurePosixPath(stated)
    return path.is_absolute() or ".." in path.parts or DRIVE.match(stated) is not None


def _own_stem(annotation: str) -> str:
    return PurePosixPath(annotation).name[: -len(ANNOTATION)]


def _path(part: Part, image: str) -> str:
    return f"{part.images}/{image}" if part.images else image
