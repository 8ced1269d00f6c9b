"""The pages of the gallery in Chromium: how they look and behave, with jobs of a real worker.

All of it is one module, since pytest-xdist runs a module in one process: so there is one home and one browser.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.conftest import FC, SIZE
from tests.browser.addresses import PATHS, Home
from tests.browser.chromium import Watched, watched
from tests.conftest import Analyze
from tests.integration.small_jobs import TRAIN
from tests.served import Served

pytestmark = pytest.mark.browser

WIDTHS = (400, 1280, 2560, 3840)


def save_screenshot(opened: Watched, address: str, name: str) -> None:
    """Store a picture of the page, if somebody wants to look at it."""
    if folder := os.environ.get("UNITSCOPE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = re.sub(r"\W+", "-", address).strip("-")[:80] or "first"
        opened.page.screenshot(path=Path(folder) / f"{file}.{name}.png", full_page=True)


@pytest.fixture(scope="module")
def one_page(browser: Browser, served: Served) -> Iterator[Watched]:
    """A page in which addresses are opened one after the other."""
    with watched(browser, served.url) as opened:
        yield opened


@pytest.mark.parametrize("path", PATHS)
def test_every_page(one_page: Watched, home: Home, path: str) -> None:
    """At four widths, and on a desk in the light scheme and on a phone in the dark one with axe-core.

    The page is opened once on each of these two, and nothing moves by itself.
    """
    opened = one_page
    for address in home.addresses(path):
        opened.leave()
        opened.page.set_viewport_size({"width": 1280, "height": 900})
        opened.page.emulate_media(color_scheme="light")
        response, shifts = opened.layout_shifts(address)
        if "<html" in response.text():  # not a part that another page loads again and again
            assert sum(value for value, _ in shifts) < 0.01, f"{address} at 1280 pixels: {shifts}"
            for width in WIDTHS:
                opened.page.set_viewport_size({"width": width, "height": 900})
                save_screenshot(opened, address, str(width))
                assert_nothing_is_cut_off(opened, address)
            assert opened.accessibility_problems() == [], address
            opened.check()
            opened.leave()
            opened.page.set_viewport_size({"width": 400, "height": 900})
            opened.page.emulate_media(color_scheme="dark")
            _, shifts = opened.layout_shifts(address)
            assert sum(value for value, _ in shifts) < 0.01, f"{address} at 400 pixels: {shifts}"
            save_screenshot(opened, address, "dark")
            assert opened.accessibility_problems() == [], f"{address}, dark"
        opened.check()


def assert_nothing_is_cut_off(opened: Watched, address: str) -> None:
    """The page doesn't scroll to the side; tables and code in it may."""
    wide = opened.page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= width) return [];
            const isOutside = (element) => element.getBoundingClientRect().right > width + 1;
            const outside = [...document.querySelectorAll("body *")].filter(
                (element) => isOutside(element) && !element.closest(".scroll, pre"));
            return ["", ...outside.slice(0, 3).map((element) => element.outerHTML.slice(0, 200))];
        }"""
    )
    assert wide == [], f"{address} scrolls to the side"


@pytest.mark.parametrize("address", ["/paper/small", "/jobs/{search}/report", "/jobs/{occlusion}/report"])
def test_pages_that_are_one_file(browser: Browser, served: Served, home: Home, address: str) -> None:
    """Their policy allows the styles and pictures that they have inside."""
    with watched(browser, served.url, viewport={"width": 1280, "height": 900}) as opened:
        assert opened.open(address.format(**home.jobs)).status == 200
        assert opened.page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        assert opened.page.evaluate("document.styleSheets.length") > 0
        opened.check()


def test_exported_pages_are_opened_from_the_disk(browser: Browser, home: Home, tmp_path: Path) -> None:
    site = tmp_path / "site"
    home.analyze("export", home.jobs["search"], "--site", site)
    with watched(browser, f"file://{site}") as opened:
        page = opened.page
        opened.open("/index.html")
        page.get_by_role("link", name="conv5").first.click()
        expect(page.get_by_role("heading", name="conv5")).to_be_visible()
        assert page.locator(".card").count() == 12
        page.get_by_role("link", name="Unit 3", exact=True).click()
        page.wait_for_url(re.compile(r"^file://.*#unit-3$"))
        expect(page.locator("#unit-3")).to_be_in_viewport()
        assert all(request.startswith(f"file://{site}") for request in opened.requests)
        assert opened.errors == []
        assert opened.accessibility_problems() == []  # axe asks for the styles again, which a file may not


def test_axe_would_find_something(browser: Browser, served: Served) -> None:
    with watched(browser, served.url) as opened:
        opened.open("/")
        opened.page.evaluate("document.querySelector('main').append(document.createElement('button'))")
        assert any(problem.startswith("button-name") for problem in opened.accessibility_problems())


def test_the_policy_would_refuse_a_script_in_a_page(browser: Browser, served: Served) -> None:
    with watched(browser, served.url) as opened:
        opened.open("/")
        opened.page.evaluate(
            """() => {
                document.querySelector("main").innerHTML += "<img src=x onerror='window.ran = true'>";
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.body.append(script);
            }"""
        )
        opened.page.wait_for_timeout(200)
        assert opened.page.evaluate("window.ran") is None
        assert any("Content Security Policy" in error for error in opened.errors)


# --- keys ---


def test_keys_lead_from_unit_to_unit_and_up(view: Watched, home: Home) -> None:
    layer = f"/jobs/{home.jobs['search']}/layers/conv5"
    view.open(f"{layer}/units/3")
    for key, address in (
        ("ArrowRight", f"{layer}/units/4"), ("ArrowLeft", f"{layer}/units/3"), ("ArrowLeft", f"{layer}/units/2"),
        ("u", layer),
    ):  # fmt: skip
        view.page.keyboard.press(key)
        view.page.wait_for_url(view.url + address)
    view.open(f"{layer}/units/11")
    view.page.keyboard.press("ArrowRight")  # it is the last one
    view.page.keyboard.press("Control+ArrowLeft")  # a key of the browser's
    view.page.wait_for_timeout(100)
    assert view.page.url == f"{view.url}{layer}/units/11"


def test_the_link_of_a_unit_is_copied(browser: Browser, served: Served, home: Home) -> None:
    with watched(browser, served.url, permissions=["clipboard-read", "clipboard-write"]) as opened:
        opened.open(f"/jobs/{home.jobs['search']}/layers/conv5/units/3")
        opened.page.get_by_role("button", name="Copy link").click()
        expect(opened.page.get_by_role("button", name="Copied")).to_be_visible()
        assert opened.page.evaluate("navigator.clipboard.readText()") == opened.page.url
        opened.check()


def test_a_page_can_be_read_with_the_keyboard_alone(view: Watched, home: Home) -> None:
    view.open(f"/jobs/{home.jobs['search']}/layers/conv5")
    page = view.page
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        outline, element = page.evaluate(
            """() => {
                const style = getComputedStyle(document.activeElement);
                return [style.outlineStyle + " " + parseFloat(style.outlineWidth),
                        document.activeElement.outerHTML.slice(0, 200)];
            }"""
        )
        assert re.fullmatch(r"(solid|auto) [1-9.]+", outline), element
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
        seen.add(element)
    assert len(seen) == 12
    unit = page.get_by_role("link", name=re.compile("^Unit 3")).first
    unit.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/units/3")


# --- filters, colours, pictures ---


def test_filters_are_in_the_address_and_survive_the_back_button(view: Watched, home: Home) -> None:
    view.open(f"/jobs/{home.jobs['search']}/layers/conv5")
    page = view.page
    page.get_by_label("Order").select_option("maximum")
    page.get_by_label("State").select_option("live")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile(r"order=maximum.*state=live"))
    filtered = page.url
    cards = page.locator(".card h2 a")
    order = cards.all_inner_texts()
    assert len(order) > 1
    assert order != sorted(order)
    cards.first.click()
    page.wait_for_url("**/units/*")
    page.go_back()
    page.wait_for_url(filtered)
    expect(page.get_by_label("Order")).to_have_value("maximum")
    expect(page.get_by_label("State")).to_have_value("live")
    assert page.locator(".card h2 a").all_inner_texts() == order
    view.open(filtered.removeprefix(view.url))  # somebody else gets the link
    assert page.locator(".card h2 a").all_inner_texts() == order


def test_pictures_of_a_unit_are_there_and_move_nothing(view: Watched, home: Home) -> None:
    view.open(f"/jobs/{home.jobs['search']}/layers/conv5/units/3")
    page = view.page
    sql = page.get_by_role("heading", name="These rows in SQL")
    before = sql.bounding_box()
    page.evaluate("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
    loaded = "[...document.querySelectorAll('.nine img')].every((image) => image.complete && image.naturalWidth)"
    deadline = time.monotonic() + 20
    while not page.evaluate(loaded) and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    pictures = page.evaluate(
        """[...document.querySelectorAll(".nine img")]
            .map((image) => [image.complete, image.naturalWidth, image.alt])"""
    )
    assert len(pictures) >= 18
    assert all(complete and width for complete, width, _ in pictures)
    assert all(text for *_, text in pictures)
    assert sql.bounding_box() == before


def test_layout_shifts_would_be_found(browser: Browser, served: Served) -> None:
    with watched(browser, served.url, viewport={"width": 1280, "height": 900}) as opened:
        for _ in range(2):  # also on a page that has shown another address
            opened.leave()
            _, shifts = opened.layout_shifts("/")
            assert sum(value for value, _ in shifts) < 0.01
        opened.page.evaluate("window.scrollTo({top: 0, behavior: 'instant'})")
        opened.page.evaluate("document.querySelector('main').prepend(document.createElement('textarea'))")
        opened.page.wait_for_timeout(200)
        assert sum(value for value, _ in opened.page.evaluate("window.layoutShifts")) > 0.01


def test_who_asks_for_less_motion_gets_none(browser: Browser, served: Served) -> None:
    found = {}
    for motion in ("no-preference", "reduce"):
        with watched(browser, served.url, reduced_motion=motion) as opened:
            opened.open("/")
            found[motion] = opened.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior")
            durations = opened.page.evaluate(
                """[...document.querySelectorAll("*")].map((element) => getComputedStyle(element))
                    .filter((style) => style.animationName !== "none"
                                       || parseFloat(style.transitionDuration) > 0).length"""
            )
            assert motion == "no-preference" or durations == 0
    assert found == {"no-preference": "smooth", "reduce": "auto"}


def test_both_colour_schemes(browser: Browser, served: Served) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        with watched(browser, served.url, color_scheme=scheme) as opened:
            opened.open("/")
            text = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
            lightness[scheme] = sum(map(int, re.findall(r"\d+", text)[:3])) / 3
    assert lightness["light"] > 200
    assert lightness["dark"] < 50


# --- signing in ---


def test_signing_in_on_the_page(browser: Browser, home: Home) -> None:
    """Chromium sends Origin and Sec-Fetch-Site as browsers do, which no other test has."""
    token = home.analyze("serve", "--new-token").stdout.strip()
    locked = Served(home.analyze, "--token")
    address = f"/jobs/{home.jobs['search']}/layers/conv5?order=maximum"
    with watched(browser, locked.url) as opened:
        opened.open(address)
        assert opened.accessibility_problems() == []
        save_screenshot(opened, "/login", "light")
        opened.page.get_by_label("Token").fill("wrong")
        opened.page.keyboard.press("Enter")
        expect(opened.page.get_by_role("alert")).to_have_text("This is not the token.")
        opened.errors.clear()  # Chromium reports the status 403
        opened.page.get_by_label("Token").fill(token)
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_url(locked.url + address)
        opened.page.wait_for_load_state("networkidle")
        opened.check()
        assert all(token not in url for url in opened.requests)
        (cookie,) = opened.page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    # By its address in a network, where browsers send no Sec-Fetch-Site.
    open_to_all = Served(home.analyze, "--host", "0.0.0.0")  # noqa: S104
    url = f"http://{machine_address()}:{open_to_all.port}"
    with watched(browser, url) as opened:
        opened.open("/")
        opened.page.get_by_label("Token").fill(token)
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_url(f"{url}/")
        opened.check()


def machine_address() -> str:
    """Return an address of this machine that browsers don't regard as safe, if it has one."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        try:
            opened.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.1"
        return str(opened.getsockname()[0])


