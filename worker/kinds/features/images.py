"""The images of a job of feature maps: those of the data set first, then files of the artifact store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.database.datasets import Image
from shared.kinds.features.specification import FeaturesSpecification, ImageFile
from unitscope.data.images import ImageSource, UnreadableImage, read_cached, read_image
from unitscope.data.pixel_cache import PixelCache
from unitscope.errors import ImageNotReadable
from worker.context import JobContext
from worker.kinds.common import numbered_images, pixel_cache

NO_ID = 0  # of the source of a file


@dataclass(frozen=True)
class JobImage:
    """An image of the job: its number in the job (from 1), its source, and its row or its file."""

    number: int
    source: ImageSource
    image: Image | None
    file: ImageFile | None

    @property
    def caption(self) -> str:
        """The class, path and object number of an image of a data set; the name of a file."""
        if self.image is None:
            return self.file.name if self.file else ""
        number = f", object {self.image.object_number}" if self.image.object_number else ""
        return f"{self.image.class_name}: {self.image.path}{number}"


def job_images(context: JobContext, start: int = 0, stop: int | None = None) -> list[JobImage]:
    """Return images of the job, by their indices.

    Raises
    ------
    ArtifactMissing, ArtifactDamaged
    """
    specification = context.specification
    assert isinstance(specification, FeaturesSpecification)  # noqa: S101 - the runner parsed it by its kind
    stop = specification.image_count if stop is None else stop
    count = len(specification.images)
    chosen = [
        JobImage(number, source, image, None)
        for number, (image, source) in enumerate(
            numbered_images(context, specification.images[start:stop], whole_files=specification.whole_files),
            start=start + 1,
        )
    ]
    for index in range(max(start, count), stop):
        file = specification.files[index - count]
        path = context.store.verified(file.path)
        chosen.append(JobImage(index + 1, ImageSource(NO_ID, path, sha256=file.sha256, upright=True), None, file))
    return chosen


class ImageReader:
    """Reads images of the job, from the pixel cache if they are whole entries of the data set."""

    def __init__(self, context: JobContext, specification: FeaturesSpecification) -> None:
        self.size = specification.network.image_size
        uses_cache = specification.images and not specification.whole_files
        self.cache: PixelCache | None = pixel_cache(context, self.size) if uses_cache else None

    def read(self, image: JobImage) -> np.ndarray:
        """Read an image, resized to uint8 [size, size, 3].

        Raises
        ------
        UnreadableImage
            an image of the data set can't be decoded.
        ImageNotReadable
            a file can't be decoded here, although it could when the job was submitted.
        """
        if image.file is None:
            return read_cached(image.source, self.size, self.cache)
        try:
            return read_image(image.source, self.size)
        except UnreadableImage as error:
            raise ImageNotReadable(path=image.file.name, reason=str(error)) from error
