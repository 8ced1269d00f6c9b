"""Questions to ``us.Top9``, compared with plain NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import unitscope as us
from tests.unit.face.networks import SIZE, Residual, trained_looking
from unitscope.errors import ImageNotReadable, InvalidArgument, NoSuchFile, NoSuchUnit, NotFinite

LAYER, OTHER = "inner.conv2", "inner.conv1"


@pytest.fixture
def result(residual: us.Network, photos: Path) -> us.Top9:
    return us.top9(residual, LAYER, photos, projection=None)


@pytest.fixture
def live(result: us.Top9) -> list[int]:
    return [unit for unit in result.units if unit not in result.dead]


def normalized(result: us.Top9) -> np.ndarray:
    """Return the normalized activations, float32 [images, units]."""
    quantiles = np.quantile(result.maxima.astype(np.float64), 0.999, axis=0)
    scales = np.where(quantiles > 0, quantiles, result.maxima.max(0)).astype(np.float32)
    return np.asarray(np.maximum(result.maxima, 0) / np.where(scales > 0, scales, 1))


def best(values: np.ndarray, count: int) -> list[int]:
    return sorted((at for at in range(len(values)) if values[at] > -np.inf), key=lambda at: (-values[at], at))[
        :count
    ]


@pytest.mark.parametrize("how", ["all", "any", "sum"])
def test_images_equal_a_plain_answer(result: us.Top9, live: list[int], how: str) -> None:
    units, absent = live[:3], live[3]
    values = normalized(result)
    some = values[:, units]
    plain = {"all": some.min(1), "any": some.max(1), "sum": some.astype(np.float64).sum(1)}[how]
    left = (plain > 0) & (values[:, absent] < 0.5)
    expected = best(np.where(left, plain, -np.inf), 7)
    rows = result.find_images(units, how, without=absent, top=7)  # type: ignore[arg-type]
    assert [row["image"] for row in rows] == [result.images[at] for at in expected]
    assert [row["value"] for row in rows] == pytest.approx(plain[expected].tolist(), rel=1e-6)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    for row, at in zip(rows, expected, strict=True):
        assert row["activations"] == result.maxima[at, units].tolist()
        assert row["class"] == Path(row["image"]).parent.name
    of_class = result.find_images(units, how, class_name="green")  # type: ignore[arg-type]
    assert {row["class"] for row in of_class} == {"green"}
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_like_equals_a_plain_answer(result: us.Top9, live: list[int], metric: str) -> None:
    space = normalized(result)[:, live].astype(np.float64)
    if metric == "cosine":
        plain = space @ space[5] / (np.linalg.norm(space, axis=1) * np.linalg.norm(space[5]))
    else:
        plain = -np.linalg.norm(space - space[5], axis=1)
    plain[5] = -np.inf
    rows = result.like(5, metric=metric, top=6)  # type: ignore[arg-type]
    assert [row["image"] for row in rows] == [result.images[at] for at in best(plain, 6)]
    assert [row["value"] for row in rows] == pytest.approx(np.abs(plain[best(plain, 6)]).tolist())
    assert result.like(result.images[5], live, metric=metric, top=6) == rows  # type: ignore[arg-type]
    assert {row["class"] for row in result.like(5, class_name="red")} == {"red"}


def test_units_of_an_image(result: us.Top9) -> None:
    rows = result.find_units(4, top=100)
    assert rows
    for row in rows:
        values = result.maxima[:, row["unit"]]
        above = int((values > values[4]).sum())
        assert (row["activation"], row["images_above"]) == (float(values[4]), above)
        assert row["percentile"] == pytest.approx(100 * (1 - above / (len(values) - 1)))
    assert [row["images_above"] for row in rows] == sorted(row["images_above"] for row in rows)
    assert {row["unit"] for row in rows} == set(np.flatnonzero(result.maxima[4] > 0).tolist())
    assert result.find_units(np.int64(4), top=2) == rows[:2]  # type: ignore[arg-type]
    assert result.find_units(Path(result.images[4]), top=2) == rows[:2]


def test_another_image_is_run_through_the_network(result: us.Top9, tmp_path: Path) -> None:
    """A copy of a searched image is not known by its path, and equals all of its images but none is left out."""
    picture = Image.open(result.images[4]).convert("RGB")
    picture.save(tmp_path / "copy.png")
    expected = {row["unit"]: row["activation"] for row in result.find_units(4, top=100)}
    for image in (tmp_path / "copy.png", str(tmp_path / "copy.png"), picture, np.asarray(picture)):
        rows = result.find_units(image, top=100)
        assert {row["unit"]: row["activation"] for row in rows} == pytest.approx(expected, rel=1e-4)
        nearest = result.like(image, top=1)[0]
        assert (nearest["image"], nearest["value"]) == (result.images[4], pytest.approx(1))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageNotReadable):
        result.find_units(tmp_path / "text.png")
    with pytest.raises(NoSuchFile):
        result.like(tmp_path / "missing.png")


def test_images_in_memory_are_known_again(residual: us.Network, paths: list[Path]) -> None:
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    result = us.top9(residual, LAYER, pictures, projection=None)
    assert result.images[3] == "images[3]"
    assert "images[3]" not in [row["image"] for row in result.like(pictures[3], top=100)]
    assert result.find_units(pictures[3]) == result.find_units(3)
    unit = result.find_units(3)[0]["unit"]
    some = us.top9(residual, LAYER, pictures[5:][::-1], projection=None)  # in another order
    rows = result.similar(unit, some)
    assert (rows[0]["unit"], rows[0]["images"]) == (unit, len(paths) - 5)
    assert rows[0]["correlation"] == pytest.approx(1)


def test_similar_units_equal_a_plain_answer(
    residual: us.Network, result: us.Top9, live: list[int], photos: Path, paths: list[Path]
) -> None:
    other = us.top9(residual, OTHER, photos, projection=None)
    for ranks in (False, True):
        for searched in (result, other):
            values = result.maxima, searched.maxima
            if ranks:
                values = tuple(np.argsort(np.argsort(some, 0), 0) for some in values)  # type: ignore[assignment]
            plain = {
                unit: float(np.corrcoef(values[0][:, live[0]], values[1][:, unit])[0, 1])
                for unit in searched.units
                if (searched, unit) != (result, live[0])
            }
            rows = result.similar(live[0], None if searched is result else searched, ranks=ranks, top=100)
            assert {row["unit"]: row["correlation"] for row in rows} == pytest.approx(plain, abs=1e-6)
            assert {row["layer"] for row in rows} == {LAYER if searched is result else OTHER}
            assert [row["correlation"] for row in rows] == sorted(plain.values(), reverse=True) or len(rows) > 1
    fewer = us.top9(residual, LAYER, paths[2:9], projection=None)
    assert result.similar(live[0], fewer)[0]["images"] == 7
    strange = us.top9(residual, LAYER, [np.zeros((9, 9, 3), np.uint8)] * 3, projection=None)
    with pytest.raises(InvalidArgument, match="fewer than two images in common"):
        result.similar(live[0], strange)


def test_selectivity_is_that_of_scikit_learn(result: us.Top9, live: list[int], paths: list[Path]) -> None:
    rows = result.selectivity()
    assert len(rows) == 3 * len(live)
    names = np.array([path.parent.name for path in paths])
    for row in rows:
        of_class = names == row["class"]
        assert row["auc"] == pytest.approx(roc_auc_score(of_class, result.maxima[:, row["unit"]]))
        assert (row["k"], row["precision_at_k"]) == (len(paths), pytest.approx(8 / 24))
    assert [row["class_rank"] for row in rows] == [1, 2, 3] * len(live)
    with pytest.raises(InvalidArgument, match="needs classes"):
        us.top9(trained(), LAYER, paths, projection=None).selectivity()


def trained() -> us.Network:
    return us.Network(trained_looking(Residual()), size=SIZE)


def test_planted_concepts_are_found(monkeypatch: pytest.MonkeyPatch, result: us.Top9, live: list[int]) -> None:
    monkeypatch.setattr("unitscope.find.labels.TOP_IMAGES", 4)
    names = [f"concept {unit}" for unit in live] + ["noise", "more noise"]
    similarities = np.random.default_rng(0).normal(0.2, 0.01, (len(result.images), len(names)))
    for column, unit in enumerate(live):
        similarities[np.argsort(-result.maxima[:, unit])[:4], column] += 1
    rows = result.label(similarities.astype(np.float32), names, top=2)
    assert [row["rank"] for row in rows] == [1, 2] * len(live)
    first = {row["unit"]: row["label"] for row in rows if row["rank"] == 1}
    strongest = {unit: tuple(np.argsort(-result.maxima[:, unit])[:4].tolist()) for unit in live}
    alone = [unit for unit in live if list(strongest.values()).count(strongest[unit]) == 1]
    assert alone
    assert {unit: first[unit] for unit in alone} == {unit: f"concept {unit}" for unit in alone}
    similarities[3, 1] = np.nan
    for wrong in (similarities, similarities[1:], np.zeros((len(result.images), len(names)), int)):
        with pytest.raises(InvalidArgument, match="similarities can't be"):
            result.label(wrong, names)


def test_images_that_were_left_out_have_no_index(residual: us.Network, paths: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    with pytest.warns(UserWarning, match="left out"):
        result = us.top9(residual, LAYER, [paths[0], broken, *paths[1:6]], projection=None)
    assert result.images == [str(path) for path in paths[:6]]
    assert result.like(1, top=100)
    assert str(paths[1]) not in [row["image"] for row in result.like(1, top=100)]
    with pytest.raises(ImageNotReadable):
        result.find_units(broken)


def test_units_that_are_not_finite_or_dead(photos: Path) -> None:
    network = trained()
    conv = network.model.inner["conv2"]  # type: ignore[index, union-attr]
    conv.weight.data[2] = np.nan
    conv.weight.data[6], conv.bias.data[6] = 0, -1
    result = us.top9(network, LAYER, photos, projection=None)
    assert (result.not_finite, 6 in result.dead) == ([2], True)
    for ask in (result.find_images, result.similar):
        with pytest.raises(NotFinite, match="unit 2"):
            ask(2)  # type: ignore[operator]
    assert result.find_images(6) == []
    assert result.like(0, top=3)  # over the active units
    listed = {row["unit"] for row in [*result.selectivity(), *result.find_units(0, top=100)]}
    assert listed
    assert not {2, 6} & listed
    assert not {2, 6} & {row["unit"] for row in result.similar(result.find_units(0)[0]["unit"], top=100)}


WRONG: dict[str, tuple[Callable[[us.Top9], object], type[Exception], str]] = {
    "unit": (lambda r: r.find_images(8), NoSuchUnit, "no unit 8"),
    "no unit": (lambda r: r.find_images([]), InvalidArgument, "units is empty"),
    "how": (lambda r: r.find_images(1, "most"), InvalidArgument, "'all', 'any', 'sum'"),  # type: ignore[arg-type]
    "class": (lambda r: r.find_images(1, class_name="dog"), InvalidArgument, "blue, green, red"),
    "top": (lambda r: r.find_images(1, top=0), InvalidArgument, "top can't be 0"),
    "index": (lambda r: r.like(24), InvalidArgument, "0 to 23"),
    "metric": (lambda r: r.like(1, metric="l1"), InvalidArgument, "'cosine', 'l2'"),  # type: ignore[arg-type]
    "image": (lambda r: r.find_units(2.5), InvalidArgument, "float"),  # type: ignore[arg-type]
    "other": (lambda r: r.similar(1, "conv1"), InvalidArgument, "must be a Top9, not a str"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_are_reported(case: str, result: us.Top9) -> None:
    call, error, says = WRONG[case]
    with pytest.raises(error, match=says):
        call(result)


def test_units_that_were_not_searched_are_refused(residual: us.Network, photos: Path) -> None:
    result = us.top9(residual, LAYER, photos, units=[1, 4], projection=None)
    assert [row["activations"] for row in result.find_images([4, 1], "any", top=1)] == [
        result.maxima[result.images.index(result.find_images([4, 1], "any", top=1)[0]["image"]), [1, 0]].tolist()
    ]
    with pytest.raises(InvalidArgument, match="was not searched"):
        result.find_images(2)
