"""Pages of searches in the gallery: a layer, a unit, similar units, units side by side, and questions."""

from __future__ import annotations

from producer.gallery.page import Page
from producer.kinds.top9.gallery.compare import read_compared
from producer.kinds.top9.gallery.find import read_find
from producer.kinds.top9.gallery.layer import read_layer
from producer.kinds.top9.gallery.similar import read_similar
from producer.kinds.top9.gallery.unit import read_unit

LAYER = "/jobs/{job_id:int}/layers/{layer}"

PAGES = (
    Page(f"{LAYER}/units/{{unit:int}}", "kinds/top9/gallery/unit.html.j2", read_unit),
    Page(f"{LAYER}/units/{{unit:int}}/similar", "kinds/top9/gallery/similar.html.j2", read_similar),
    Page(LAYER, "kinds/top9/gallery/layer.html.j2", read_layer),
    Page("/compare", "kinds/top9/gallery/compare.html.j2", read_compared, asked_by="a"),
    Page("/find", "kinds/top9/gallery/find.html.j2", read_find),
)
