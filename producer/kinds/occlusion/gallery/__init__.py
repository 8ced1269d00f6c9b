"""Pages of occlusion sweeps in the gallery: the list of images, and the maps over an image."""

from __future__ import annotations

from producer.gallery.page import Page, Picture
from producer.kinds.occlusion.gallery.image import draw_map, read_image_maps
from producer.kinds.occlusion.gallery.images import read_images

SWEEP = "/jobs/{job_id:int}/occlusion"

PAGES = (
    Page(SWEEP, "kinds/occlusion/gallery/images.html.j2", read_images),
    Page(f"{SWEEP}/{{image_id:int}}", "kinds/occlusion/gallery/image.html.j2", read_image_maps),
    Picture(f"{SWEEP}/{{image_id:int}}/{{sha256}}/{{name}}.png", draw_map),
)