# --- while things happen ---


@pytest.fixture
def submitted(home: Home) -> Iterator[int]:
    """A training run of some seconds that was just submitted."""
    job = int(home.analyze("submit", *TRAIN[1:], "--epochs", 5, "--seed", 7).stdout)
    yield job
    home.analyze("cancel", job, code=None)


def test_progress_of_a_job_is_seen_without_reloading(view: Watched, submitted: int) -> None:
    view.open(f"/jobs/{submitted}")
    view.page.evaluate("window.notReloaded = true")
    states = set()
    state = view.page.locator("main .state").first
    for _ in range(600):
        states.add(state.inner_text())
        if "done" in states:
            break
        view.page.wait_for_timeout(100)
    assert "done" in states
    assert states & {"queued", "running"}
    assert view.page.evaluate("window.notReloaded")


def test_the_database_goes_away_and_comes_back(browser: Browser, served: Served, home: Home) -> None:
    file = home.analyze.home / "unitscope.sqlite3"
    with watched(browser, served.url) as opened:
        assert opened.open("/").status == 200
        moved = file.rename(file.with_suffix(".moved"))
        try:
            response = opened.open("/")
            assert (response.status, response.headers["retry-after"]) == (503, "5")
            expect(opened.page.get_by_role("alert")).to_contain_text("The database of this gallery can't be used")
            assert str(home.analyze.home) not in opened.page.content()
            assert not file.exists()
        finally:
            moved.rename(file)
        opened.errors.clear()
        assert opened.page.reload().status == 200  # type: ignore[union-attr]
        opened.check()


