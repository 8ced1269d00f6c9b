"""Estimate of the share of images that a screened search computes twice."""

from __future__ import annotations

import pytest

from producer.networks.specification import network_specification
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from worker.kinds.top9.estimate import recomputed_share


def share(images: int, units: int, shards: int = 1) -> float:
    specification = Top9Specification(
        dataset_id=1,
        dataset_fingerprint="f" * 64,
        split="val",
        image_count=images,
        network=network_specification("zfnet", 20),
        weights_sha256="a" * 64,
        weights_path="weights.safetensors",
        training_job_id=None,
        layers=[SearchedLayerSpecification(layer="conv5", path="features.10", units=list(range(256)))],
        screen="bfloat16",
        shards=shards,
    )
    return recomputed_share(specification, units)


def test_the_share_falls_with_the_images_and_rises_with_units_and_shards() -> None:
    assert share(100_000, 250) < share(10_000, 250) < share(1_000, 250) <= 1
    assert share(100_000, 20) < share(100_000, 250) < share(100_000, 1000)
    assert share(100_000, 250) < share(100_000, 250, shards=8) < share(100_000, 250, shards=100)
    assert share(50, 1000) == pytest.approx(1)


def test_the_share_of_few_units_is_that_of_their_top_images_and_the_sample() -> None:
    assert share(1_000_000, 10) == pytest.approx((10 * 9 + 128) / 1_000_000, rel=0.01)
