"""Stage *mask* of a correspondence job: the signs of the changes when parts of images are masked."""

from __future__ import annotations

from typing import Any, cast

import torch
from sqlalchemy import delete
from sqlalchemy.orm import Session

from shared.kinds.correspondence.specification import CorrespondenceSpecification
from shared.kinds.correspondence.tables import CorrespondenceImage
from shared.store.store import StoredFile
from unitscope.correspondence.masks import masked_share
from unitscope.correspondence.measure import Masking
from unitscope.correspondence.signs import write_signs
from unitscope.data.images import Skipped, UnreadableImage, read_cached
from unitscope.drawing import pictures
from unitscope.drawing.correspondence import masked_row
from worker.context import JobContext
from worker.kinds.common import (
    load_network,
    numbered_images,
    pixel_cache,
    record_left_out,
    register_artifacts,
    warn_of_memory,
)
from worker.runner import ShardContext


def mask(context: ShardContext) -> None:
    """Mask the parts of a shard of images, one by one; store the signs and a picture of each image."""
    specification = cast(CorrespondenceSpecification, context.specification)
    size = specification.network.image_size
    numbers = specification.images[context.payload["start"] : context.payload["stop"]]
    images = numbered_images(context, numbers, whole_files=specification.whole_files)
    masking = masking_of(
        context,
        on_smaller=warn_of_memory(context, "masked images per batch"),
    )
    cache = None if specification.whole_files else pixel_cache(context, size)
    rows: list[dict[str, Any]] = []
    files: list[StoredFile] = []
    skipped: list[Skipped] = []
    for number, (image, source) in zip(numbers, images, strict=True):
        try:
            pixels = torch.from_numpy(read_cached(source, size, cache)).permute(2, 0, 1)
        except UnreadableImage as error:
            skipped.append(Skipped(source, str(error)))
            context.progress()
            continue
        boxes = specification.boxes_of(number)
        signs = masking.run(pixels, boxes, number, lambda: context.progress(0))
        array = context.store.write(".npz", lambda file, signs=signs: write_signs(file, signs))  # type: ignore[misc]
        picture = context.store.put(pictures.png(masked_row(masking, pixels, boxes, number)), ".png")
        files += [array, picture]
        rows += [
            {
                "job_id": context.claim.job_id,
                "image_id": image.id,
                "part": part,
                "boxes": len(of_part),
                "masked_share": masked_share(of_part, size),
                "array_path": array.path,
                "picture_path": picture.path,
            }
            for part, of_part in boxes.items()
        ]
        context.progress()

    def write(session: Session) -> None:
        register_artifacts(context, session, files)
        ids = [image.id for image, _ in images]
        of_job = CorrespondenceImage.job_id == context.claim.job_id
        session.execute(delete(CorrespondenceImage).where(of_job, CorrespondenceImage.image_id.in_(ids)))
        record_left_out(context, session, [source for _, source in images], skipped)
        session.add_all(CorrespondenceImage(**row) for row in rows)

    context.complete(write)


def masking_of(context: JobContext, **options: Any) -> Masking:
    """Return the job's masking with its network."""
    specification = cast(CorrespondenceSpecification, context.specification)
    network = specification.network
    return Masking(
        load_network(context, network, specification.weights_path),
        specification.layers,
        network.image_size,
        specification.parts,
        specification.draws,
        specification.fill,
        specification.seed,
        device=context.device,
        mean=network.mean,
        std=network.std,
        **options,
    )
