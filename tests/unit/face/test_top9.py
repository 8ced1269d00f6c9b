"""``us.top9``: rows, statistics and pictures equal those of the underlying functions."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
import torch
from PIL import Image

import unitscope as us
from tests.unit.face.networks import SIZE, Functional, Residual, Untraceable, trained_looking
from unitscope.data.images import ImageSource, batches, read_image
from unitscope.drawing.unit_pictures import mosaic_of, unit_picture
from unitscope.errors import InvalidArgument, NoSuchUnit, NotFinite, UnitNotFiring, UnsupportedActivation
from unitscope.geometry.receptive_fields import trace
from unitscope.projection.choice import projector_for
from unitscope.projection.requests import Requests
from unitscope.search.ranking import NO_IMAGE
from unitscope.search.search import LayerSearch, search
from unitscope.search.statistics import unit_statistics

LAYER = "inner.conv2"


@pytest.fixture
def sources(paths: list[Path]) -> list[ImageSource]:
    return [ImageSource(number, path, number // 8) for number, path in enumerate(paths)]


def searched(network: us.Network, sources: list[ImageSource], layer: str = LAYER, **options: Any) -> LayerSearch:
    """Return the result of the underlying search."""
    result = search(
        network.model,
        {layer: range(8)},
        batches(sources, 32, network.size, pad=True),
        options.pop("top", 9),
        mean=network.mean,
        std=network.std,
        **options,
    )
    return result[layer]


def listed(top: Any, paths: list[Path], sign: int = 1) -> list[tuple[Any, ...]]:
    return [
        (
            LAYER,
            unit,
            rank + 1,
            sign * float(top.activation[unit, rank]),
            str(paths[image]),
            paths[image].parent.name,
            int(top.row[unit, rank]),
            int(top.col[unit, rank]),
        )
        for unit in range(len(top.image))
        for rank, image in enumerate(top.image[unit].tolist())
        if image != NO_IMAGE
    ]


def test_rows_equal_those_of_the_search(
    residual: us.Network, photos: Path, paths: list[Path], sources: list[ImageSource]
) -> None:
    result = us.top9(residual, LAYER, photos, bottom=True, per_class=True)
    expected = searched(residual, sources, bottom=True, per_class=True)
    rows = result.rows()
    assert [tuple(row.values()) for row in rows] == listed(expected.top, paths)
    assert list(rows[0]) == ["layer", "unit", "rank", "activation", "image", "class", "row", "col"]
    assert len(rows) > 40
    assert json.loads(json.dumps(rows)) == rows  # only numbers and strings
    assert expected.bottom is not None
    assert [tuple(row.values()) for row in result.rows("bottom")] == listed(expected.bottom, paths, -1)
    assert max(row["activation"] for row in result.rows("bottom")) < 0
    of_classes = [row for label in range(3) for row in listed(expected.by_class[label], paths)]
    assert [tuple(row.values()) for row in result.rows("class")] == sorted(of_classes, key=lambda row: row[1])
    assert np.array_equal(result.maxima, expected.maxima)
    assert result.dead == np.flatnonzero(expected.top.dead).tolist()


def test_units_top_and_batch_size_are_applied(residual: us.Network, photos: Path) -> None:
    every = us.top9(residual, LAYER, photos, projection=None)
    some = us.top9(residual, LAYER, photos, units=(5, np.int64(2), 5), top=2, batch_size=7, projection=None)
    assert some.units == [2, 5]
    chosen = [row for row in every.rows() if row["unit"] in (2, 5) and row["rank"] <= 2]
    for row, expected in zip(some.rows(), chosen, strict=True):
        assert row.pop("activation") == pytest.approx(expected.pop("activation"), rel=1e-5)
        assert row == expected
    assert us.top9(residual, LAYER, photos, units=3, projection=None).units == [3]


def test_statistics_equal_those_of_the_maxima(
    residual: us.Network, photos: Path, sources: list[ImageSource]
) -> None:
    result = us.top9(residual, LAYER, photos, units=[1, 4]).statistics()
    expected = unit_statistics(searched(residual, sources).maxima)
    assert [row["unit"] for row in result] == [1, 4]
    for row in result:
        values = vars(expected[row["unit"]])
        for name in ("images", "mean", "minimum", "maximum", "fired_share", "histogram"):
            assert row[name] == values[name]
        assert tuple(row[name] for name in ("q50", "q90", "q99", "q999")) == values["quantiles"]
    assert json.loads(json.dumps(result)) == result


def test_a_csv_file_contains_the_rows(residual: us.Network, photos: Path, tmp_path: Path) -> None:
    result = us.top9(residual, LAYER, photos, bottom=True)
    for ranking in ("top", "bottom"):
        result.to_csv(tmp_path / "rows.csv", ranking)  # type: ignore[arg-type]
        with open(tmp_path / "rows.csv", newline="") as file:
            read = list(csv.DictReader(file))
        assert read == [{name: str(value) for name, value in row.items()} for row in result.rows(ranking)]  # type: ignore[arg-type]


def drawn(network: us.Network, layer: str, top: Any, unit: int, paths: list[Path]) -> np.ndarray:
    """Draw a unit's mosaics with the underlying functions, with projections on the left."""
    live = top.image[unit] != NO_IMAGE
    image, row, col, activation = (a[unit][live] for a in (top.image, top.row, top.col, top.activation))
    pixels = [read_image(ImageSource(0, paths[number]), network.size) for number in image]
    geometry = next(item.geometry for item in trace(network.model, network.size).layers if item.path == layer)
    counts = dict(zip(*(values.tolist() for values in np.unique(top.image, return_counts=True)), strict=True))
    projector = projector_for(
        network.model, layer, network.size, counts=counts, mean=network.mean, std=network.std
    )
    requests = Requests(np.full(len(image), unit), np.arange(len(image)), image, row, col)
    pictures = {
        rank: unit_picture(
            pixels[rank],
            projection,
            geometry.window(row[rank], col[rank]) if geometry else None,
            activation[rank],
            float(top.activation.max()),
        )
        for rank, projection in projector.project(pixels, requests)
    }
    ranked = [pictures[rank] for rank in sorted(pictures)]
    return np.hstack([mosaic_of([r.projection for r in ranked], 9), mosaic_of([r.patch for r in ranked], 9)])


