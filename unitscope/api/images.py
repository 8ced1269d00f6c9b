"""Images as people have them: a folder, files, or pictures in memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from unitscope.data.images import Batch, ImageSource, Skipped, UnreadableImage, batches, read_image
from unitscope.errors import ImageNotReadable, InvalidArgument, NoSuchFile
from unitscope.images.files import SUFFIXES, image_files

OneImage = str | os.PathLike[str] | Image.Image | np.ndarray
Images = OneImage | Sequence[OneImage]

NAMED = 3  # images that a warning names
ODD_MODES = ("I", "F")  # of PIL: their pixels have no known range


class SkippedImage(NamedTuple):
    """An image that was left out, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class ImageSet:
    """Images in a fixed order. An image's id is its place, its label the index of its class, -1 without one."""

    sources: list[ImageSource]
    class_names: tuple[str, ...] = ()
    pictures: dict[int, Image.Image | np.ndarray] = field(default_factory=dict)  # those in memory, by id

    def name(self, number: int) -> str:
        """The path of an image; ``images[3]``, its place in the list, for one in memory."""
        return str(self.sources[number].path)

    def class_of(self, number: int) -> str | None:
        """The name of an image's class."""
        label = self.sources[number].label
        return self.class_names[label] if label >= 0 else None

    def read(self, number: int, size: int) -> np.ndarray:
        """The image squeezed to ``size`` x ``size``: uint8 [size, size, 3], RGB, bilinear.

        Raises
        ------
        ImageNotReadable
        """
        try:
            return self._read(number, size)
        except UnreadableImage as error:
            raise ImageNotReadable(path=self.name(number), reason=error) from error

    def batches(self, batch_size: int, size: int, skipped: list[Skipped]) -> Iterator[Batch]:
        """The images in batches of one shape, the last filled up; what can't be read goes to ``skipped``."""
        if not self.pictures:
            yield from batches(self.sources, batch_size, size, pad=True, skipped=skipped)
            return
        for start in range(0, len(self.sources), batch_size):
            pixels = np.zeros((batch_size, size, size, 3), np.uint8)
            read: list[ImageSource] = []
            for source in self.sources[start : start + batch_size]:
                try:
                    pixels[len(read)] = self._read(source.id, size)
                    read.append(source)
                except UnreadableImage as error:
                    skipped.append(Skipped(source, str(error)))
            if read:
                yield Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), read)

    def _read(self, number: int, size: int) -> np.ndarray:
        picture = self.pictures.get(number)
        if picture is None:
            return read_image(self.sources[number], size)
        try:
            opened = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
            return np.asarray(opened.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
        except (OSError, SyntaxError, ValueError) as error:  # of a file that PIL opened and now has to read
            raise UnreadableImage(f"{type(error).__name__}: {error}") from error


def report_skipped(skipped: Sequence[Skipped], count: int, stacklevel: int) -> list[SkippedImage]:
    """Those of ``count`` images that were left out; a warning names the first of them.

    Raises
    ------
    ImageNotReadable, InvalidArgument
        no image is left.
    """
    found = list({item.source: SkippedImage(str(item.source.path), item.reason) for item in skipped}.values())
    if not found:
        return found
    if count == 1:
        raise ImageNotReadable(path=found[0].image, reason=found[0].reason)
    some = "; ".join(f"{image} ({reason})" for image, reason in found[:NAMED])
    if len(found) == count:
        raise InvalidArgument(reason=f"None of the {count} images can be read: {some}.")
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    warnings.warn(
        f"{len(found)} of {count} images can't be read and are left out: {some}{more}.", stacklevel=stacklevel + 1
    )
    return found


def collect(images: Images) -> ImageSet:
    """Images from a folder (its folders are the classes, if no image lies beside them), from a file, from a list
    of paths, PIL images or uint8 arrays [H, W, 3] or [H, W], or one of these.

    Raises
    ------
    NoSuchFile
    InvalidArgument
        there are no images, or something is none.
    """
    if isinstance(images, (str, os.PathLike)):
        path = Path(images)
        if path.is_dir():
            return class_folders(path)
        if not path.exists():
            raise NoSuchFile(path=path)
        return _listed([path])
    if isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4):
        return _listed([images])
    try:
        listed = list(images)
    except TypeError:
        listed = [images]  # it is said below what is wrong
    if not listed:
        raise InvalidArgument(reason="There are no images: the list is empty.")
    return _listed(listed)


def class_folders(root: Path) -> ImageSet:
    """The images of a folder, at any depth, sorted by path. Its folders are the classes; there are none if an
    image lies beside them.

    Raises
    ------
    InvalidArgument
        it holds no image.
    """
    files = image_files(root)
    if not files:
        raise InvalidArgument(reason=f"The folder {root} has no images ({', '.join(sorted(SUFFIXES))}).")
    if any("/" not in file for file in files):
        return ImageSet([ImageSource(number, root / file) for number, file in enumerate(files)])
    classes = [file.partition("/")[0] for file in files]
    names = sorted(set(classes))
    labels = {name: label for label, name in enumerate(names)}
    sources = [
        ImageSource(number, root / file, labels[name])
        for number, (file, name) in enumerate(zip(files, classes, strict=True))
    ]
    return ImageSet(sources, tuple(names))


def _listed(images: Sequence[OneImage]) -> ImageSet:
    sources: list[ImageSource] = []
    pictures: dict[int, Image.Image | np.ndarray] = {}
    for number, image in enumerate(images):
        if isinstance(image, (str, os.PathLike)):
            path = Path(image)
            if path.is_dir():
                reason = f"{path} is a folder: a list holds image files. Give the folder alone."
                raise InvalidArgument(reason=reason)
            sources.append(ImageSource(number, path))
            continue
        if wrong := _why_no_picture(image):
            remedy = "Give a path, a PIL image, or an array uint8 [H, W, 3] (0 to 255)."
            raise InvalidArgument(reason=f"images[{number}] {wrong}. {remedy}")
        pictures[number] = image
        sources.append(ImageSource(number, Path(f"images[{number}]")))
    return ImageSet(sources, (), pictures)


def _why_no_picture(image: object) -> str | None:
    if isinstance(image, Image.Image):
        odd = image.mode in ODD_MODES or image.mode.startswith("I;16")
        return f"is a PIL image of mode {image.mode}, whose pixels have no known range" if odd else None
    if not isinstance(image, np.ndarray):
        return f"is no image but a {type(image).__name__}"
    if image.dtype != np.uint8:
        return f"is an array of {image.dtype}"
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        return f"is an array of shape {list(image.shape)}"
    return None
