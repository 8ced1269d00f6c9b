"""Pages of a search in the gallery: a layer, a unit."""

from __future__ import annotations

from producer.gallery.page import Page
from producer.kinds.top9.gallery.layer import read_layer
from producer.kinds.top9.gallery.unit import read_unit

LAYER = "/jobs/{job_id:int}/layers/{layer}"

PAGES = (
    Page(f"{LAYER}/units/{{unit:int}}", "kinds/top9/gallery/unit.html.j2", read_unit),
    Page(LAYER, "kinds/top9/gallery/layer.html.j2", read_layer),
)
