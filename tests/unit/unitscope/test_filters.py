"""Filters of convolutions: statistics equal a plain computation, and pictures show the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unitscope.drawing.charts import filter_summary
from unitscope.drawing.filters import MOST_ROWS, filter_mosaic, filter_sheet, filters_figure
from unitscope.errors import InvalidArgument, NotFinite
from unitscope.filters.layers import LayerFilters, layer_filters
from unitscope.filters.statistics import filter_statistics, paper_rms_limit

HALF = (0.5, 0.5, 0.5)


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, groups=2),
        nn.Conv2d(8, 3, 1),
        nn.Conv2d(3, 2, 1),
    )


def of(model: nn.Module, path: str) -> LayerFilters:
    return layer_filters(model, "net", path, path, HALF)


# --- weights and statistics ---


def test_filters_equal_the_weights_of_the_convolution() -> None:
    model = small()
    for path, shape in (("0", (6, 3, 5, 5)), ("2", (8, 3, 3, 3)), ("3", (3, 8, 1, 1))):
        filters = of(model, path)
        assert filters.weight.shape == shape
        assert np.array_equal(filters.weight, model.get_submodule(path).weight.detach().numpy())  # type: ignore[operator,union-attr]
    assert (of(model, "0").stride, of(model, "0").kernel, of(model, "2").groups) == ((2, 2), (5, 5), 2)


def test_only_the_first_convolution_of_an_image_reads_pixels() -> None:
    assert [of(small(), path).reads_pixels for path in ("0", "2", "3", "4")] == [True, False, False, False]


def test_statistics_equal_a_plain_computation() -> None:
    weight = torch.randn(7, 4, 3, 3)
    statistics = filter_statistics(weight.numpy())
    for number, one in enumerate(weight.double()):
        assert statistics.rms[number] == pytest.approx(one.square().mean().sqrt().item(), rel=1e-12)
        assert statistics.norm[number] == pytest.approx(one.norm().item(), rel=1e-12)
        assert statistics.mean[number] == pytest.approx(one.mean().item(), rel=1e-12)
        assert (statistics.minimum[number], statistics.maximum[number]) == (one.min().item(), one.max().item())


def of_rms(*values: float) -> np.ndarray:
    """Return filters [N, 2, 3, 3] with these RMS."""
    return np.array(values, np.float32)[:, None, None, None] * np.ones((1, 2, 3, 3), np.float32)


def test_dead_and_dominating_filters_are_relative_to_the_median() -> None:
    statistics = filter_statistics(of_rms(1, 1, 1, 0.049, 0.051, 2.9, 3.1))
    assert statistics.median_rms == pytest.approx(1)
    assert statistics.dead.tolist() == [False, False, False, True, False, False, False]
    assert statistics.dominating.tolist() == [False] * 6 + [True]
    assert statistics.over_limit.tolist() == [True, True, True, False, False, True, True]


def test_filters_of_zero_are_dead_and_do_not_make_the_others_dominate() -> None:
    statistics = filter_statistics(of_rms(0, 0, 0, 0, 1, 1.1))
    assert statistics.dead.tolist() == [True] * 4 + [False] * 2
    assert not statistics.dominating.any()


def test_a_layer_of_zeros_is_dead() -> None:
    statistics = filter_statistics(of_rms(0, 0))
    assert statistics.dead.all()
    assert not statistics.dominating.any()
    assert statistics.median_rms == 0


def test_the_limit_of_the_paper_follows_the_range_of_the_inputs() -> None:
    assert paper_rms_limit(True, (0.5 / 128,) * 3) == pytest.approx(0.1)
    assert paper_rms_limit(True, HALF) == pytest.approx(12.8)
    assert paper_rms_limit(False, HALF) == 0.1


def test_the_summary_of_a_training_run_counts_the_same_filters() -> None:
    summary = filter_summary(torch.from_numpy(of_rms(1, 1, 0.01, 9)))
    assert (summary["filters"], summary["dead"], summary["dominating"], summary["rms_median"]) == (4, 1, 1, 1)


def test_other_modules_and_weights_that_are_not_finite_are_refused() -> None:
    model = small()
    with pytest.raises(InvalidArgument, match="ReLU, not a Conv2d"):
        of(model, "1")
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = torch.nan  # type: ignore[index,operator]
    with pytest.raises(NotFinite, match="nan"):
        of(model, "0")


# --- pictures ---


def test_a_filter_in_colour_is_drawn_with_zero_as_grey_and_its_largest_weight_as_255() -> None:
    model = small()
    mosaic = filter_mosaic(of(model, "0"), "own")
    weight = model[0].weight.detach().numpy()
    for number in range(3):  # in the first row of the mosaic
        tile = mosaic[:5, 6 * number : 6 * number + 5].astype(float)
        expected = weight[number].transpose(1, 2, 0) / np.abs(weight[number]).max() * 127 + 128
        assert np.abs(tile - expected).max() <= 0.51


def test_a_shared_scale_keeps_the_ratios_of_the_filters() -> None:
    model = small()
    with torch.no_grad():
        model[0].weight[1] *= 10  # type: ignore[index,operator]
    own, shared = (filter_mosaic(of(model, "0"), scale) for scale in ("own", "shared"))
    first, second = (slice(0, 5), slice(0, 5)), (slice(0, 5), slice(6, 11))
    assert np.array_equal(own[second], shared[second])
    assert np.abs(shared[first].astype(int) - 128).max() < 20 < np.abs(own[first].astype(int) - 128).max()


def test_the_sheet_of_a_large_layer_is_bounded() -> None:
    """512 x 512 kernels, and more than a map of norms has pixels."""
    for outputs, inputs, side in ((512, 512, 3), (1100, 3000, 1), (2, 40, 31)):
        model = nn.Sequential(nn.Conv2d(3, inputs, 1), nn.Conv2d(inputs, outputs, side))
        sheet = filter_sheet(of(model, "1"))
        assert sheet.dtype == np.uint8
        assert max(sheet.shape) <= 2200
        assert min(sheet.shape[:2]) >= 250
    many = nn.Sequential(nn.Conv2d(3, 768, 16, stride=16))
    assert max(filter_sheet(of(many, "0")).shape) <= 2200


def test_chosen_filters_and_inputs_are_shown_instead_of_evenly_spread_ones() -> None:
    model = nn.Sequential(nn.Conv2d(3, 100, 1), nn.Conv2d(100, 100, 3))
    filters = of(model, "1")
    spread = filter_sheet(filters)
    few = filter_sheet(filters, units=[7], inputs=[1, 2])
    assert few.shape[0] < spread.shape[0] - (MOST_ROWS - 2) * 18
    levels = np.rint(filters.weight[7, [1, 2]] / np.abs(filters.weight[7]).max() * 127) + 128
    tiles = levels.astype(np.uint8).repeat(6, 1).repeat(6, 2)  # kernels of 3 x 3 are magnified 6 times
    for tile in tiles:
        windows = np.lib.stride_tricks.sliding_window_view(few[..., 0], (18, 18))
        assert (windows == tile).all((2, 3)).any()


def test_the_figure_has_a_column_for_each_network() -> None:
    one, other = of(small(), "0"), of(nn.Sequential(nn.Conv2d(3, 9, 11, stride=4)), "0")
    titles = [axes.get_title() for axes in filters_figure([one, other]).axes]
    assert titles == [
        "net 0\n6 filters 5 x 5, stride 2", "net 0\n9 filters 11 x 11, stride 4",
        "0 dead, 0 dominating", "0 dead, 0 dominating",
    ]  # fmt: skip


def test_the_names_of_the_limits_are_beside_the_bars() -> None:
    figure = filters_figure([of(small(), "0")])
    figure.draw_without_rendering()
    axes = figure.axes[1]
    right = axes.get_window_extent().x1
    assert {label.get_text() for label in axes.texts} == {"dominating", "dead"}
    assert all(right < label.get_window_extent().x0 < figure.bbox.x1 for label in axes.texts)
    assert all(label.get_window_extent().x1 <= figure.bbox.x1 for label in axes.texts)
