"""Suggestions for misspelt names."""

from __future__ import annotations

import pytest

from unitscope.spelling import suggestion

NAMES = ["aeroplane", "dog", "caf\u00e9"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dgo", " (did you mean dog?)"),
        ("DOG", " (did you mean dog?)"),
        ("Cafe\u0301s", " (did you mean caf\u00e9?)"),
        ("airplane", " (did you mean aeroplane?)"),
        ("sofa", ""),
        ("", ""),
    ],
)
def test_a_similar_name_is_suggested(name: str, expected: str) -> None:
    assert suggestion(name, NAMES) == expected


def test_several_names_are_suggested() -> None:
    assert suggestion("resnet19", ["resnet18", "resnet101", "vgg16"], 2) in (
        " (did you mean resnet18 or resnet101?)",
        " (did you mean resnet101 or resnet18?)",
    )
