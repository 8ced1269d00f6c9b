"""Descriptor of a kind of job, for the command line and pages.

Commands, tables and pages are named as ``module:attribute`` and imported on first use, so that ``analyze`` starts
fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """A result table that ``analyze results`` prints.

    Parameters
    ----------
    name
        Name of the option that selects the table, ``--NAME``. The default table has no option: there the name is a
        title, such as "top activations".
    table
        ``module:attribute`` of a ``producer.results.tables.ResultTable`` or ``ComputedTable``.
    help
        Help text of the option.
    takes_count
        Whether the option takes a number, the maximum number of rows.
    """

    name: str
    table: str
    help: str = ""
    takes_count: bool = False


@dataclass(frozen=True)
class ProducerKind:
    """The producer's side of a kind of job. Commands and functions are named as ``module:attribute``.

    Parameters
    ----------
    command
        The command of ``analyze submit NAME``.
    results
        Result tables; ``analyze results`` prints the first one by default.
    page
        A function ``(database, store, job_id, filters) -> str`` that renders a job's HTML page, or None.
    page_filters
        Names of the filters that apply to the page: see ``producer.results.filters``.
    section
        A function ``(database, store, job_id) -> Section`` (see ``producer.results.sections``) for the page of a
        study, or None.
    pages
        The kind's pages of the gallery, a sequence of ``producer.gallery.page.Page``, or None.
    links
        A function ``(gallery, job_id) -> list[Link]`` (see ``producer.gallery.page``) that lists what a job's page
        of the gallery leads to, or None.
    site
        A function ``(gallery, job_id, site) -> None`` that writes the kind's pages as files, with a
        ``producer.gallery.site.writer.Site``, or None.
    image_links
        A function ``(gallery, image_id) -> Links`` (see ``producer.gallery.page``) that lists what jobs of this
        kind have found about an image, for the image's page of the gallery, or None.
    estimate
        A ``producer.kinds.estimates.Estimate``, for ``--dry-run`` and the check of the free space, or None.
    verbs
        Additional commands of ``analyze`` by name.
    network_verbs
        Additional commands of ``analyze network`` by name.
    """

    name: str
    command: str
    results: tuple[Result, ...]
    page: str | None = None
    page_filters: frozenset[str] = frozenset()
    section: str | None = None
    pages: str | None = None
    links: str | None = None
    site: str | None = None
    image_links: str | None = None
    estimate: str | None = None
    verbs: Mapping[str, str] = field(default_factory=dict)
    network_verbs: Mapping[str, str] = field(default_factory=dict)


def load(import_path: str) -> Any:
    """Import and return the object that ``module:attribute`` names."""
    module, _, attribute = import_path.partition(":")
    return getattr(importlib.import_module(module), attribute)
