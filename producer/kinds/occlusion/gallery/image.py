"""The page of an image of a sweep: its maps over the image, with values by position of the square."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.gallery.page import Gallery, Parameters
from producer.gallery.pictures import image_link
from producer.gallery.templates import job_link
from producer.kinds.occlusion.gallery.maps import (
    COLOURS,
    NAMED_CLASSES,
    Maps,
    MapsNotReadable,
    colour,
    draw_classes,
    draw_values,
    probability_span,
    read_maps,
    scale_colours,
    span,
)
from producer.kinds.occlusion.results import OCCLUSION_MAPS, OcclusionMapRow
from producer.results.filters import Filters
from producer.results.jobs import incomplete, job_of_kind
from shared.database.datasets import Dataset, Image
from shared.errors import ArtifactMissing, ImageNotSwept
from shared.jobs.tables import Job
from shared.kinds.occlusion.tables import OcclusionMap
from shared.kinds.registry import describe, specification_values
from shared.store.store import sha256_of

SHA256 = 16  # characters of the archive's SHA-256 in the addresses of its pictures
SHARED = "shared"  # the map of probability on the scale that all images share
TITLES = {
    "activation": "activation of the unit",
    "probability": "probability of the true class",
    SHARED: "the same, from 0 to 1 as for all images",
    "classes": "most probable class",
}


def read_image_maps(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs/ID/occlusion/IMAGE``.

    Raises
    ------
    NoSuchJob, JobNotOfKind, ImageNotSwept
    """
    job_id, image_id = parameters.path["job_id"], parameters.path["image_id"]
    with gallery.database.read() as session:
        job = job_of_kind(session, job_id, "occlusion", "occlusion maps")
        row = _row(session, job_id, image_id)
        image = session.get_one(Image, image_id)
        dataset = session.get_one(Dataset, job.dataset_id)
        before, after = _beside(session, job_id, image_id)
        missing = incomplete(session, job)
    values = specification_values(job.kind, job.specification)
    box = None if values.get("whole_files") else image.box
    address = job_link(job_id, "occlusion", image_id)
    pictures = f"{address}/{sha256_of(row.array_path)[:SHA256]}"
    try:
        maps: Maps | None = read_maps(gallery.store, row.array_path)
        problem = None
    except ArtifactMissing:
        maps, problem = None, f"{row.array_path} is not in the store. `analyze verify` lists missing files."
    except MapsNotReadable as error:
        maps, problem = None, str(error)
    return {
        "title": f"Occlusion of image {image_id}, {image.class_name}",
        "job_id": job_id,
        "what": describe(job.kind, job.specification),
        "image_id": image_id,
        "image_path": image.path,
        "class_name": image.class_name,
        "row": asdict(_result(gallery, job, image_id)),
        "incomplete": str(missing) if missing else None,
        "problem": problem,
        "image_picture": image_link(image.id, image.sha256),
        "file_is_here": os.path.isfile(Path(dataset.root) / image.path),  # False as well if it can't be looked at
        "width": image.width,
        "height": image.height,
        "box": box or (0, 0, image.width, image.height),
        "size": values["network"]["image_size"],
        "fill": values.get("fill"),
        "patches_path": row.patch_path,
        "projections_path": row.projection_path,
        "figure_path": row.picture_path,
        "maps": _shown(maps, dataset.class_names, pictures) if maps else None,
        "previous": job_link(job_id, "occlusion", before) if before is not None else None,
        "next": job_link(job_id, "occlusion", after) if after is not None else None,
        "list": job_link(job_id, "occlusion"),
    }


def draw_map(gallery: Gallery, parameters: Parameters) -> bytes:
    """Draw ``/jobs/ID/occlusion/IMAGE/SHA256/MAP.png``.

    Raises
    ------
    NoSuchJob, JobNotOfKind
    ImageNotSwept
        Or its maps are missing, or were replaced.
    """
    job_id, image_id, name = (parameters.path[part] for part in ("job_id", "image_id", "name"))
    with gallery.database.read() as session:
        job_of_kind(session, job_id, "occlusion", "occlusion maps")
        row = _row(session, job_id, image_id)
    if name not in TITLES or parameters.path["sha256"] != sha256_of(row.array_path)[:SHA256]:
        raise ImageNotSwept(job_id=job_id, image=image_id)
    try:
        maps = read_maps(gallery.store, row.array_path)
    except (ArtifactMissing, MapsNotReadable) as error:
        raise ImageNotSwept(job_id=job_id, image=image_id) from error
    if name == "classes":
        return draw_classes(maps)
    values = maps.activation if name == "activation" else maps.probability
    return draw_values(maps.as_cells(values), (0.0, 1.0) if name == SHARED else _span(maps, name))


def _row(session: Session, job_id: int, image_id: int) -> OcclusionMap:
    row = session.get(OcclusionMap, (job_id, image_id))
    if row is None:
        raise ImageNotSwept(job_id=job_id, image=image_id)
    return row


def _result(gallery: Gallery, job: Job, image_id: int) -> OcclusionMapRow:
    return next(OCCLUSION_MAPS.rows(gallery.database, job.id, Filters(images=[image_id])))


def _beside(session: Session, job_id: int, image_id: int) -> tuple[int | None, int | None]:
    """Return the images of the sweep before and after this one."""
    images = select(OcclusionMap.image_id).where(OcclusionMap.job_id == job_id).limit(1)
    before = images.where(OcclusionMap.image_id < image_id).order_by(OcclusionMap.image_id.desc())
    return session.scalar(before), session.scalar(
        images.where(OcclusionMap.image_id > image_id).order_by(OcclusionMap.image_id)
    )


def _shown(maps: Maps, class_names: list[str], address: str) -> dict[str, Any]:
    """Return what the page draws, and the values that its script reads, with four digits."""
    classes = maps.ordered_classes()
    legend = [
        {
            "name": _name(class_names, number),
            "share": share,
            "colour": colour(COLOURS[min(place, NAMED_CLASSES)]),
        }
        for place, (number, share) in enumerate(classes[:NAMED_CLASSES])
    ]
    rest = sum(share for _, share in classes[NAMED_CLASSES:])
    if rest:
        legend.append({"name": "other classes", "share": rest, "colour": colour(COLOURS[-1])})
    return {
        "pictures": [
            {"name": name, "title": TITLES[name], "address": f"{address}/{name}.png", "span": _span(maps, name)}
            for name in TITLES
        ],
        "legend": legend,
        "scale": scale_colours(),
        "starts": maps.starts,
        "patch": maps.patch,
        # The part of the image that a map covers: its first and its last pixel.
        "area": (float(maps.edges[0]), float(maps.edges[-1])),
        "names": {str(number): _name(class_names, number) for number, _ in classes},
        "activation": _rounded(maps.activation),
        "probability": _rounded(maps.probability),
        "classes": maps.classes.tolist(),
    }


def _span(maps: Maps, name: str) -> tuple[float, float] | None:
    if name in ("classes", SHARED):
        return None
    return span(maps.activation) if name == "activation" else probability_span(maps.probability)


def _name(class_names: list[str], number: int) -> str:
    return class_names[number] if 0 <= number < len(class_names) else f"class {number}"


def _rounded(values: np.ndarray) -> list[list[float | None]]:
    return [[float(f"{value:.4g}") if np.isfinite(value) else None for value in row] for row in values.tolist()]
