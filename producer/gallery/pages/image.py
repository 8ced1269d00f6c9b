"""The page of an image: where it is from, and what jobs of each kind have found about it."""

from __future__ import annotations

from typing import Any

from producer.datasets.listing import image_context
from producer.gallery.page import Gallery, Links, Page, Parameters
from producer.gallery.pictures import image_link
from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/images/ID``.

    Raises
    ------
    NoImageWithId
    """
    image_id = parameters.path["image_id"]
    context = image_context(gallery.database, image_id)
    image = context.image
    return {
        "title": f"Image {image_id}: {image.class_name}",
        "image_id": image_id,
        "path": image.path,
        "object_number": image.object_number,
        "class_name": image.class_name,
        "width": image.width,
        "height": image.height,
        "box": image.box,
        "sha256": image.sha256,
        "picture": image_link(image.id, image.sha256, 1200),
        "dataset": context.dataset.name,
        "splits": context.splits,
        "previous": f"/images/{context.before}" if context.before is not None else None,
        "next": f"/images/{context.after}" if context.after is not None else None,
        "same_file": [
            {
                "id": other.id,
                "class_name": other.class_name,
                "box": other.box,
                "object_number": other.object_number,
            }
            for other in context.same_file
            if other.id != image_id
        ],
        "found": [links for links in _found(gallery, image_id) if links.links],
    }


def _found(gallery: Gallery, image_id: int) -> list[Links]:
    return [load(kind.image_links)(gallery, image_id) for kind in producer_kinds().values() if kind.image_links]


IMAGE = Page("/images/{image_id:int}", "gallery/templates/image.html.j2", read)
