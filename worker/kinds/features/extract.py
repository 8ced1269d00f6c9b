"""Stage *extract* of a job of feature maps: the maps, pictures and arrays of each image of a shard."""

from __future__ import annotations

import json
from typing import IO, Any, cast

import numpy as np
import torch
from sqlalchemy import delete
from sqlalchemy.orm import Session

from shared.kinds.features.specification import FeaturesSpecification
from shared.kinds.features.tables import FeatureImage, FeatureMap
from shared.store.store import StoredFile
from unitscope.data.images import Skipped, UnreadableImage, to_input
from unitscope.drawing import pictures
from unitscope.drawing.features import SHEET_IMAGES, MeanMap, channel_grid, overview, sheet_row
from unitscope.drawing.pictures import Picture
from unitscope.errors import NoSuchLayer
from unitscope.features.extraction import LayerFeatures, extract_features
from worker.context import JobContext
from worker.kinds.common import load_network, record_left_out, register_artifacts
from worker.kinds.features.images import ImageReader, JobImage, job_images
from worker.runner import ShardContext


def extract(context: ShardContext) -> None:
    """Extract the features of a shard of images; store their pictures, arrays and rows."""
    specification = cast(FeaturesSpecification, context.specification)
    images = job_images(context, context.payload["start"], context.payload["stop"])
    reader = ImageReader(context, specification)
    image_rows: list[dict[str, Any]] = []
    map_rows: list[dict[str, Any]] = []
    files: list[StoredFile] = []
    sheet: list[Picture] = []
    numbers: list[int] = []
    skipped: list[Skipped] = []
    for image in images:
        try:
            pixels = reader.read(image)
        except UnreadableImage as error:
            skipped.append(Skipped(image.source, str(error)))
        else:
            features = features_of(context, specification, pixels)
            stored = _Stored(context, specification, image, pixels, features)
            image_rows.append(stored.image_row())
            map_rows += stored.map_rows()
            files += stored.files
            if image.number <= SHEET_IMAGES:
                sheet.append(sheet_row(pixels, stored.means))
                numbers.append(image.number)
        context.progress()
    result = context.store.write(
        ".npz", lambda file: np.savez(file, allow_pickle=False, rows=np.array(sheet), numbers=np.array(numbers))
    )

    def write(session: Session) -> None:
        register_artifacts(context, session, [result, *files])
        _remove_rows(context, session, [image.number for image in images])
        record_left_out(context, session, [image.source for image in images if image.image], skipped)
        session.add_all(FeatureImage(**row) for row in image_rows)
        session.add_all(FeatureMap(**row) for row in map_rows)

    context.complete(write, result.path)


def features_of(
    context: JobContext, specification: FeaturesSpecification, pixels: np.ndarray
) -> list[LayerFeatures]:
    """Return the features of an image uint8 [H, W, 3] in all layers of the job.

    Raises
    ------
    NotFinite
    NoSuchLayer
        a layer did not run: the network takes another path for this image.
    """
    network = specification.network
    model = load_network(context, network, specification.weights_path)
    batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    places = [(layer.path, layer.call) for layer in specification.layers]
    kept = {(layer.path, layer.call) for layer in specification.layers if layer.channels}
    found = extract_features(model, to_input(batch, context.device, network.mean, network.std), set(places), kept)
    for path, call in places:
        if (path, call) not in found:
            raise NoSuchLayer(network=network.name, layer=f"{path} (run {call})", choices="none that ran")
    return [found[place] for place in places]


class _Stored:
    """The pictures and arrays of an image, written to the store when it is created, and its rows."""

    def __init__(
        self,
        context: ShardContext,
        specification: FeaturesSpecification,
        image: JobImage,
        pixels: np.ndarray,
        features: list[LayerFeatures],
    ) -> None:
        self.job_id, self.image = context.claim.job_id, image
        self.layers = list(zip(specification.layers, features, strict=True))
        self.means = [MeanMap(layer.title, found.shape[0], found.mean_map) for layer, found in self.layers]
        title = f"{specification.network.name}, {image.caption}"
        self.picture = context.store.put(pictures.png(overview(title, pixels, self.means)), ".png")
        self.grids: dict[int, StoredFile] = {}
        for number, (layer, found) in enumerate(self.layers, start=1):
            if found.maps is not None:
                grid = channel_grid(f"{layer.title}: {title}", found.maps, specification.scale)
                self.grids[number] = context.store.put(pictures.png(grid), ".png")
        self.array = context.store.write(".npz", self._write_arrays) if specification.arrays else None
        self.files = [self.picture, *self.grids.values(), *([self.array] if self.array else [])]

    def _write_arrays(self, file: IO[bytes]) -> None:
        """Write the maps of the layers that are drawn by channel: float32 [channels, rows, columns]."""
        kept = [(layer, found.maps) for layer, found in self.layers if found.maps is not None]
        names = {array_name(layer.path, layer.call): maps for layer, maps in kept}
        about = {array_name(layer.path, layer.call): layer.layer for layer, _ in kept}
        np.savez_compressed(file, allow_pickle=False, layers=np.array(json.dumps(about)), **names)

    def image_row(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "image_number": self.image.number,
            "image_id": self.image.image.id if self.image.image else None,
            "file": self.image.file.name if self.image.file else None,
            "picture_path": self.picture.path,
            "array_path": self.array.path if self.array else None,
        }

    def map_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "job_id": self.job_id,
                "image_number": self.image.number,
                "layer_number": number,
                "layer": layer.layer,
                "layer_path": layer.path,
                "call": layer.call,
                "module": layer.kind,
                "channels": found.shape[0],
                "rows": found.shape[1],
                "cols": found.shape[2],
                **statistics(found),
                "channels_path": self.grids[number].path if number in self.grids else None,
            }
            for number, (layer, found) in enumerate(self.layers, start=1)
        ]


def array_name(path: str, call: int) -> str:
    """Return the name of a layer's maps in a file of arrays: its module path, and the number of a later run."""
    return path if call == 1 else f"{path}:{call}"


def statistics(found: LayerFeatures) -> dict[str, Any]:
    """Return the columns of ``FeatureMap`` that are computed from the maps."""
    return {
        "mean": found.mean,
        "minimum": found.minimum,
        "maximum": found.maximum,
        "positive_share": found.positive_share,
        "silent_channels": found.silent,
    }


def _remove_rows(context: ShardContext, session: Session, numbers: list[int]) -> None:
    """Delete the rows of these images that an earlier run of the shard wrote."""
    for model in (FeatureMap, FeatureImage):
        of_images = model.image_number.between(min(numbers), max(numbers))
        session.execute(delete(model).where(model.job_id == context.claim.job_id, of_images))
