"""The image of a question: one that the search used, whose maxima are kept, or any other image file."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from producer.kinds.top9.find.kept import KeptMaxima
from producer.networks.description import ask_worker, require_own
from shared.database.catalogue import turns_images
from shared.database.connection import Database
from shared.database.datasets import Image
from shared.errors import UsageError
from shared.settings import Settings
from unitscope.errors import NoSuchFile
from unitscope.spelling import spellings

SHOWN = 8  # ids that a message names


@dataclass(frozen=True)
class QueryImage:
    """An image, and its maxima of all units of each layer: float32 [units], by the layer's module path.

    ``position`` is that in the kept maxima, None if the search did not use the image.
    """

    name: str
    position: int | None
    activations: dict[str, np.ndarray]


def query_image(database: Database, settings: Settings, kept: KeptMaxima, text: str) -> QueryImage:
    """Find the image that a text names: an id, a path in the data set, or an image file.

    The activations of an image that the search did not use are computed by a program with the worker's code.

    Raises
    ------
    NoSuchFile, ImageNotReadable, UserNetworksOff, NetworkNotRegistered
    UsageError
        Several objects of the data set are in the file, or there is no image with this id.
    """
    image = _registered(database, kept, text)
    if image is not None:
        position = kept.position(image.id)
        if position is not None:
            return _of_position(kept, image, position)
        name = f"image {image.id} ({image.path})"
        path = Path(kept.dataset.root) / image.path
        upright = turns_images(kept.dataset.options)
        return QueryImage(name, None, _compute(database, settings, kept, path, image.box, upright=upright))
    path = Path(text).absolute()
    if not path.is_file():
        raise NoSuchFile(path=text)
    return QueryImage(text, None, _compute(database, settings, kept, path, None, upright=True))


def kept_image(database: Database, kept: KeptMaxima, image_id: int) -> QueryImage:
    """Find an image that the search used, without running the network.

    Raises
    ------
    UsageError
        The search did not use it, or the data set has no image with this id.
    """
    image = _registered(database, kept, str(image_id))
    position = kept.position(image_id)
    if image is None or position is None:
        reason = (
            f"Job {kept.job_id} did not search image {image_id}. Its activations can be computed: `analyze find`."
        )
        raise UsageError(reason=reason)
    return _of_position(kept, image, position)


def _of_position(kept: KeptMaxima, image: Image, position: int) -> QueryImage:
    activations = {layer.path: np.array(layer.maxima[:, position]) for layer in kept.layers}
    return QueryImage(f"image {image.id} ({image.path})", position, activations)


def _registered(database: Database, kept: KeptMaxima, text: str) -> Image | None:
    """Return the image of the data set that a text names, or None.

    Raises
    ------
    UsageError
    """
    of_dataset = select(Image).where(Image.dataset_id == kept.dataset.id).order_by(Image.id)
    with database.read() as session:
        if text.isascii() and text.isdigit() and len(text) < 10:
            image = session.scalar(of_dataset.where(Image.id == int(text)))
            if image is None:
                raise UsageError(reason=f"Data set '{kept.dataset.name}' has no image with the id {text}.")
            return image
        names = spellings(text)
        root = Path(kept.dataset.root)
        for path in (Path(text), Path(text).absolute()):
            if path.is_relative_to(root):
                names = {*names, *spellings(str(path.relative_to(root)))}
        found = session.scalars(of_dataset.where(Image.path.in_(names)).limit(SHOWN + 1)).all()
    if len(found) > 1:
        ids = ", ".join(str(image.id) for image in found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        raise UsageError(reason=f"{text} has several objects. Give the id of one of them: {ids}.")
    return found[0] if found else None


def _compute(
    database: Database,
    settings: Settings,
    kept: KeptMaxima,
    path: Path,
    box: tuple[int, int, int, int] | None,
    *,
    upright: bool,
) -> dict[str, np.ndarray]:
    require_own(database, kept.specification.network, settings)
    request: dict[str, Any] = {
        "store": str(settings.resolved_store),
        "specification": kept.specification.model_dump(mode="json"),
        "image": str(path),
        "box": box,
        "upright": upright,
    }
    answer = ask_worker([sys.executable, "-m", "worker.kinds.top9.one_image"], stdin=json.dumps(request))
    return {name: np.array(values, np.float32) for name, values in answer["maxima"].items()}