def test_pictures_equal_those_of_the_projector(
    residual: us.Network, photos: Path, paths: list[Path], sources: list[ImageSource]
) -> None:
    result = us.top9(residual, LAYER, photos)
    top = searched(residual, sources).top
    for unit in (3, 0, 3):  # in any order, repeatedly
        if unit not in result.dead:
            picture = np.asarray(result.picture(unit))
            assert np.array_equal(picture, drawn(residual, LAYER, top, unit, paths))
            assert picture.std() > 1


def test_pictures_along_a_chain_equal_those_of_the_window_projector(
    photos: Path, paths: list[Path], sources: list[ImageSource]
) -> None:
    torch.manual_seed(0)
    network = us.load_network("cifar-cnn", classes=3)
    result = us.top9(network, "conv3", photos, units=range(8))
    top = searched(network, sources, "features.6").top
    unit = next(unit for unit in result.units if unit not in result.dead)
    picture = np.asarray(result.picture(unit))
    # This search of 8 units has other numbers of projections per image, so that results differ in the last bits.
    assert np.abs(picture.astype(int) - drawn(network, "features.6", top, unit, paths)).max() <= 1


def test_figures_have_a_representation_and_sheets_show_all_units(residual: us.Network, photos: Path) -> None:
    result = us.top9(residual, LAYER, photos)
    live = [unit for unit in result.units if unit not in result.dead]
    figure = result.figure(live[0])
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"
    shown = [axes for axes in figure.get_axes() if axes.images]
    rows = [row for row in result.rows() if row["unit"] == live[0]]
    assert len(shown) == 2 * len(rows)
    titles = {axes.get_title() for axes in shown}
    assert {f"{row['activation']:.3g}" for row in rows} | {row["class"] for row in rows} == titles
    small, large = (us.top9(residual, LAYER, photos, units=live[:n]).sheet(columns=2) for n in (1, 5))
    assert small.height < large.height
    assert isinstance(large, Image.Image)


