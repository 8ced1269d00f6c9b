"""One home with a worker and finished jobs, one server, and one browser for all tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.acceptance.conftest import FC, SIZE, weights
from tests.browser.addresses import Home
from tests.browser.chromium import Watched, chromium, find_chromium, watched
from tests.conftest import Analyze
from tests.served import Served

__all__ = ["weights"]  # fixtures

STUDY = """
name = "small"
title = "A small study"

[jobs.train]
kind = "train"
options = { dataset = "shapes", network = "zfnet", epochs = 1, size = 64, fc = 16 }
grid = { seed = [0, 1] }

[table]
rows = "job"

[table.values.accuracy]
title = "val accuracy (%)"
summary = "best_accuracy"
scale = 100
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, weights: Path) -> Iterator[Home]:
    """A home on SQLite with a running worker, a search, an occlusion sweep, and a training run."""
    find_chromium()  # before the work that would be for nothing
    analyze = Analyze(tmp_path_factory.mktemp("browser") / "home")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    network = ("--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC)
    search = ("--layers", "1,5", "--units", "0-11", "--dataset", "shapes", "--split", "trainval", *network)
    sweep = ("--dataset", "shapes", *network, "--images", 2, "--patch", 24, "--stride", 15)
    study = analyze.home / "small.toml"
    study.write_text(STUDY)
    analyze("study", "run", study, "--no-wait")
    runs = analyze.json("query", "SELECT id FROM jobs WHERE kind = 'train' ORDER BY id")
    jobs = {
        "run": runs[0]["id"],
        "second_run": runs[1]["id"],
        "search": int(analyze("submit", *search, "--bottom", "--per-class").stdout),
        "occlusion": int(analyze("submit", "occlusion", *sweep).stdout),
    }
    analyze.up()
    for job in jobs.values():
        analyze("watch", job)
    images = analyze.json("query", "SELECT image_id FROM top_activations ORDER BY activation DESC LIMIT 1")
    swept = analyze.json("query", "SELECT image_id FROM occlusion_maps LIMIT 1")
    yield Home(analyze, jobs, images[0]["image_id"], swept[0]["image_id"])
    analyze.end()


@pytest.fixture(scope="session")
def served(home: Home) -> Served:
    return Served(home.analyze)


@pytest.fixture
def view(browser: Browser, served: Served) -> Iterator[Watched]:
    """A page of 1280 x 800 pixels. After the test nothing may have gone wrong on it."""
    with watched(browser, served.url, viewport={"width": 1280, "height": 800}) as opened:
        yield opened
        opened.check()
