"""What a search's page of the gallery leads to: its layers."""

from __future__ import annotations

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import job_link
from producer.kinds.top9.layers import searched_layers


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return a link to each layer that has been searched so far, with its contact sheet."""
    with gallery.database.read() as session:
        layers = searched_layers(session, job_id)
    return [
        Link(layer.layer, job_link(job_id, "layers", layer.layer), picture=layer.contact_sheet_path)
        for layer in layers
    ]
