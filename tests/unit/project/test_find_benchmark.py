"""The benchmark of ``analyze find`` at a small size, and its page in the documentation."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks import find
from benchmarks.page import Results
from benchmarks.setting import Setting
from benchmarks.timing import Row

HOOK = Path(__file__).parents[3] / "docs" / "hooks" / "benchmark_tables.py"
IMAGES, ROUNDS = 10_000, 2


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("UNITS", 64), ("SEARCHED", 5), ("MEMORY", 64 * 10**6)):
            patch.setattr(find, name, value)
        patch.setattr(find.Setting, "shape", {"classes": 3, "fc": 8})
        folder = tmp_path_factory.mktemp("benchmark")
        setting = Setting(None, 2, None, ROUNDS, "cpu", 1, folder, found=IMAGES)
        measured = list(find.measure(setting))
        assert list(folder.iterdir()) == []
    return measured


def test_every_question_is_timed_warm_and_cold(rows: list[Row]) -> None:
    for name, limit in find.LIMITS.items():
        for state in ("warm", "cold"):
            (row, other) = [row for row in rows if row.work == f"{name}, {state}"]
            assert row.peer == [limit] * ROUNDS
            assert len(row.ours) == ROUNDS
            assert min(row.ours) > 0
            assert other.peer != row.peer
    assert {row.group for row in rows} == {"find"}


def test_cold_questions_say_what_bounds_them(rows: list[Row]) -> None:
    needed = {"images of 4 units": 4, "images of 64 units": 64, "like, 64 units": 64, "similar, 1 of 1,152": 64}
    for name, units in needed.items():
        row, alone = [row for row in rows if row.work == f"{name}, cold"]
        assert row.details["bytes"] == alone.details["bytes"] == 4 * units * IMAGES
        assert "MB of the disk, which reads" in row.note
        assert alone.against == "reading as many bytes in one piece, cold"
        assert row.details["disk_bytes_per_second"] > 0


def test_the_search_is_timed_with_and_without_kept_maxima(rows: list[Row]) -> None:
    (row,) = [row for row in rows if row.work.startswith("search of 5 images")]
    assert (len(row.ours), len(row.peer)) == (ROUNDS, ROUNDS)
    assert row.note == "keeps 4,608 bytes of each image"  # 1,152 units


def test_the_page_has_the_rows(rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("benchmark_tables", HOOK)
    assert spec
    assert spec.loader
    benchmark_tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark_tables)
    monkeypatch.setattr(benchmark_tables, "DOCS", tmp_path)
    results = Results([], {})
    results.write(tmp_path / "benchmarks", ("find",))
    assert "Not measured yet" in benchmark_tables.on_page_markdown("{{ benchmarks find }}", None)
    machine = {"cores": 2, "instructions": "AVX2", "gpu": None, "torch": "2", "threads": 1, "python": "3"}
    results.replace_group("find", rows, find.METHOD, machine, {"rounds": ROUNDS, "device": "cpu"})
    results.write(tmp_path / "benchmarks", ("find",))
    page = benchmark_tables.on_page_markdown("{{ benchmarks find }}", None)
    for row in rows:
        assert row.work in page
    assert "**Method.** Generates a file of maxima" in page
