"""The page of workers and queues."""

from __future__ import annotations

from typing import Any

from producer.gallery.page import Gallery, Page, Parameters
from producer.results.running import list_queues, list_workers


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/workers``, or the part of it that is read again every two seconds."""
    workers = list_workers(gallery.database)
    return {
        "title": "Workers",
        "workers": workers,
        "alive": sum(worker.alive for worker in workers),
        "queues": list_queues(gallery.database),
    }


WORKER_PAGES = (
    Page("/workers", "gallery/templates/workers.html.j2", read),
    Page("/workers/live", "gallery/templates/workers_live.html.j2", read),
)