def test_a_page_that_follows_a_job_says_that_the_database_is_away(
    browser: Browser, served: Served, home: Home
) -> None:
    file = home.analyze.home / "unitscope.sqlite3"
    with watched(browser, served.url) as opened:
        assert opened.open("/workers").status == 200
        note = opened.page.locator("[data-offline]")
        expect(note).to_be_hidden()
        moved = file.rename(file.with_suffix(".moved"))
        try:
            expect(note).to_contain_text("can't read its database", timeout=20_000)
            expect(opened.page.locator("table").first).to_be_visible()  # the last state stays
        finally:
            moved.rename(file)
        expect(note).to_be_hidden(timeout=20_000)


def test_what_is_opened_in_a_live_part_stays_open(view: Watched, home: Home) -> None:
    view.open("/workers")
    view.page.evaluate(
        """() => {
            const details = document.createElement("details");
            details.id = "kept";
            details.open = true;
            document.querySelector("[hx-get]").append(details);
            htmx.on("htmx:beforeSwap", (event) => {
                event.detail.serverResponse += "<details id='kept'><summary>More</summary></details>";
            });
        }"""
    )
    view.page.wait_for_selector("details#kept > summary", timeout=20_000)  # it was read again
    expect(view.page.locator("details#kept")).to_have_attribute("open", "")


