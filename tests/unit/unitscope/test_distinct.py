"""Images that show the same: perceptual hashes, groups, and rankings with one image of each group."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from unitscope.find.combinations import UnitValues, combined_images
from unitscope.find.distinct import NEAR, distinct_groups
from unitscope.find.order import first_of_groups
from unitscope.images.perceptual_hash import perceptual_hash
from unitscope.search.ranking import FIELDS, NO_IMAGE, Groups, TopActivations, rank, rank_distinct

TOP = 4


def bits_between(first: int, second: int) -> int:
    return ((first ^ second) & (2**64 - 1)).bit_count()


def scene(seed: int) -> Image.Image:
    """A smooth picture with strong structures, as photographs have."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((320, 240), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))


@pytest.mark.parametrize("seed", range(8))
def test_copies_in_other_sizes_and_qualities_have_nearly_the_same_hash(seed: int) -> None:
    image = scene(seed)
    own = perceptual_hash(image)
    assert -(2**63) <= own < 2**63
    for size, quality in (((320, 240), 40), ((200, 150), 90), ((640, 480), 70)):
        file = io.BytesIO()
        image.resize(size).save(file, "JPEG", quality=quality)
        assert bits_between(own, perceptual_hash(Image.open(file))) <= NEAR
    assert bits_between(own, perceptual_hash(scene(seed + 100))) > 3 * NEAR


def test_the_hash_has_a_bit_for_each_brighter_pixel() -> None:
    ramp = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    assert perceptual_hash(Image.fromarray(ramp)) == -1  # all 64 bits
    assert perceptual_hash(Image.fromarray(ramp[:, ::-1])) == 0
    ramp[0] = ramp[0, ::-1]
    assert perceptual_hash(Image.fromarray(ramp)) == 2**56 - 1


def test_groups_are_those_of_all_pairs() -> None:
    random = np.random.default_rng(0)
    centres = random.integers(-(2**63), 2**63, 60)
    hashes = centres[random.integers(0, 60, 400)]
    for _ in range(3):  # up to three bits, so that some differ from one another in up to six
        hashes ^= np.where(random.random(400) < 0.4, np.int64(1) << random.integers(0, 63, 400), 0)
    files = [f"file {number}" for number in random.integers(0, 350, 400)]
    has_hash = random.random(400) < 0.9
    expected = np.arange(400)  # repeatedly the smallest of what each image is joined to
    numbers = hashes.tolist()

    def are_joined(one: int, other: int) -> bool:
        near = has_hash[one] and has_hash[other] and bits_between(numbers[one], numbers[other]) <= NEAR
        return files[one] == files[other] or bool(near)

    joined = [[other for other in range(400) if are_joined(one, other)] for one in range(400)]
    for _ in range(20):
        for others in joined:
            expected[others] = expected[others].min()
    found = distinct_groups(files, hashes, has_hash)
    assert found.tolist() == expected.tolist()
    assert 10 < len(set(found.tolist())) < 300
    alone = distinct_groups(files, hashes, np.zeros(400, bool))
    assert len(set(alone.tolist())) == len(set(files))
    assert distinct_groups([], np.zeros(0, np.int64), np.zeros(0, bool)).tolist() == []


def plain(maxima: np.ndarray, groups: np.ndarray, unit: int, top: int) -> list[int]:
    """Return the images of a unit: by value, then by id, skipping those of whose group one is listed."""
    listed: list[int] = []
    for image in sorted(range(len(maxima)), key=lambda image: (-maxima[image, unit], image)):
        if maxima[image, unit] > 0 and groups[image] not in [groups[other] for other in listed]:
            listed.append(image)
    return listed[:top]


@pytest.mark.parametrize("cuts", [[], [50], [3, 4, 90]])
def test_rankings_have_one_image_of_each_group_whatever_the_shards(cuts: list[int]) -> None:
    generator = np.random.default_rng(1)
    maxima = np.round(generator.standard_normal((120, 5)) * 3).astype(np.float32)  # many are equal
    maxima[:, 4] = -1
    of_image = generator.integers(0, 9, 120)
    groups: Groups = lambda images: of_image[images]  # noqa: E731
    parts = []
    for part in np.split(np.arange(120), cuts):
        values, positions = torch.from_numpy(maxima[part]), torch.zeros(len(part), 5, dtype=torch.int64)
        parts.append(
            rank_distinct(
                lambda top, values=values, positions=positions, part=part: rank(
                    values, positions, part.tolist(), 1, top
                ),
                groups,
                len(part),
                TOP,
            )
        )
    merged = TopActivations.best_of(parts, groups)
    for unit in range(5):
        expected = plain(maxima, of_image, unit, TOP)
        images = merged.image[unit]
        assert images[images != NO_IMAGE].tolist() == expected
        assert merged.activation[unit, : len(expected)].tolist() == maxima[expected, unit].tolist()
    assert merged.dead.tolist() == [False] * 4 + [True]
    assert all(getattr(merged, name).shape == (5, TOP) for name in FIELDS)


@pytest.mark.parametrize("count", [1, 5, 50])
def test_found_images_are_distinct(count: int) -> None:
    generator = np.random.default_rng(2)
    values = np.round(generator.standard_exponential(3000), 1).astype(np.float32)
    groups = generator.integers(0, 12, 3000)
    unit = UnitValues(values, np.float32(1))
    images, found = first_of_groups(lambda asked: combined_images([unit], count=asked), groups, count)
    assert images.tolist() == plain(values[:, None], groups, 0, count)
    assert found.tolist() == values[images].tolist()
