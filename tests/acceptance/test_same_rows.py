"""The rows of a search equal a plain loop, and are bitwise equal regardless of shards and workers.

Interruptions are tested in ``tests/faults``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from tests import reference
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.conftest import Analyze, fresh_database

UNITS = 8
COMPARED = ("layer", "unit", "rank", "activation", "image_path", "row", "col", "patch_path", "projection_path")


def rows_of(analyze: Analyze, job: str) -> list[tuple[Any, ...]]:
    """Return all rows of a job, with full float precision."""
    return [tuple(row[name] for name in COMPARED) for row in analyze.json("results", job)]


@pytest.fixture(scope="module")
def plain_loop(shapes_root: Path, weights: Path) -> dict[int, reference.Ranking]:
    """The rankings of the reference implementation."""
    model = reference.zfnet(CLASSES, FC)
    model.load_state_dict(safetensors.torch.load_file(weights))
    return reference.rankings(model, reference.voc_crops(shapes_root, "trainval", SIZE), UNITS)


def test_rows_equal_a_plain_loop(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    shapes_root: Path,
    network_options: list[str],
    plain_loop: dict[int, reference.Ranking],
) -> None:
    """This test runs on PostgreSQL; ``test_search_options`` compares the other rankings on SQLite."""
    analyze = Analyze(tmp_path / "home", fresh_database("postgresql", request, tmp_path))
    request.addfinalizer(analyze.end)
    analyze("db", "upgrade")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    job = analyze(
        "submit", "--layers", "1-5", "--units", f"0-{UNITS - 1}", "--dataset", "shapes", "--split", "trainval",
        *network_options, "--wait",
    ).stdout.strip()  # fmt: skip
    objects = {
        row["id"]: row["object_number"] for row in analyze.json("query", "SELECT id, object_number FROM images")
    }
    rows_by_unit: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in analyze.json("results", job):
        rows_by_unit.setdefault((row["layer"], row["unit"]), []).append(row)
    compared = swapped = 0
    for layer, ranking in plain_loop.items():
        # 1e-5 relative, plus the rounding error of a sum near zero, which is proportional to the layer's values.
        rounding = 3e-6 * max(best[0]["activation"] for best in ranking.values() if best)
        for unit in range(UNITS):
            rows = rows_by_unit.get((f"conv{layer}", unit), [])
            assert [row["rank"] for row in rows] == list(range(1, min(9, len(ranking[unit])) + 1))
            by_object = {(c["path"], c["number"]): c for c in ranking[unit]}
            for row, expected in zip(rows, ranking[unit], strict=False):
                same = by_object[row["image_path"], objects[row["image_id"]]]
                assert (row["row"], row["col"]) == (same["row"], same["col"])
                assert row["activation"] == pytest.approx(same["activation"], rel=1e-5, abs=rounding)
                # Only images whose activations are equal up to rounding may be swapped.
                assert row["activation"] == pytest.approx(expected["activation"], rel=1e-5, abs=rounding)
                swapped += same is not expected
                compared += 1
    assert compared > 330
    assert swapped <= compared // 100


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[Analyze]:
    """A home with a worker."""
    analyze = Analyze(tmp_path_factory.mktemp("same-rows"))
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    yield analyze
    analyze.end()


@pytest.fixture(scope="module")
def undisturbed(home: Analyze, weights: Path) -> list[tuple[Any, ...]]:
    """The rows of a search with one shard and one worker."""
    return rows_of(home, submit(home, weights, 1, "--wait"))


def submit(analyze: Analyze, weights: Path, shards: int, *options: str) -> str:
    """Submit a search of two layers over all four batches of the data set."""
    return analyze(
        "submit", "--layer", "2,5", "--units", "0-3", "--dataset", "shapes", "--split", "trainval",
        "--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC,
        "--shards", shards, *options,
    ).stdout.strip()  # fmt: skip


def searches(analyze: Analyze, job: str) -> int:
    """Return the number of shards that search."""
    counted = f"SELECT count(*) AS n FROM shards WHERE job_id = {job} AND stage_name = 'search'"
    return int(analyze.json("query", counted)[0]["n"])


def test_rows_do_not_depend_on_the_number_of_shards(
    home: Analyze, weights: Path, undisturbed: list[tuple[Any, ...]]
) -> None:
    job = submit(home, weights, 3, "--force", "--wait")
    assert searches(home, job) == 3
    assert rows_of(home, job) == undisturbed


def test_rows_do_not_depend_on_the_number_of_workers(
    analyze_on: Analyze, shapes_root: Path, weights: Path, undisturbed: list[tuple[Any, ...]]
) -> None:
    analyze = analyze_on
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    second = analyze.start("worker", "--devices", "cpu")
    analyze.wait(lambda: analyze.live_workers() == 2, second)
    job = submit(analyze, weights, 8, "--wait")
    assert searches(analyze, job) == 4  # there are four batches
    assert rows_of(analyze, job) == undisturbed
    workers = analyze.json("query", f"SELECT DISTINCT worker FROM shards WHERE job_id = {job}")
    assert len(workers) == 2
