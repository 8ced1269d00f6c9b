"""Stage *sweep* of an occlusion sweep: the maps and the unit's projection of each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset, Image
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.tables import OcclusionMap
from shared.store.store import StoredFile
from unitscope.data.images import ImageSource, Skipped, UnreadableImage, read_cached
from unitscope.data.pixel_cache import PixelCache
from unitscope.drawing.unit_pictures import UnitPicture
from unitscope.images.encoding import photographic_png
from unitscope.occlusion.arrays import write_maps
from unitscope.occlusion.engines import choose_engine
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import OcclusionMaps, Sweep
from worker.kinds.common import (
    load_network,
    numbered_images,
    pixel_cache,
    record_left_out,
    register_artifacts,
    warn_of_memory,
)
from worker.kinds.occlusion.projections import UnitProjections
from worker.kinds.occlusion.rows import map_columns, means_by_box, record_positions, remove_rows
from worker.runner import ShardContext


def sweep(context: ShardContext) -> None:
    """Sweep a shard of images: store the maps of each as arrays and as rows, and the unit's projection."""
    specification = cast(OcclusionSpecification, context.specification)
    shard = _Shard(context, specification)
    numbers = specification.images[context.payload["start"] : context.payload["stop"]]
    images = numbered_images(context, numbers, whole_files=specification.whole_files)
    rows: list[dict[str, Any]] = []
    files: list[StoredFile] = []
    for start in range(0, len(images), shard.sweep.images_at_once):
        batch = images[start : start + shard.sweep.images_at_once]
        for row, image_files in shard.run(batch):
            rows.append(row)
            files += image_files
        context.progress(len(batch))

    def write(session: Session) -> None:
        register_artifacts(context, session, files)
        remove_rows(context, session, [image.id for image, _ in images], [row["image_id"] for row in rows])
        record_left_out(context, session, [source for _, source in images], shard.skipped)
        session.add_all(OcclusionMap(**row) for row in rows)

    context.complete(write)


def swept_cache(context: ShardContext, specification: OcclusionSpecification) -> PixelCache | None:
    """Return the pixel cache, or None for whole files, which it does not hold."""
    return None if specification.whole_files else pixel_cache(context, specification.network.image_size)


class _Shard:
    """The sweep, projections and cache used for all images of a shard."""

    def __init__(self, context: ShardContext, specification: OcclusionSpecification) -> None:
        self.context, self.specification = context, specification
        network = specification.network
        self.model = load_network(context, network, specification.weights_path)
        grid = Grid(network.image_size, specification.patch, specification.stride)
        choice = choose_engine(self.model, specification.path, grid, specification.engine)
        if choice.engine.name != specification.engine:
            context.log("info", f"engine {choice.engine.name}: {choice.reason}")
        self.sweep = Sweep(
            choice.engine,
            specification.fill,
            specification.seed,
            unit=specification.unit,
            target=specification.target,
            memory=specification.memory_mb * 2**20,
            together=specification.together,
            device=context.device,
            mean=network.mean,
            std=network.std,
            on_smaller=warn_of_memory(context, "occluded images per batch"),
        )
        self.projections = UnitProjections(context, specification, self.model)
        self.cache = swept_cache(context, specification)
        self.skipped: list[Skipped] = []
        with context.database.read() as session:
            self.class_names = session.get_one(Dataset, specification.dataset_id).class_names

    def run(self, images: Sequence[tuple[Image, ImageSource]]) -> list[tuple[dict[str, Any], list[StoredFile]]]:
        """Sweep images together; return the row and the files of each image that could be read."""
        read = []
        for image, source in images:
            try:
                read.append(
                    (image, source, read_cached(source, self.specification.network.image_size, self.cache))
                )
            except UnreadableImage as error:
                self.skipped.append(Skipped(source, str(error)))
        if not read:
            return []
        pixels = torch.from_numpy(np.stack([picture for _, _, picture in read])).permute(0, 3, 1, 2)
        labels = [image.class_index for image, _, _ in read]
        swept = self.sweep.run(pixels, labels, lambda: self.context.progress(0))
        projected = self.projections.of(pixels, [maps.unit for maps in swept], [source for _, source, _ in read])
        return [
            self._store(image, maps, picture)
            for (image, _, _), maps, picture in zip(read, swept, projected, strict=True)
        ]

    def _store(
        self, image: Image, maps: OcclusionMaps, picture: UnitPicture | None
    ) -> tuple[dict[str, Any], list[StoredFile]]:
        array = self.context.store.write(".npz", lambda file: write_maps(file, maps))
        parts = [picture.projection, picture.patch] if picture else []
        projection = [self.context.store.put(photographic_png(part), ".png") for part in parts]
        if self.specification.positions:
            record_positions(self.context, image, maps, self.class_names)
        row = {
            "job_id": self.context.claim.job_id,
            "image_id": image.id,
            "layer": self.specification.layer,
            "layer_path": self.specification.path,
            "engine": self.sweep.engine.name,
            "array_path": array.path,
            "projection_path": projection[0].path if projection else None,
            "patch_path": projection[1].path if projection else None,
            **map_columns(maps, self.class_names, self.specification.target),
            **means_by_box(self.specification, image, maps),
        }
        return row, [array, *projection]
