"""The page of a data set: classes, splits, what was left out, and its images."""

from __future__ import annotations

from typing import Any

from producer.datasets.listing import images_page, summarize_dataset
from producer.gallery.page import Gallery, Page, Parameters
from producer.gallery.pictures import image_link

IMAGES_OF_PAGE = 48
THUMBNAIL = 240  # pixels


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/datasets/NAME``.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchClass, NoImageWithId, UsageError
    """
    summary = summarize_dataset(gallery.database, parameters.path["name"])
    split, class_name = parameters.text("split"), parameters.text("class")
    after = parameters.optional_whole("after")
    images, more = images_page(
        gallery.database,
        summary.name,
        IMAGES_OF_PAGE,
        split=split or None,
        class_name=class_name or None,
        after=after,
    )
    return {
        "title": f"Data set {summary.name}",
        **vars(summary),
        "split": split,
        "class_name": class_name,
        "address": parameters.address,
        "shown": [
            {
                "id": image.id,
                "path": image.path,
                "object_number": image.object_number,
                "class_name": image.class_name,
                "width": image.width,
                "height": image.height,
                "picture": image_link(image.id, image.sha256, THUMBNAIL),
            }
            for image in images
        ],
        "next": parameters.link(after=images[-1].id) if more else None,
        "first": parameters.link(after=None) if after is not None else None,
    }


# A name can have a slash.
DATASET = Page("/datasets/{name:path}", "gallery/templates/dataset.html.j2", read)
