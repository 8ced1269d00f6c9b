"""The page of a layer in Chromium, until its last picture is there."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gallery.addresses import Make

NAMES = ("chromium", "chromium-browser", "google-chrome")
WINDOW = {"width": 1280, "height": 800}  # pixels
SECONDS = 30
PICTURES = 120  # of 60 units, each with its projections and its patches
# Pictures out of view are loaded at once, as if the reader scrolled at once to the end.
COMPLETE = """() => new Promise((resolve) => {
  for (const image of document.images) image.loading = "eager";
  const check = () => [...document.images].every((image) => image.complete && image.naturalWidth)
    ? resolve([performance.now() / 1000, document.images.length]) : requestAnimationFrame(check);
  check();
})"""


def find_chromium() -> Path | None:
    """Return the path of Chromium, or None."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found and Path(found).is_file() else None


def seconds_to_complete(
    url: str, layer: Make, chromium: Path, visits: int
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the seconds from the address to the last picture of a layer's page, whose pictures the server has not
    drawn before, and of the same page in another visit, in which the browser has none either.

    Raises
    ------
    RuntimeError
        A page has another number of pictures than that of 60 units.
    """
    from playwright.sync_api import sync_playwright

    generator = random.Random(1)  # noqa: S311
    first: list[float] = []
    again: list[float] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        for number in range(visits + 1):
            address = layer(generator)
            for seconds in (first, again):
                context = browser.new_context(viewport=WINDOW)  # type: ignore[arg-type]
                page = context.new_page()
                page.set_default_timeout(SECONDS * 1000)
                page.goto(url + address, wait_until="domcontentloaded")
                took, pictures = page.evaluate(COMPLETE)
                context.close()
                if pictures != PICTURES:
                    raise RuntimeError(f"{address} has {pictures} pictures, not {PICTURES}")
                if number:  # the first one starts Chromium's processes
                    seconds.append(took)
        browser.close()
    return first, again
