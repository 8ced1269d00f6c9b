"""Names of anything: they come back as they were given, and do nothing on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.cli.helpers import Call, Done, Home

ODD_NAMES = ["two words", "quo'te\"", "new\nline", "🐈", "[/x]", "[red]x", "{0}", "%s", "-x", "a/../b", "x" * 300]


@pytest.fixture(scope="module")
def named(home: Home, photos: Path, trained: int) -> dict[str, list[Done]]:
    """What is said of a data set of each odd name: when it is added, shown, submitted, and what its job says."""
    calls: list[Call] = []
    for unit, name in enumerate(ODD_NAMES):
        search = ("submit", "--layer", "4", "--dataset", name, "--split", "all", "--run", trained)
        calls += [
            (("dataset", "add", "folder", "--root", photos, "--name", name), {}),
            (("dataset", "show", "--json", "--", name), {}),
            (("dataset", "show", "--", name), {}),
            ((*search, "--units", unit), {}),
            (("ls", "--limit", "1"), {}),
            (("dataset", "ls"), {}),
        ]
    answers = iter(home.many(calls))
    return {name: [next(answers) for _ in range(6)] for name in ODD_NAMES}


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name)[:20])
def test_odd_name_comes_back_as_it_was_given(named: dict[str, list[Done]], photos: Path, name: str) -> None:
    added, as_json, shown, submitted, jobs, datasets = named[name]
    for done in named[name]:
        assert done.returncode == 0, done.stderr[-1500:]
    assert added.stdout == f"{name}\n"
    assert json.loads(as_json.stdout)["name"] == name
    assert submitted.stdout.strip().isdecimal()
    assert "".join(name.split()) in "".join(shown.stdout.split())  # long lines are broken
    if "\n" not in name and len(name) < 100:  # a table has such a name on several lines
        assert name in jobs.stdout
        assert name in datasets.stdout
    assert str(photos) in "".join(shown.stdout.split())
    assert "[bold]" in shown.stdout


def test_page_shows_names_as_text_whatever_they_are(home: Home, trained: int, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    (tmp_path / "data" / hostile).mkdir(parents=True)
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(tmp_path / "data" / hostile / "a.png")
    name = "<script>alert(2)</script>"
    home("dataset", "add", "folder", "--root", tmp_path / "data", "--name", name)
    search = ("submit", "--layer", "5", "--units", "7", "--dataset", name, "--split", "all", "--run", trained)
    job = int(home(*search).stdout)
    summary = json.dumps({"images": 1, "images_left_out": 0, "layers": []})
    for statement in (
        f"UPDATE jobs SET state = 'done', shards_left = 0, finished_at = created_at, summary = '{summary}' "
        f"WHERE id = {job}",
        f"INSERT INTO searched_layers (id, job_id, layer, layer_path) VALUES (88, {job}, 'conv5', 'features.10')",
        "INSERT INTO searched_units (layer_id, unit, dead) VALUES (88, 7, 0)",
        'INSERT INTO top_activation_rows (layer_id, unit, rank, activation, image_id, "row", col, patch_path, '
        "projection_path, projection_scale) "
        "VALUES (88, 7, 1, 0.125, (SELECT max(id) FROM images), 2, 3, 'a.png', 'b.png', 0.5)",
    ):
        home.change(statement)
    assert hostile in home("results", job).stdout
    home("results", job, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "alert(1)" in page
    assert "alert(2)" in page
    assert hostile not in page
    assert "<script>alert" not in page
