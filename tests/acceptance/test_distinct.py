"""``--distinct``: one image of a file and its near-duplicates, in searches and in answers, with a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.database.connection import Database
from shared.database.datasets import Image as ImageRow
from shared.kinds.top9.images import image_groups
from tests.acceptance.conftest import FC, SIZE
from tests.conftest import Analyze, fresh_database

UNITS, TOP = 8, 5


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 12 pictures each, most of which are there several times: copied, smaller, or compressed."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(24):
        random = np.random.default_rng(number)
        small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        picture = small.resize((160, 120), Image.Resampling.BICUBIC)
        folder = root / ("ab"[number % 2])
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"{number:02}.png")
        if number % 3:
            picture.resize((120, 90)).save(folder / f"{number:02}-small.png")
            picture.save(folder / f"{number:02}-jpeg.jpg", quality=60)
        if number % 4 == 1:
            (folder / f"{number:02}-copy.png").write_bytes((folder / f"{number:02}.png").read_bytes())
    return root


def submit(analyze: Analyze, weights: Path, *options: object) -> str:
    return analyze(
        "submit", "--layers", "1,5", "--units", f"0-{UNITS - 1}", "--dataset", "photographs", "--split", "all",
        "--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC, "--classes", 20,
        "--top", TOP, *options, "--wait",
    ).stdout.strip()  # fmt: skip


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, photographs: Path, weights: Path
) -> Iterator[tuple[Analyze, str]]:
    """A home on SQLite with a search without ``--distinct``, and the job's id."""
    analyze = Analyze(tmp_path_factory.mktemp("distinct") / "home")
    analyze("dataset", "add", "folder", "--root", photographs, "--name", "photographs")
    analyze.up()
    yield analyze, submit(analyze, weights)
    analyze.end()


def rows_of(analyze: Analyze, job: str, *options: str) -> list[tuple[Any, ...]]:
    rows = analyze.json("results", job, *options)
    return [tuple(row[name] for name in ("layer", "unit", "rank", "activation", "image_path")) for row in rows]


def picture_of(path: str) -> str:
    """Return the number of the picture that a file shows."""
    return Path(path).name[:2]


def expected_rows(analyze: Analyze, job: str) -> list[tuple[Any, ...]]:
    """Return the rows of a search with ``--distinct``, from the maxima of one without."""
    images = analyze.json("query", "SELECT id, path FROM images ORDER BY id")
    files = {
        row["layer"]: np.load(analyze.home / "store" / row["maxima_path"])
        for row in analyze.json("query", f"SELECT DISTINCT layer, maxima_path FROM units WHERE job_id = {job}")
    }
    rows = []
    for layer in ("conv1", "conv5"):
        for unit in range(UNITS):
            values, seen = files[layer][unit], set[str]()
            for at in sorted(range(len(values)), key=lambda at: (-values[at], at)):
                picture = picture_of(images[at]["path"])
                if values[at] > 0 and picture not in seen and len(seen) < TOP:
                    seen.add(picture)
                    rows.append((layer, unit, len(seen), float(values[at]), images[at]["path"]))
    return rows


@pytest.mark.parametrize("shards", [1, 3])
def test_a_search_lists_each_picture_once(home: tuple[Analyze, str], weights: Path, shards: int) -> None:
    analyze, job = home
    plain = rows_of(analyze, job)
    expected = expected_rows(analyze, job)
    assert plain != expected  # some unit's top images have a picture twice
    distinct = submit(analyze, weights, "--distinct", "--shards", shards, "--force")
    assert distinct != job
    assert rows_of(analyze, distinct) == expected
    analyze("verify", distinct)
    assert "distinct top 5" in analyze("ls").stdout


def test_shards_on_postgresql_give_the_rows_of_one_on_sqlite(
    request: pytest.FixtureRequest, tmp_path: Path, photographs: Path, weights: Path, home: tuple[Analyze, str]
) -> None:
    analyze = Analyze(tmp_path / "home", fresh_database("postgresql", request, tmp_path))
    analyze("db", "upgrade")
    analyze("dataset", "add", "folder", "--root", photographs, "--name", "photographs")
    analyze.up()
    request.addfinalizer(analyze.end)
    job = submit(analyze, weights, "--distinct", "--per-class", "--bottom", "--shards", 2)
    assert rows_of(analyze, job) == expected_rows(*home)
    for option in ("--per-class", "--bottom"):
        rows = analyze.json("results", job, option)
        lists: dict[tuple[Any, ...], list[str]] = {}
        for row in rows:
            lists.setdefault((row["layer"], row["unit"], row["class_name"] if option == "--per-class" else ""), [])
            lists[row["layer"], row["unit"], row["class_name"] if option == "--per-class" else ""].append(
                picture_of(row["image_path"])
            )
        assert rows
        assert all(len(set(pictures)) == len(pictures) for pictures in lists.values())


def test_answers_list_each_picture_once(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    question = ("find", "images", job, "--units", "conv1", "--sum")
    every = analyze.json(*question, "--top", 1000)
    distinct = analyze.json(*question, "--distinct", "--top", 24)
    left_out = len(analyze.json("query", "SELECT id FROM images")) - 24
    said = analyze(*question, "--distinct", "--json").stderr
    assert f"leaves out {left_out} of the {left_out + 24} images of job {job} as duplicates" in said
    seen: set[str] = set()
    expected = []
    for row in every:
        if (picture := picture_of(row["image_path"])) not in seen:
            seen.add(picture)
            expected.append(row["image_id"])
    assert [row["image_id"] for row in distinct] == expected
    assert len(expected) == 24 < len(every)
    like = analyze.json("find", "like", job, "--image", 1, "--distinct", "--top", 10)
    assert len({picture_of(row["image_path"]) for row in like}) == 10


def test_screening_is_refused(home: tuple[Analyze, str], weights: Path) -> None:
    refused = home[0](
        "submit", "--layer", 5, "--dataset", "photographs", "--weights", weights, "--network", "zfnet",
        "--size", SIZE, "--fc", FC, "--classes", 20, "--distinct", "--screen", "bfloat16", code=2,
    )  # fmt: skip
    assert "--distinct" in refused.stderr


def test_a_data_set_of_an_earlier_version_gets_its_hashes_by_an_update(tmp_path: Path, photographs: Path) -> None:
    analyze = Analyze(tmp_path / "home")
    analyze("dataset", "add", "folder", "--root", photographs, "--name", "photographs")
    database = Database(analyze.database_url)
    with database.write() as session:
        hashes = [image.perceptual_hash for image in session.query(ImageRow).order_by(ImageRow.id)]
        assert None not in hashes
        session.query(ImageRow).update({ImageRow.perceptual_hash: None})
    with database.read() as session:
        assert len(set(image_groups(session, 1, "all", "near").groups.tolist())) > 24  # only copies of a file
    analyze("dataset", "update", "photographs")
    with database.read() as session:
        assert [image.perceptual_hash for image in session.query(ImageRow).order_by(ImageRow.id)] == hashes
        assert len(set(image_groups(session, 1, "all", "near").groups.tolist())) == 24
        assert len(set(image_groups(session, 1, "all", "files").groups.tolist())) > 24
    database.close()
