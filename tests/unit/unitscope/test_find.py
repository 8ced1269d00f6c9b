"""Scans of kept maxima: each answer equals a plain NumPy one, whatever the blocks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from unitscope.errors import InvalidArgument, MaximaNotReadable, NotFinite
from unitscope.find import maxima as maxima_module
from unitscope.find import order
from unitscope.find.combinations import UnitValues, combined_images
from unitscope.find.exceptional import images_above
from unitscope.find.maxima import map_maxima, with_read_ahead, write_maxima
from unitscope.find.nearest import nearest_images
from unitscope.find.scales import scales_of
from unitscope.find.selectivity import selectivity
from unitscope.find.similar import average_ranks, correlations
from unitscope.vocabulary import Combination, Metric

UNITS, IMAGES = 7, 3000
MEMORY = 10**6


@pytest.fixture(scope="module")
def maxima() -> np.ndarray:
    """Skewed maxima with many equal values, float32 [units, images]."""
    random = np.random.default_rng(0)
    values = np.round(random.gamma(0.7, 2.0, (UNITS, IMAGES)) - 1, 1)
    return values.astype(np.float32)


@pytest.fixture(scope="module")
def units(maxima: np.ndarray) -> list[UnitValues]:
    scales = scales_of(np.quantile(maxima, 0.999, axis=1), maxima.max(1))
    return [UnitValues(values, scale) for values, scale in zip(maxima, scales, strict=True)]


@pytest.fixture(params=[1024, 1500, 65_536])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Images of a block."""
    monkeypatch.setattr(order, "MOST_AT_ONCE", request.param)
    return int(request.param)


def in_order(values: np.ndarray, count: int) -> list[int]:
    """Return the positions of the largest values above -inf: by value, then by position."""
    ranked = sorted(range(len(values)), key=lambda image: (-values[image], image))
    return [image for image in ranked if values[image] > -np.inf][:count]


def normalized(units: list[UnitValues]) -> np.ndarray:
    return np.array([np.maximum(unit.values, 0) / unit.scale for unit in units])


# --- the file ---


@pytest.mark.parametrize("cuts", [[], [1], [1000, 1001, 2000]])
@pytest.mark.parametrize("block", [1, 40_000, 2**26])
def test_the_file_is_the_array_whatever_the_parts(
    maxima: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: list[int], block: int
) -> None:
    monkeypatch.setattr(maxima_module, "BLOCK_BYTES", block)
    plain = io.BytesIO()
    np.save(plain, maxima)
    path = tmp_path / "maxima.npy"
    with path.open("wb") as file:
        write_maxima(file, np.split(maxima.T, cuts), UNITS, IMAGES)
    assert path.read_bytes() == plain.getvalue()
    mapped = map_maxima(path, UNITS, IMAGES)
    assert isinstance(mapped.base, np.memmap)
    assert not mapped.flags.writeable
    assert np.array_equal(mapped, maxima)


