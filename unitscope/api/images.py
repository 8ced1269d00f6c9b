"""Images as arguments: a folder, files, PIL images, or arrays."""

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
from unitscope.images.files import image_files
from unitscope.images.formats import SUFFIXES
from unitscope.images.splits import split_of
from unitscope.spelling import nfc

OneImage = str | os.PathLike[str] | Image.Image | np.ndarray
Images = OneImage | Sequence[OneImage]

NAMED = 3  # skipped images that a warning names
ODD_MODES = ("I", "F")  # PIL modes whose pixels have no known range


class SkippedImage(NamedTuple):
    """An image that was left out, and the reason."""

    image: str
    reason: str


@dataclass(frozen=True)
class ImageSet:
    """Images in a fixed order. An image's id is its index; its label is the index of its class, -1 for none."""

    sources: list[ImageSource]
    class_names: tuple[str, ...] = ()
    pictures: dict[int, Image.Image | np.ndarray] = field(default_factory=dict)  # images in memory, by id

    def name(self, number: int) -> str:
        """Return the path of an image; for an image in memory, its index in the list: ``images[3]``."""
        return str(self.sources[number].path)

    def class_of(self, number: int) -> str | None:
        """Return the name of an image's class; None if it has none."""
        label = self.sources[number].label
        return self.class_names[label] if label >= 0 else None

    def read(self, number: int, size: int) -> np.ndarray:
        """Read an image, resized (bilinear) to uint8 [size, size, 3], RGB.

        Raises
        ------
        ImageNotReadable
            the file is missing, damaged or too large.
        """
        try:
            return self._read(number, size)
        except UnreadableImage as error:
            raise ImageNotReadable(path=self.name(number), reason=error) from error

    def batches(
        self, batch_size: int, size: int, skipped: list[Skipped], sources: Sequence[ImageSource] | None = None
    ) -> Iterator[Batch]:
        """Iterate over padded batches of one shape, of all images or of ``sources``; unreadable images are
        appended to ``skipped``."""
        sources = self.sources if sources is None else sources
        if not self.pictures:
            yield from batches(sources, batch_size, size, pad=True, skipped=skipped)
            return
        for start in range(0, len(sources), batch_size):
            pixels = np.zeros((batch_size, size, size, 3), np.uint8)
            read: list[ImageSource] = []
            for source in sources[start : start + batch_size]:
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
        except (OSError, SyntaxError, ValueError) as error:  # PIL reads the pixels of an opened file only now
            raise UnreadableImage(f"{type(error).__name__}: {error}") from error


def report_skipped(skipped: Sequence[Skipped], count: int, stacklevel: int) -> list[SkippedImage]:
    """Return the skipped images without duplicates, and warn of them, naming the first few.

    Parameters
    ----------
    skipped
        images that could not be read.
    count
        number of all images.
    stacklevel
        of the warning, as for ``warnings.warn`` in the caller.

    Raises
    ------
    ImageNotReadable
        the only image can't be read.
    InvalidArgument
        none of several images can be read.
    """
    images = list({item.source: SkippedImage(str(item.source.path), item.reason) for item in skipped}.values())
    if not images:
        return images
    if count == 1:
        raise ImageNotReadable(path=images[0].image, reason=images[0].reason)
    some = "; ".join(f"{image} ({reason})" for image, reason in images[:NAMED])
    if len(images) == count:
        raise InvalidArgument(reason=f"None of the {count} images can be read: {some}.")
    more = f"; and {len(images) - NAMED} more" if len(images) > NAMED else ""
    warnings.warn(
        f"{len(images)} of {count} images can't be read and are left out: {some}{more}.", stacklevel=stacklevel + 1
    )
    return images


def collect(images: Images) -> ImageSet:
    """Collect images from an argument.

    Parameters
    ----------
    images
        a folder (see ``class_folders``), a file, a PIL image, an array uint8 [H, W, 3] or [H, W], or a sequence of
        files, PIL images and arrays. Files are not opened.

    Raises
    ------
    NoSuchFile
        the path does not exist.
    InvalidArgument
        the folder or the list contains no images, or an item is not an image.
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
        listed = [images]  # _listed raises an error that names the type
    if not listed:
        raise InvalidArgument(reason="The list of images is empty. Give at least one image.")
    return _listed(listed)


def class_folders(root: Path) -> ImageSet:
    """Collect the images of a folder, at any depth, sorted by path.

    The immediate subfolders of ``root`` are the classes. If ``root`` itself contains an image, there are no
    classes. A warning is given if the subfolders are named for splits (``Train``, ``val``) and hold the classes.

    Raises
    ------
    InvalidArgument
        the folder contains no image.
    """
    files = image_files(root)
    if not files:
        raise InvalidArgument(reason=f"Folder {root} contains no images ({', '.join(sorted(SUFFIXES))}).")
    if any("/" not in file for file in files):
        return ImageSet([ImageSource(number, root / file, upright=True) for number, file in enumerate(files)])
    classes = [nfc(file.partition("/")[0]) for file in files]
    _warn_of_splits(root, files)
    names = sorted(set(classes))
    labels = {name: label for label, name in enumerate(names)}
    sources = [
        ImageSource(number, root / file, labels[name], upright=True)
        for number, (file, name) in enumerate(zip(files, classes, strict=True))
    ]
    return ImageSet(sources, tuple(names))


def _warn_of_splits(root: Path, files: Sequence[str]) -> None:
    holding_classes = {file.split("/")[0] for file in files if file.count("/") > 1}
    splits = sorted(name for name in holding_classes if split_of(name))
    if len({split_of(name) for name in splits}) > 1:
        warnings.warn(
            f"The subfolders {', '.join(splits)} of {root} are taken for the classes, but are named for splits. "
            "Give one of them if they hold the classes.",
            stacklevel=4,
        )


def _listed(images: Sequence[OneImage]) -> ImageSet:
    sources: list[ImageSource] = []
    pictures: dict[int, Image.Image | np.ndarray] = {}
    for number, image in enumerate(images):
        if isinstance(image, (str, os.PathLike)):
            path = Path(image)
            if path.is_dir():
                reason = f"{path} is a folder: a list must contain image files. Give the folder alone."
                raise InvalidArgument(reason=reason)
            sources.append(ImageSource(number, path, upright=True))
            continue
        if problem := _why_not_supported(image):
            remedy = "Give a path, a PIL image, or an array uint8 [H, W, 3] (0 to 255)."
            raise InvalidArgument(reason=f"images[{number}] {problem}. {remedy}")
        pictures[number] = image
        sources.append(ImageSource(number, Path(f"images[{number}]")))
    return ImageSet(sources, (), pictures)


def _why_not_supported(image: object) -> str | None:
    if isinstance(image, Image.Image):
        odd = image.mode in ODD_MODES or image.mode.startswith("I;16")
        return f"is a PIL image of mode {image.mode}, whose pixels have no known range" if odd else None
    if not isinstance(image, np.ndarray):
        return f"is a {type(image).__name__}, not an image"
    if image.dtype != np.uint8:
        return f"is an array of {image.dtype}"
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        return f"is an array of shape {list(image.shape)}"
    return None
