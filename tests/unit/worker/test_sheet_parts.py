"""The stored parts of a contact sheet, in the format of this version and in the one before."""

from __future__ import annotations

import numpy as np
import pytest

from unitscope.images.encoding import photographic_png
from worker.kinds.top9.partials import SheetPart, encoded, sheet_parts


@pytest.fixture
def parts() -> dict[int, SheetPart]:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 6, 6, 3), np.uint8)
    return {unit: (pair[0], pair[1]) for unit, pair in zip((4, 0, 7), pixels, strict=True)}


def _check(found: dict[int, SheetPart], parts: dict[int, SheetPart]) -> None:
    assert list(found) == list(parts)
    for unit, pair in parts.items():
        np.testing.assert_array_equal(found[unit], pair)


def test_a_file_for_each_unit(parts: dict[int, SheetPart]) -> None:
    contents = [encoded(part) for part in parts.values()]
    arrays = {"files": np.frombuffer(b"".join(contents), np.uint8), "ends": np.cumsum([*map(len, contents)])}
    _check(sheet_parts({"units": np.array([*parts]), **arrays}), parts)


def test_one_file_as_before(parts: dict[int, SheetPart]) -> None:
    content = photographic_png(np.vstack([np.hstack(part) for part in parts.values()]))
    _check(sheet_parts({"units": np.array([*parts]), "parts": np.frombuffer(content, np.uint8)}), parts)


@pytest.mark.parametrize("names", [["files", "ends"], ["parts"]])
def test_a_shard_without_live_units(names: list[str]) -> None:
    assert sheet_parts({name: np.zeros(0, np.uint8) for name in ["units", *names]}) == {}
