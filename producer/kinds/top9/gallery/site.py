"""The pages of a search as files: an overview, the grids of its layers, and the results of its units."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence

from sqlalchemy import select

from producer.gallery.page import Gallery, Parameters
from producer.gallery.pictures import picture_size
from producer.gallery.site.writer import Site
from producer.gallery.templates import job_link
from producer.kinds.top9.gallery.layer import read_layer
from producer.kinds.top9.gallery.unit import read_unit
from producer.kinds.top9.layers import searched_layers
from producer.results.pages import load_report
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit

UNITS = 60  # of a grid, as on the pages that are served
RESULTS = 16  # units of a page of results


def write_site(gallery: Gallery, job_id: int, site: Site) -> None:
    """Write all pages of a search that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing, FileNotWritable
    """
    with gallery.database.read() as session:
        report = load_report(session, job_id)
        layers = searched_layers(session, job_id)
        units = {
            layer.layer_path: list(
                session.scalars(
                    select(SearchedUnit.unit).where(SearchedUnit.layer_id == layer.id).order_by(SearchedUnit.unit)
                )
            )
            for layer in layers
        }
    site.name("/", "index.html")
    site.name(job_link(job_id), "index.html")
    names = {layer.layer_path: f"{number}-{_file_name(layer.layer)}" for number, layer in enumerate(layers, 1)}
    for layer in layers:
        _name_pages(site, job_id, layer, names[layer.layer_path], units[layer.layer_path])
    for layer in layers:
        _write_results(gallery, site, job_id, layer, names[layer.layer_path], units[layer.layer_path])
        _write_grids(gallery, site, job_id, layer, names[layer.layer_path])
    sheets = []
    for layer in layers:
        sheet = layer.contact_sheet_path and f"{names[layer.layer_path]}-contact-sheet.jpg"
        if sheet:
            shutil.copyfile(gallery.store.locate(layer.contact_sheet_path or ""), site.folder / sheet)
        size = picture_size(gallery.store, layer.contact_sheet_path) if layer.contact_sheet_path else None
        address = job_link(job_id, "layers", layer.layer)
        sheets.append({"layer": layer.layer, "address": address, "picture": sheet, "size": size})
    site.page(
        "index.html", "kinds/top9/gallery/site.html.j2", {**vars(report), "job_id": job_id, "layers": sheets}
    )


def _file_name(layer: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", layer)[:60]


def _name_pages(site: Site, job_id: int, layer: SearchedLayer, name: str, units: Sequence[int]) -> None:
    """Say in which files the grid and the results of each unit of a layer are."""
    address = job_link(job_id, "layers", layer.layer)
    site.name(address, f"{name}.html")
    for index, unit in enumerate(units):
        site.name(f"{address}/units/{unit}", f"{_results_file(name, index)}#unit-{unit}")


def _results_file(name: str, index: int) -> str:
    return f"{name}-units-{index // RESULTS + 1}.html"


def _write_grids(gallery: Gallery, site: Site, job_id: int, layer: SearchedLayer, name: str) -> None:
    """Write the grid of a layer, with ``UNITS`` units on a page."""
    address, page = job_link(job_id, "layers", layer.layer), 1
    query: dict[str, str] = {}
    while True:
        parameters = Parameters({"job_id": job_id, "layer": layer.layer_path}, query, address)
        values = read_layer(gallery, parameters)
        following = values["next"]
        file = f"{name}.html" if page == 1 else f"{name}-{page}.html"
        if following:
            site.name(following, f"{name}-{page + 1}.html")
        values["first"] = address if page > 1 else None
        site.page(file, "kinds/top9/gallery/layer.html.j2", values)
        if not following:
            return
        query, page = {"after": values["after"]}, page + 1


def _write_results(
    gallery: Gallery, site: Site, job_id: int, layer: SearchedLayer, name: str, units: Sequence[int]
) -> None:
    """Write the results of a layer's units, with ``RESULTS`` units on a page."""
    for start in range(0, len(units), RESULTS):
        shown = [
            read_unit(gallery, Parameters({"job_id": job_id, "layer": layer.layer_path, "unit": unit}, {}))
            for unit in units[start : start + RESULTS]
        ]
        values = {
            "title": f"Units {units[start]} to {shown[-1]['unit']} of {layer.layer}",
            "job_id": job_id,
            "layer": layer.layer,
            "address": job_link(job_id, "layers", layer.layer),
            "units": shown,
            "previous": _results_file(name, start - RESULTS) if start else None,
            "next": _results_file(name, start + RESULTS) if start + RESULTS < len(units) else None,
        }
        site.page(_results_file(name, start), "kinds/top9/gallery/site_units.html.j2", values)