def test_without_projections_pictures_show_only_patches(residual: us.Network, photos: Path) -> None:
    with_them, without = (us.top9(residual, LAYER, photos, projection=p) for p in ("deconvnet", None))  # type: ignore[arg-type]
    unit = next(unit for unit in without.units if unit not in without.dead)
    both, patches = np.asarray(with_them.picture(unit)), np.asarray(without.picture(unit))
    assert np.array_equal(both[:, both.shape[1] // 2 :], patches)
    assert len([axes for axes in without.figure(unit).get_axes() if axes.images]) <= 9
    assert without.sheet().width < with_them.sheet().width


@pytest.mark.parametrize("method", ["guided", "gradient"])
def test_other_projection_methods_give_other_pictures(method: Any, residual: us.Network, photos: Path) -> None:
    one, other = (us.top9(residual, LAYER, photos, projection=p) for p in ("deconvnet", method))
    unit = next(unit for unit in one.units if unit not in one.dead)
    assert one.rows() == other.rows()
    assert not np.array_equal(np.asarray(one.picture(unit)), np.asarray(other.picture(unit)))


def test_a_layer_of_resnet18_is_given_by_its_path(paths: list[Path]) -> None:
    torch.manual_seed(0)
    network = us.load_network("resnet18", size=64, classes=3)
    result = us.top9(network, "layer3.1.conv2", paths[:5], units=range(40), top=3)
    live = [unit for unit in result.units if unit not in result.dead]
    assert np.asarray(result.picture(live[0])).std() > 1
    assert result.layer.output_shape == (256, 4, 4)


def test_a_network_that_cannot_be_traced_can_be_searched(
    residual: us.Network, photos: Path, sources: list[ImageSource]
) -> None:
    network = us.Network(trained_looking(Untraceable()), size=SIZE, mean=residual.mean, std=residual.std)
    result = us.top9(network, LAYER, photos)
    expected = us.top9(residual, LAYER, photos)
    assert result.rows() == expected.rows()
    unit = next(unit for unit in result.units if unit not in result.dead)
    # The receptive field is unknown, so that patches and projections are of the whole image.
    assert result.picture(unit).width > expected.picture(unit).width


def test_a_network_without_a_deconvnet_is_refused_before_the_search(paths: list[Path]) -> None:
    network = us.Network(trained_looking(Functional()), size=SIZE)
    with pytest.raises(UnsupportedActivation, match="relu"):
        us.top9(network, "conv2", ["not there.png"], projection="deconvnet")
    for method, used in (("gradient", "gradient"), ("auto", "gradient"), (None, None), ("none", None)):
        result = us.top9(network, "conv2", paths, projection=method)  # type: ignore[arg-type]
        assert result.projection == used
        unit = next(unit for unit in result.units if unit not in result.dead)
        assert np.asarray(result.picture(unit)).std() > 1


def test_the_html_representation_is_escaped_and_short(residual: us.Network, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "<b>x").mkdir()
    (tmp_path / "<b>x" / "1.png").write_bytes((photos / "red" / "1.png").read_bytes())
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "2.png").write_bytes((photos / "red" / "2.png").read_bytes())
    result = us.top9(residual, LAYER, tmp_path)
    html = result._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;x" in html
    assert html.count("<tr>") == 1 + 8
    assert f"8 units, {len(result.dead)} dead, 2 images" in html
    network = us.load_network("cifar-cnn", classes=3)
    assert "and 22 more: see rows()" in us.top9(network, 1, photos, projection=None)._repr_html_()
    assert repr(result).startswith("Top9(Residual inner.conv2: 8 units")


def test_a_dead_unit_has_no_picture(residual: us.Network, photos: Path) -> None:
    model = residual.model
    with torch.no_grad():
        model.inner["conv2"].weight[6], model.inner["conv2"].bias[6] = 0, -1  # type: ignore[index, operator]
    result = us.top9(us.Network(model, size=SIZE), LAYER, photos)
    assert 6 in result.dead
    assert not [row for row in result.rows() if row["unit"] == 6]
    for draw in (result.figure, result.picture):
        with pytest.raises(
            UnitNotFiring, match=r"Unit 6 of layer 'inner\.conv2' has no positive activation on any of 24"
        ):
            draw(6)  # type: ignore[operator]


WRONG: dict[str, tuple[Callable[[us.Network, Path], object], type[Exception], str]] = {
    "unit": (lambda n, p: us.top9(n, LAYER, p, units=[0, 8]), NoSuchUnit, "no unit 8.*0 to 7"),
    "negative unit": (lambda n, p: us.top9(n, LAYER, p, units=-1), InvalidArgument, "unit can't be -1"),
    "no unit": (lambda n, p: us.top9(n, LAYER, p, units=[]), InvalidArgument, "units is empty"),
    "half a unit": (lambda n, p: us.top9(n, LAYER, p, units=[0.5]), InvalidArgument, "unit can't be 0.5"),  # type: ignore[list-item]
    "top": (lambda n, p: us.top9(n, LAYER, p, top=0), InvalidArgument, "top can't be 0.*1 to 100"),
    "batch": (lambda n, p: us.top9(n, LAYER, p, batch_size=0), InvalidArgument, "batch_size can't be 0"),
    "projection": (
        lambda n, p: us.top9(n, LAYER, p, projection="deconv"),  # type: ignore[arg-type]
        InvalidArgument,
        "projection can't be 'deconv'. Choose one of 'auto', 'deconvnet', 'guided', 'gradient', 'none'",
    ),
    "device": (lambda n, p: us.top9(n, LAYER, p, device="gpu"), InvalidArgument, "Device 'gpu' can't be used"),
    "classes": (lambda n, p: us.top9(n, LAYER, p / "red", per_class=True), InvalidArgument, "needs classes"),
    "ranking": (
        lambda n, p: us.top9(n, LAYER, p).rows("best"),  # type: ignore[arg-type]
        InvalidArgument,
        "ranking can't be 'best'. Choose one of 'top', 'bottom', 'class'",
    ),
    "bottom": (lambda n, p: us.top9(n, LAYER, p).rows("bottom"), InvalidArgument, "bottom=True"),
    "class rows": (lambda n, p: us.top9(n, LAYER, p).rows("class"), InvalidArgument, "per_class=True"),
    "not searched": (lambda n, p: us.top9(n, LAYER, p, units=1).figure(2), InvalidArgument, "was not searched"),
    "columns": (lambda n, p: us.top9(n, LAYER, p).sheet(columns=0), InvalidArgument, "columns can't be 0"),
    "module": (lambda n, p: us.top9(n.model, LAYER, p), InvalidArgument, "must be a Network, not a Residual"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_are_reported(case: str, residual: us.Network, photos: Path) -> None:
    call, error, says = WRONG[case]
    with pytest.raises(error, match=says):
        call(residual, photos)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_reported(residual: us.Network, photos: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"Device 'cuda' can't be used.*'cpu'"):
        us.top9(residual, LAYER, photos, device="cuda")


def test_weights_that_are_not_finite_raise_a_library_error(photos: Path) -> None:
    model = trained_looking(Residual())
    weight = model.stem.weight
    with torch.no_grad():
        weight[0, 0, 0, 0] = float("nan")  # type: ignore[index, operator]
    result = us.top9(us.Network(model, size=SIZE), "stem", photos)
    assert result.not_finite == [0]
    assert 0 not in {row["unit"] for row in [*result.rows(), *result.statistics()]}
    with pytest.raises(NotFinite, match="Unit 0 of layer 'stem'"):
        result.figure(unit=0)
    with torch.no_grad():
        weight[:] = float("nan")  # type: ignore[index, operator]
    with pytest.raises(NotFinite, match="stem"):
        us.top9(us.Network(model, size=SIZE), "stem", photos)


def test_a_progress_bar_is_shown_on_request(
    residual: us.Network, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    us.top9(residual, LAYER, photos, projection=None)
    assert capsys.readouterr() == ("", "")
    us.top9(residual, LAYER, photos, projection=None, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "24/24" in shown.err


@pytest.mark.parametrize("in_memory", [False, True])
def test_screening_gives_the_same_rows(
    residual: us.Network, paths: list[Path], monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr("unitscope.search.screening.SAMPLE", 2)
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths] if in_memory else paths
    plain = us.top9(residual, LAYER, images, top=2, batch_size=4)
    screened = us.top9(residual, LAYER, images, top=2, batch_size=4, screen="bfloat16")
    assert screened.rows() == plain.rows()
    assert (plain.precision, screened.precision) == ("float32", "bfloat16")
    assert 0 < np.abs(screened.maxima - plain.maxima).max() < 0.1 * np.abs(plain.maxima).max()
    assert screened.picture(plain.rows()[0]["unit"]).size == plain.picture(plain.rows()[0]["unit"]).size


def test_screening_is_for_top_images_only(residual: us.Network, photos: Path) -> None:
    for ranking in ("bottom", "per_class"):
        with pytest.raises(InvalidArgument, match="leave out bottom and per_class"):
            us.top9(residual, LAYER, photos, screen="bfloat16", **{ranking: True})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="bfloat16"):
        us.top9(residual, LAYER, photos, screen="int8")  # type: ignore[arg-type]
