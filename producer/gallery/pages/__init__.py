"""Pages that don't belong to a kind of job."""

from __future__ import annotations

from producer.gallery.page import Page
from producer.gallery.pages.home import HOME

PAGES: tuple[Page, ...] = (HOME,)
