"""What decides whether a claim of the publication holds, in the sections of the kinds of job."""

from __future__ import annotations

from typing import Any

import pytest

from producer.kinds.correspondence import section as correspondence
from producer.kinds.correspondence.results import CorrespondenceRow
from producer.kinds.evolution import section as evolution
from producer.kinds.evolution.results import SettledUnitsRow
from producer.kinds.invariance import section as invariance
from producer.kinds.occlusion import section as occlusion
from producer.kinds.occlusion.results import OcclusionMapRow
from producer.kinds.probe import section as probe
from producer.kinds.top9 import section as top9
from producer.results.sections import Finding


def holds(finding: Finding | None) -> bool | None:
    return finding.holds if finding else None


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"conv1": 0.36, "conv3": 0.2, "conv5": 0.42}, True),  # figure 2: the last layer against the first
        ({"conv1": 0.42, "conv5": 0.36}, False),
        ({"conv1": 0.4, "conv5": 0.4}, False),
        ({"conv5": 0.4}, None),
    ],
)
def test_units_of_later_layers_agree_more_on_a_class(shares: dict[str, float], expected: bool | None) -> None:
    assert holds(top9.finding(shares)) is expected


def settled(layer: str, *shares: float | None) -> list[SettledUnitsRow]:
    return [SettledUnitsRow(1, layer, layer, epoch, 9, 9, 9, 9, share) for epoch, share in enumerate(shares, 1)]


def test_lower_layers_settle_earlier() -> None:
    """Figure 4. At the last epoch all units are settled, in every layer."""
    low, high = settled("conv1", 0.1, 0.9, 1.0), settled("conv5", 0.0, 0.2, 1.0)
    assert evolution.finding({"conv1": low, "conv5": high}) == Finding(
        True, "settled units, mean over the epochs before the last: conv1 50 %, conv5 10 %"
    )
    assert holds(evolution.finding({"conv1": high, "conv5": low})) is False
    assert evolution.finding({"conv5": high}) is None
    dead = settled("conv5", None, None, None)
    assert evolution.finding({"conv1": low, "conv5": dead}) is None
    assert evolution.finding({"conv1": low[-1:], "conv5": high[-1:]}) is None  # a single epoch


def change(layer: str, transformation: str, at_smallest: float | None, most: float = 1.0) -> dict[str, Any]:
    return {"layer": layer, "transformation": transformation, "at_smallest": at_smallest, "most": most}


def test_the_first_layer_changes_more_under_each_transformation() -> None:
    """Figure 5."""
    shift = [change("conv1", "shift", 0.5), change("fc7", "shift", 0.1)]
    rotation = [change("conv1", "rotation", 0.6), change("fc7", "rotation", 0.7)]
    assert holds(invariance.finding(shift)) is True
    assert holds(invariance.finding([shift[0], rotation[0], shift[1], rotation[1]])) is False
    assert invariance.finding(shift[:1]) is None  # one layer
    assert invariance.finding([*shift, change("fc6", "shift", 0.0, most=0.0)]) is None  # it never changes
    assert invariance.finding([change("conv1", "scale", None), change("fc7", "scale", None)]) is None


def swept(clear: float, least: float) -> OcclusionMapRow:
    return OcclusionMapRow(
        1, "a.jpg", "dog", "conv5", 3, 1.0, 0.5, "dog", clear, least, 0, 0, 0, 9, None, "a.npz", None
    )


def test_hiding_the_object_halves_the_probability_of_its_class() -> None:
    """Figure 7: the mean over the images decides."""
    assert holds(occlusion.finding([swept(0.8, 0.1), swept(0.4, 0.3)])) is True
    assert holds(occlusion.finding([swept(0.8, 0.4)])) is False
    assert occlusion.finding([]) is None


def part(name: str, layer: str, distance: float | None, chance: float | None) -> CorrespondenceRow:
    return CorrespondenceRow(name, layer, 5, 10, distance, 0.0, chance, 0.0, None, None, None)


def test_the_same_parts_are_nearer_than_random_ones() -> None:
    """Table 1: every part of the first layer, conv5, decides."""
    rows = [part("head", "conv5", 0.06, 0.1), part("hand", "conv5", 0.07, 0.1), part("head", "fc7", 0.2, 0.1)]
    assert correspondence.finding(rows) == Finding(
        True, "conv5, the same part against random masks: head 0.060 against 0.100; hand 0.070 against 0.100"
    )
    assert holds(correspondence.finding([*rows, part("foot", "conv5", 0.11, 0.1)])) is False
    assert holds(correspondence.finding([*rows, part("foot", "conv5", None, 0.1)])) is True  # no pair of images
    assert correspondence.finding([part("head", "conv5", None, None)]) is None


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([0.2, 0.3, 0.4], True),
        ([0.2, 0.3, 0.25], False),  # one of two steps goes up
        ([0.2, 0.3, 0.25, 0.4], True),
        ([0.4, 0.1, 0.2, 0.3], False),  # the last is below the first
        ([0.2], None),
    ],
)
def test_accuracy_rises_with_depth(accuracies: list[float], expected: bool | None) -> None:
    """Table 7."""
    assert holds(probe.finding({f"conv{n}": accuracy for n, accuracy in enumerate(accuracies, 1)})) is expected
