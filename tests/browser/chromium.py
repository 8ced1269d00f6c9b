"""Chromium of the system, pages in it, and what goes wrong on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
# Sums up how far what is visible moves by itself; 0.1 is what is regarded as good.
SHIFTS = """
    window.layoutShifts = [];
    new PerformanceObserver((list) => {
        for (const shift of list.getEntries()) {
            const moved = shift.sources.map((source) => source.node?.outerHTML?.slice(0, 150) ?? "text");
            window.layoutShifts.push([shift.value, moved]);
        }
    }).observe({type: "layout-shift", buffered: true});
"""
NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 15.0


def find_chromium() -> str:
    """Return the path of Chromium; skip the test without it, and fail if it is required."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None or not Path(found).is_file():
        words = f"{found or 'Chromium'} is missing: apt install chromium, or set CHROMIUM to its path"
        if os.environ.get("UNITSCOPE_REQUIRE_CHROMIUM"):
            pytest.fail(words)
        pytest.skip(words)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    with sync_playwright() as playwright:
        # Its own sandbox needs rights that containers don't have; the pages are ours.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, and what a reader would not see of it: errors, and requests."""

    page: Page
    url: str  # of the server
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    observes_shifts: bool = False

    def __post_init__(self) -> None:
        # Refusals by the Content-Security-Policy are errors of the console.
        self.page.on("console", lambda message: self._error(message.type == "error", message.text))
        self.page.on("pageerror", lambda error: self._error(True, str(error)))
        self.page.on("request", self._requested)
        self.page.on("response", self._answered)

    def open(self, address: str) -> Response:
        """Open an address of the server, and wait for its pictures that are in view."""
        response = self.page.goto(self.url + address, wait_until="networkidle")
        assert response is not None
        return response

    def leave(self) -> None:
        """Leave the address, so that nothing of it is seen when the next one is opened.

        Opening many addresses in one page takes a third of the time that a new page for each does.
        """
        self.page.goto("about:blank")
        self.errors.clear()
        self.requests.clear()

    def check(self) -> None:
        """Check that nothing has gone wrong so far."""
        assert self.errors == []
        assert [url for url in self.requests if not url.startswith((f"{self.url}/", "data:"))] == []

    def layout_shifts(self, address: str) -> tuple[Response, list[Any]]:
        """Open an address, scroll to its end, and return the response and the layout shifts."""
        if not self.observes_shifts:
            self.page.add_init_script(SHIFTS)
            # As for a new reader: what is in the cache would be there at once, and move nothing.
            session = self.page.context.new_cdp_session(self.page)
            session.send("Network.enable")
            session.send("Network.setCacheDisabled", {"cacheDisabled": True})
            self.observes_shifts = True
        response = self.open(address)
        assert response.status == 200, response.text()
        height = self.page.evaluate("document.documentElement.scrollHeight")
        for top in range(0, height, 600):
            self.page.evaluate(f"window.scrollTo({{top: {top}, behavior: 'instant'}})")
            self.page.wait_for_timeout(50)
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(100)
        shifts: list[Any] = self.page.evaluate("window.layoutShifts")
        return response, shifts

    def show(self, *, hidden: bool) -> None:
        """Let the page believe that its tab is hidden or shown, which Chromium without a window has no way for."""
        self.page.evaluate(
            """(hidden) => {
                Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
                const state = hidden ? "hidden" : "visible";
                Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
                document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )

    def accessibility_problems(self) -> list[str]:
        """Return the rules of axe-core that the page violates, each with the elements."""
        if not self.page.evaluate("typeof axe !== 'undefined'"):
            self.page.evaluate(f"() => {{ {AXE.read_text()} }}")  # the page's policy refuses a script element
        # All nodes that pass take seconds to be sent here.
        found: dict[str, Any] = self.page.evaluate(
            """async () => {
                const found = await axe.run({resultTypes: ["violations"]});
                return {passes: found.passes.length, violations: found.violations};
            }"""
        )
        assert found["passes"] > 5
        return [
            f"{rule['id']}: {rule['help']}: {[node['html'][:200] for node in rule['nodes'][:3]]}"
            for rule in found["violations"]
        ]

    def _error(self, is_error: bool, text: str) -> None:
        if is_error:
            self.errors.append(text)

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def _answered(self, response: Response) -> None:
        is_page = response.request.is_navigation_request()
        self._error(response.status >= 400 and not is_page, f"{response.status} {response.url}")


@contextmanager
def watched(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    """Open an empty page in a context of its own."""
    context = browser.new_context(**options)
    context.set_default_timeout(SECONDS * 1000)
    try:
        yield Watched(context.new_page(), url)
    finally:
        context.close()
