"""What makes two searches the same: their key."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from producer.requests import network_specification
from shared.specifications import SearchedLayerSpecification, Top9Specification, parse

PLAIN = Top9Specification(
    dataset_id=1,
    dataset_fingerprint="f" * 64,
    split="val",
    image_count=100,
    network=network_specification("zfnet", 20),
    weights_sha256="a" * 64,
    weights_path="weights.safetensors",
    training_job_id=None,
    layers=[SearchedLayerSpecification(layer="conv5", path="features.10", units=[0, 1])],
)


@pytest.mark.parametrize(
    "change", [{"bottom": True}, {"per_class": True}, {"projection": "guided"}, {"projection": "gradient"}]
)
def test_what_else_is_asked_for_makes_another_result(change: dict[str, object]) -> None:
    assert PLAIN.model_copy(update=change).key() != PLAIN.key()


def test_shards_and_places_do_not() -> None:
    assert PLAIN.model_copy(update={"shards": 2, "weights_path": "elsewhere"}).key() == PLAIN.key()


def test_a_search_from_before_these_options_can_be_read() -> None:
    stored = PLAIN.model_dump(mode="json")
    for name in ("bottom", "per_class", "projection"):
        del stored[name]
    assert parse("top9", stored) == PLAIN


def test_an_unknown_projection_is_refused() -> None:
    with pytest.raises(ValidationError, match="projection"):
        parse("top9", PLAIN.model_dump(mode="json") | {"projection": "lrp"})