def test_a_job_fails_while_it_is_watched(
    browser: Browser, tmp_path: Path, shapes_root: Path, weights: Path
) -> None:
    analyze = Analyze(tmp_path / "home")
    root = tmp_path / "shapes"
    shutil.copytree(shapes_root, root)
    analyze("dataset", "add", "shapes", "--root", root)
    network = ("--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC)
    job = analyze("submit", "--dataset", "shapes", "--split", "trainval", "--layer", 5, "--units", 0, *network)
    address = f"/jobs/{job.stdout.strip()}"
    try:
        with watched(browser, Served(analyze).url) as opened:
            opened.open(address)
            page = opened.page
            page.evaluate("window.notReloaded = true")
            expect(page.locator("main .state").first).to_have_text("queued")
            expect(page.get_by_text("It waits for a worker")).to_be_visible()
            expect(page.get_by_role("alert")).to_have_count(0)
            shutil.rmtree(root)
            analyze.up()
            expect(page.locator("main .state").first).to_have_text("failed", timeout=60_000)
            expect(page.get_by_role("alert")).to_contain_text(str(root))
            expect(page.locator("[data-announcer]")).to_have_text(f"Job {address[6:]}: failed.")
            expect(page.locator("main code").filter(has_text=f"analyze retry {address[6:]}")).to_be_visible()
            assert page.evaluate("window.notReloaded")
            assert opened.accessibility_problems() == []
            save_screenshot(opened, address, "failed")
            page.wait_for_timeout(2500)  # the log may be read once more
            before = len(opened.requests)
            page.wait_for_timeout(4500)
            assert opened.requests[before:] == []  # nothing more will come
            opened.check()
    finally:
        analyze.end()


def test_a_hidden_page_reads_nothing_until_it_is_shown(view: Watched, home: Home) -> None:
    is_read = "**/workers/live"
    view.open("/workers")
    with view.page.expect_request(is_read):
        pass
    view.page.wait_for_load_state("networkidle")
    view.show(hidden=True)
    before = len(view.requests)
    view.page.wait_for_timeout(6000)
    assert view.requests[before:] == []
    with view.page.expect_request(is_read, timeout=5000):  # at once
        view.show(hidden=False)
    with view.page.expect_request(is_read, timeout=15_000):  # and every two seconds, as before
        pass


# --- buttons ---


@pytest.fixture(scope="module")
def changing(home: Home) -> Served:
    """A gallery whose pages have buttons."""
    return Served(home.analyze, "--allow-changes")


@pytest.fixture
def long_job(home: Home) -> Iterator[int]:
    """A training run that takes longer than a test."""
    job = int(home.analyze("submit", *TRAIN[1:], "--epochs", 500, "--seed", 11, "--force").stdout)
    yield job
    home.analyze("cancel", job, code=None)
    home.analyze("watch", job, code=None)


@pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without"])
def test_a_job_is_cancelled_and_continued_by_buttons(
    browser: Browser, changing: Served, home: Home, long_job: int, script: bool
) -> None:
    def wait_for(page: Page, *states: str) -> None:
        for _ in range(200):
            if page.locator("main .state").first.inner_text() in states:
                return
            page.wait_for_timeout(200)
            if not script:
                page.reload()
        raise AssertionError(f"the job is not {states}: {page.locator('#live').inner_text()}")

    def row() -> dict[str, Any]:
        status: dict[str, Any] = home.analyze.json("status", long_job)
        return status

    with watched(browser, changing.url, java_script_enabled=script) as opened:
        page = opened.page
        opened.open(f"/jobs/{long_job}")
        wait_for(page, "running")
        if script:
            assert opened.accessibility_problems() == []
            page.get_by_label("Priority").select_option("high")
            page.wait_for_timeout(2500)  # the choice isn't lost when the page is read again
            expect(page.get_by_label("Priority")).to_have_value("high")
            save_screenshot(opened, "/jobs/running", "buttons")
            page.get_by_role("button", name="Set").click()
            expect(page.locator("#live")).to_contain_text("priority high")
            assert row()["priority"] == "high"
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_url(f"{changing.url}/jobs/{long_job}")
        wait_for(page, "cancelled")
        assert row()["state"] == "cancelled"
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        page.get_by_role("button", name="Retry").click()
        page.wait_for_url(f"{changing.url}/jobs/{long_job}")
        wait_for(page, "running")
        assert row()["state"] == "running"
        expect(page.get_by_role("button", name="Retry")).to_have_count(0)
        page.get_by_role("button", name="Cancel").click()
        wait_for(page, "cancelled")
        opened.check()
