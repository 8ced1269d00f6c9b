"""Validation of a request for a correspondence job, before a job is created."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from producer.cost.shards import with_default_shards
from producer.datasets.choice import ImageChoice, evenly_spread
from producer.kinds.correspondence.parts import Box, Parts, find_parts
from producer.networks.choice import NetworkOptions, choose_network, dataset_of_network
from shared.database.connection import Database
from shared.errors import UsageError
from shared.kinds.correspondence.specification import CorrespondenceSpecification, PartOfImage
from shared.settings import Settings
from unitscope.errors import InvalidArgument
from unitscope.features.choice import find_feature_layers, last_convolution_and_last_hidden
from unitscope.vocabulary import MaskFill

MOST_IMAGES = 1000  # they have half a million pairs
MOST_PARTS = 50


def correspondence_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str | None,
    images: ImageChoice,
    network: NetworkOptions,
    layers: Sequence[str],
    parts: Sequence[str],
    boxes: Path | None,
    draws: int,
    fill: MaskFill,
    seed: int,
    whole_files: bool,
    shards: int | None,
) -> CorrespondenceSpecification:
    """Validate the request and return the specification of a correspondence job.

    Parameters
    ----------
    parts
        names of the parts; all that at least two images have if empty.
    boxes
        file of boxes; None for the data set's annotations.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchImage, NoSuchRun, NoTrainedNetwork, NoSuchModule, AmbiguousLayer,
    UsageError, and the errors of ``choose_network``
    """
    with database.read() as session:
        row = dataset_of_network(session, dataset, network)
    chosen = choose_network(database, settings, row, network)
    specification = chosen.description.specification
    try:
        compared = find_feature_layers(chosen.description, layers, last_convolution_and_last_hidden)
    except InvalidArgument as error:
        raise UsageError(reason=str(error)) from error
    with database.read() as session:
        found = find_parts(session, row, images, boxes, specification.image_size, whole_files)
    masked = _chosen_parts(found, parts, images.count)
    names = sorted({part for of_image in masked.values() for part in of_image})
    job = CorrespondenceSpecification(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        split=found.split,
        boxes_from="annotations" if boxes is None else boxes.name,
        images=sorted(masked),
        whole_files=whole_files,
        network=specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        training_job_id=chosen.training_job_id,
        layers=compared,
        parts=names,
        masks=[
            PartOfImage(image=image, part=part, boxes=sorted(set(masked[image][part])))
            for image in sorted(masked)
            for part in sorted(masked[image])
        ],
        skipped=[item for item in found.skipped if not item.part or item.part in names],
        draws=draws,
        fill=fill,
        seed=seed,
        shards=shards,
    )
    return with_default_shards(database, job, shards, ("mask",), len(job.images))


def _chosen_parts(found: Parts, parts: Sequence[str], count: int | None) -> dict[int, dict[str, list[Box]]]:
    """Return the boxes of the parts to mask, by image, for at most ``count`` images that have one of the parts.

    Raises
    ------
    UsageError
        an image that was named, or all of them, have none of the parts; or a part has less than two images.
    """
    known = Counter(part for of_image in found.boxes.values() for part in of_image)
    listed = ", ".join(f"{part} ({images})" for part, images in sorted(known.items())[:MOST_PARTS]) or "none"
    if unknown := [part for part in parts if part not in known]:
        raise UsageError(reason=f"No chosen image has the part '{unknown[0]}'. Parts of these images: {listed}.")
    wanted = set(parts or known)
    having = {
        image: {part: boxes for part, boxes in of_image.items() if part in wanted}
        for image, of_image in found.boxes.items()
        if wanted & of_image.keys()
    }
    if without := [path for image, path in found.named.items() if image not in having]:
        raise UsageError(
            reason=f"Image {without[0]} has none of the parts: {', '.join(sorted(wanted)) or listed}."
        )
    kept = {image: having[image] for image in evenly_spread(sorted(having), count)} if having else {}
    numbers = Counter(part for of_image in kept.values() for part in of_image)
    few = [part for part in sorted(wanted) if numbers[part] < 2]
    if (parts and few) or len(few) == len(wanted):
        which = f"part '{few[0]}' is in {numbers[few[0]]}" if few else "no part is in any"
        raise UsageError(
            reason=f"Correspondence needs at least two images of a part: {which} of the chosen images. Parts of "
            f"these images: {listed}."
        )
    kept = {
        image: rest
        for image, of_image in kept.items()
        if (rest := {part: boxes for part, boxes in of_image.items() if part not in few})
    }
    if len(kept) > MOST_IMAGES or len(wanted) > MOST_PARTS:
        raise UsageError(
            reason=f"{len(kept)} images with {len(wanted)} parts are too many: all pairs are compared. Choose at "
            f"most {MOST_IMAGES} images (--images) and {MOST_PARTS} parts (--part)."
        )
    return kept