@pytest.mark.parametrize("ahead", [1, 2, 100])
def test_mapped_rows_give_the_same_answers(
    maxima: np.ndarray, units: list[UnitValues], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """The parts that are read ahead begin anywhere in a page."""
    monkeypatch.setattr(maxima_module, "BLOCKS_AHEAD", ahead)
    monkeypatch.setattr(order, "MOST_AT_ONCE", 1024)
    path = tmp_path / "maxima.npy"
    with path.open("wb") as file:
        write_maxima(file, [maxima.T], UNITS, IMAGES)
    mapped = map_maxima(path, UNITS, IMAGES)
    rows = [UnitValues(values, unit.scale) for values, unit in zip(mapped, units, strict=True)]
    for found, expected in zip(combined_images(rows, "sum"), combined_images(units, "sum"), strict=True):
        assert found.tolist() == expected.tolist()
    blocks = [slice(start, start + 7) for start in range(0, 70, 7)]
    assert list(with_read_ahead(mapped, blocks)) == blocks
    assert list(with_read_ahead(mapped, [])) == []
    assert np.array_equal(correlations(mapped, mapped[2]), correlations(maxima, maxima[2]))


@pytest.mark.parametrize("images", [IMAGES - 1, IMAGES + 1])
def test_another_number_of_images_is_refused(maxima: np.ndarray, images: int) -> None:
    with pytest.raises(ValueError, match="images"):
        write_maxima(io.BytesIO(), [maxima.T[:2000], maxima.T[2000:]], UNITS, images)


def test_another_number_of_units_is_refused(maxima: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shape"):
        write_maxima(io.BytesIO(), [maxima.T], UNITS + 1, IMAGES)


def hostile_files() -> dict[str, bytes]:
    def saved(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array, allow_pickle=True)
        return file.getvalue()

    archive = io.BytesIO()
    np.savez(archive, maxima=np.zeros((UNITS, IMAGES), np.float32))
    good = saved(np.zeros((UNITS, IMAGES), np.float32))
    return {
        "empty": b"",
        "no array": b"hello" * 100,
        "an archive": archive.getvalue(),
        "objects": saved(np.array([[print] * IMAGES] * UNITS, object)),
        "float64": saved(np.zeros((UNITS, IMAGES))),
        "big-endian": saved(np.zeros((UNITS, IMAGES), ">f4")),
        "columns": saved(np.zeros((UNITS, IMAGES), np.float32, order="F")),
        "one image more": saved(np.zeros((UNITS, IMAGES + 1), np.float32)),
        "cut off": good[:-4],
        "a shape of the file's choice": good.replace(b"(7, 3000)", b"(7, 300000000)"),
        "a deep header": good[:8] + (5000).to_bytes(2, "little") + b"(" * 5000,
        "code in the header": good.replace(b"'<f4'", b"print"),
    }


@pytest.mark.parametrize("content", hostile_files().values(), ids=hostile_files().keys())
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "maxima.npy"
    path.write_bytes(content)
    with pytest.raises(MaximaNotReadable, match="can't be used"):
        map_maxima(path, UNITS, IMAGES)


# --- images ---


@pytest.mark.parametrize("combination", ["all", "any", "sum"])
@pytest.mark.parametrize("count", [1, 20, 2 * IMAGES])
def test_combined_images_equal_a_plain_answer(
    units: list[UnitValues], at_once: int, combination: Combination, count: int
) -> None:
    chosen, absent = [units[0], units[3], units[5]], [units[1]]
    allowed = np.arange(IMAGES) % 3 != 1
    found, values = combined_images(chosen, combination, absent, allowed, count, MEMORY)
    each = normalized(chosen)
    plain = {"all": each.min(0), "any": each.max(0), "sum": each.astype(np.float64).sum(0)}[combination]
    left = allowed & (normalized(absent)[0] < 0.5) & (plain > 0)
    expected = in_order(np.where(left, plain, -np.inf), count)
    assert found.tolist() == expected
    assert values.tolist() == plain[expected].tolist()
    assert count < IMAGES or len(set(values.tolist())) < len(values)  # there are ties


def test_no_image_is_found_for_dead_units(units: list[UnitValues]) -> None:
    dead = UnitValues(np.full(IMAGES, -1, np.float32), scales_of(np.array([-1.0]), np.array([-1.0]))[0])
    assert len(combined_images([units[0], dead], "all")[0]) == 0
    assert len(combined_images([units[0], dead], "any")[0]) == 20


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(units: list[UnitValues], value: float) -> None:
    values = units[0].values.copy()
    values[-1] = value
    broken = UnitValues(values, units[0].scale, "unit 3 of conv5")
    for arguments in ([[broken]], [[units[1]], "all", [broken]]):
        with pytest.raises(NotFinite, match="unit 3 of conv5"):
            combined_images(*arguments)
    with pytest.raises(NotFinite, match="unit 3 of conv5"):
        nearest_images([broken], np.ones(1))


def test_too_little_memory_is_an_error(units: list[UnitValues]) -> None:
    with pytest.raises(InvalidArgument, match="memory is too small"):
        combined_images(units, memory=1000)
    with pytest.raises(InvalidArgument, match="memory is too small"):
        nearest_images(units, np.ones(UNITS), memory=1000)
    with pytest.raises(InvalidArgument, match="memory is too small"):
        correlations(np.zeros((2, 9), np.float32), np.arange(9), memory=1000)
    with pytest.raises(InvalidArgument, match="at least one unit"):
        combined_images([])


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_nearest_images_equal_a_plain_answer(units: list[UnitValues], at_once: int, metric: str) -> None:
    query = np.array([unit.values[17] for unit in units])
    allowed = np.arange(IMAGES) != 17
    found, values = nearest_images(units, query, metric, allowed, 50, MEMORY)  # type: ignore[arg-type]
    each = normalized(units).astype(np.float64)
    if metric == "cosine":
        with np.errstate(invalid="ignore"):
            plain = each.T @ each[:, 17] / (np.linalg.norm(each, axis=0) * np.linalg.norm(each[:, 17]))
        plain = np.where(np.isnan(plain), -np.inf, plain)
    else:
        plain = -np.linalg.norm(each - each[:, 17:18], axis=0)
    plain[17] = -np.inf
    assert np.allclose(values, np.abs(plain[found]), rtol=1e-12)
    # Only images whose values are equal up to rounding may be swapped.
    assert np.allclose(np.abs(plain[in_order(plain, 50)]), values, rtol=1e-12)
    tied = np.diff(values) == 0
    assert (np.diff(found)[tied] > 0).all()


def test_blocks_change_no_bit_of_a_distance(units: list[UnitValues], monkeypatch: pytest.MonkeyPatch) -> None:
    query = np.array([unit.values[17] for unit in units])
    answers = []
    for images in (1024, 1111, 65_536):
        monkeypatch.setattr(order, "MOST_AT_ONCE", images)
        answers += [tuple(map(np.ndarray.tolist, nearest_images(units, query, "cosine", None, 100, MEMORY)))]
    assert answers[0] == answers[1] == answers[2]


def test_an_image_without_activation_has_no_direction(units: list[UnitValues]) -> None:
    with pytest.raises(InvalidArgument, match="no direction"):
        nearest_images(units, np.full(UNITS, -1.0))
    nearest = nearest_images(units, np.full(UNITS, -1.0), "l2")[0]
    assert normalized(units)[:, nearest[0]].sum() == normalized(units).sum(0).min()


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_not_finite_is_refused(units: list[UnitValues], metric: Metric, value: float) -> None:
    query = np.ones(UNITS, np.float32)
    query[3] = value
    with pytest.raises(NotFinite, match="On the image a unit"):
        nearest_images(units, query, metric)


def test_images_above_are_counted(maxima: np.ndarray, at_once: int) -> None:
    activations = maxima[:, 5]
    assert images_above(maxima, activations, MEMORY).tolist() == (maxima > activations[:, None]).sum(1).tolist()
    some = np.array([4, 2])
    assert images_above(maxima, activations, MEMORY, some).tolist() == [
        int((maxima[unit] > activations[unit]).sum()) for unit in some
    ]


# --- units ---


def test_correlations_equal_those_of_scipy(maxima: np.ndarray) -> None:
    mixed = (maxima + 0.5 * maxima[3]).astype(np.float32)
    pearson = [scipy.stats.pearsonr(row, maxima[3])[0] for row in mixed]
    spearman = [scipy.stats.spearmanr(row, maxima[3])[0] for row in mixed]
    assert np.allclose(correlations(mixed, maxima[3]), pearson, atol=1e-12)
    assert np.allclose(correlations(mixed, maxima[3], ranks=True), spearman, atol=1e-12)


def test_large_means_cancel_no_digits(maxima: np.ndarray) -> None:
    shifted = (maxima + np.float32(4096)).astype(np.float32)
    expected = [np.corrcoef(row.astype(np.float64), shifted[0].astype(np.float64))[0, 1] for row in shifted]
    assert np.allclose(correlations(shifted, shifted[0]), expected, atol=1e-9)


def test_similar_units_of_a_permuted_layer_are_the_permutation(maxima: np.ndarray) -> None:
    permutation = np.random.default_rng(1).permutation(UNITS)
    images = np.random.default_rng(2).permutation(IMAGES)[:1000]
    for ranks in (False, True):
        found = [
            int(correlations(maxima[permutation], maxima[unit][images], ranks, images).argmax())
            for unit in range(UNITS)
        ]
        assert permutation[found].tolist() == list(range(UNITS))


def test_constant_and_broken_units_have_no_correlation(maxima: np.ndarray) -> None:
    layer = maxima[:3].copy()
    layer[0], layer[1, 7] = 2.5, np.inf
    assert np.isnan(correlations(layer, maxima[4])).tolist() == [True, True, False]
    assert np.isnan(correlations(maxima, layer[0])).all()
    assert np.isnan(correlations(maxima, layer[1], ranks=True)).all()


def test_ranks_are_those_of_scipy(maxima: np.ndarray) -> None:
    assert average_ranks(maxima[0]).tolist() == scipy.stats.rankdata(maxima[0]).tolist()


def test_the_auc_is_that_of_scikit_learn(maxima: np.ndarray) -> None:
    labels = np.random.default_rng(3).integers(0, 6, IMAGES)
    labels[labels == 2] = 5  # no image of class 2
    for unit, values in enumerate(maxima):
        own = (values + (labels == unit)).astype(np.float32)
        found = selectivity(own, labels)
        assert found is not None
        assert found.at == 100
        assert sorted(found.labels.tolist()) == [0, 1, 3, 4, 5]
        first = in_order(own, 100)
        for label, auc, precision in zip(found.labels, found.auc, found.precision, strict=True):
            assert auc == pytest.approx(roc_auc_score(labels == label, own), abs=1e-12)
            assert precision == (labels[first] == label).mean()
        assert (np.diff(found.auc) <= 0).all()
        if unit in (0, 1, 3, 4, 5):
            assert found.labels[0] == unit


def test_selectivity_needs_two_classes_and_two_values() -> None:
    labels = np.array([0, 0, 1, -1])
    assert selectivity(np.ones(4, np.float32), labels) is None
    assert selectivity(np.arange(4, dtype=np.float32), np.zeros(4, int)) is None
    assert selectivity(np.zeros(0, np.float32), np.zeros(0, int)) is None
    found = selectivity(np.array([3, 3, 1, 2], np.float32), labels)
    assert found is not None
    assert (found.labels.tolist(), found.auc.tolist(), found.at) == ([0, 1], [1.0, 0.0], 4)
    assert found.precision.tolist() == [0.5, 0.25]
