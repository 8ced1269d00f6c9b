"""The search's order, its merge and its batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shared.errors import NotFinite
from shared.specifications import cut
from worker.vision.images import Batch, ImageSource
from worker.vision.search import NO_IMAGE, TopActivations, observe, search

Row = tuple[float, int, int, int]
FEW = st.sampled_from([0.5, 1.0, 1.0, 2.0])  # ties are the rule


def arrays(rows: list[Row], top: int) -> TopActivations:
    """One unit's rows, in any order, as the search keeps them."""
    result = TopActivations.empty(1, top)
    for row in rows:
        one = TopActivations(*(np.array([[value]], kind) for value, kind in zip(row, "flii", strict=True)))
        result = result.merged(one)
    return result


def listed(found: TopActivations) -> list[Row]:
    stacked = zip(found.activation[0], found.image[0], found.row[0], found.col[0], strict=True)
    return [(float(a), int(i), int(r), int(c)) for a, i, r, c in stacked if i != NO_IMAGE]


ROWS = st.tuples(FEW, st.integers(1, 30), st.integers(0, 2), st.integers(0, 2))


@given(
    st.lists(ROWS, max_size=40, unique_by=lambda row: row[1]),
    st.integers(1, 9),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_merging_shards_in_any_order_gives_the_rows_of_one_pass(
    rows: list[Row], top: int, shards: int, random: object
) -> None:
    expected = sorted(rows, key=lambda r: (-r[0], r[1], r[2], r[3]))[:top]
    parts = [arrays(rows[start:stop], top) for start, stop in cut(len(rows), shards)] if rows else []
    random.shuffle(parts)  # type: ignore[attr-defined]
    merged = TopActivations.empty(1, top)
    for part in parts:
        merged = merged.merged(part)
    assert listed(merged) == expected


def batch(pixels: torch.Tensor, first: int = 0, images: int | None = None) -> Batch:
    count = len(pixels) if images is None else images
    return Batch(pixels, [ImageSource(first + i, None) for i in range(count)])  # type: ignore[arg-type]


def identity() -> nn.Sequential:
    """Three units, each one colour of the pixels, scaled to [-1, 1]."""
    convolution = nn.Conv2d(3, 3, 1, bias=False)
    convolution.weight.data = torch.eye(3)[:, :, None, None]
    return nn.Sequential(convolution, nn.ReLU(inplace=True))


def test_of_equal_maxima_the_first_row_and_column_counts() -> None:
    pixels = torch.zeros(1, 3, 6, 7, dtype=torch.uint8)
    for row, col in ((2, 5), (2, 3), (4, 0), (5, 6)):
        pixels[0, :, row, col] = 255
    found = search(identity(), {"0": range(3)}, [batch(pixels)], top=2)["0"]
    assert found.row[:, 0].tolist() == [2, 2, 2]
    assert found.col[:, 0].tolist() == [3, 3, 3]


def test_padding_is_not_searched_and_dead_units_have_no_rows() -> None:
    pixels = torch.zeros(4, 3, 5, 5, dtype=torch.uint8)
    pixels[:2, 0, 1, 1] = 255
    pixels[3, 1, 1, 1] = 255  # in the padding
    found = search(identity(), {"0": range(3)}, [batch(pixels, images=2)], top=9)["0"]
    assert found.dead.tolist() == [False, True, True]
    assert (found.image[0] != NO_IMAGE).sum() == 2


def test_units_are_those_asked_for() -> None:
    pixels = torch.zeros(1, 3, 5, 5, dtype=torch.uint8)
    pixels[0, 2] = 200
    found = search(identity(), {"0": [2]}, [batch(pixels)], top=1)["0"]
    assert found.activation.shape == (1, 1)
    assert found.activation[0, 0] == pytest.approx(200 / 127.5 - 1)


def test_a_map_that_is_no_number_is_an_error() -> None:
    model = identity()
    model[0].weight.data[1, 1] = float("nan")
    with pytest.raises(NotFinite, match="layer 0"):
        search(model, {"0": range(3)}, [batch(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))])


def test_the_forward_pass_stops_behind_the_deepest_layer_and_leaves_no_hook() -> None:
    ran: list[str] = []
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    for name, module in model.named_children():
        module.register_forward_pre_hook(lambda m, i, name=name: ran.append(name))
    seen: dict[str, torch.Tensor] = {}
    observe(model, {p: lambda t, p=p: seen.__setitem__(p, t.clone()) for p in ("2", "0")}, torch.rand(1, 3, 4, 4))
    assert ran == ["0", "1", "2"]
    assert (seen["0"] < 0).any()  # seen before the in-place ReLU
    assert not any(module._forward_hooks for module in model)


@given(st.integers(1, 1000), st.integers(1, 50))
def test_cuts_cover_everything_once(count: int, pieces: int) -> None:
    parts = cut(count, pieces)
    assert [i for start, stop in parts for i in range(start, stop)] == list(range(count))
    assert all(stop > start for start, stop in parts)
    assert len(parts) == min(count, pieces)
