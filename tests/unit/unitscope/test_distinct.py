"""Images that show the same: perceptual hashes, groups, and rankings with one image of each group."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from unitscope.find.combinations import UnitValues, combined_images
from unitscope.find.distinct import NEAR, distinct_groups, has_detail
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


def plain_groups(files: list[str], hashes: list[int | None]) -> list[int]:
    """Return the first image of each image's group, by one comparison after another."""
    groups: list[int] = []
    for image, file in enumerate(files):
        if file in files[:image]:
            groups.append(groups[files.index(file)])
            continue
        known = next(
            (hashes[at] for at in range(image, len(files)) if files[at] == file and usable(hashes[at])), None
        )
        near = (
            first
            for first in range(image)
            if known is not None
            and groups[first] == first
            and (other := hash_of(files[first], files, hashes)) is not None
            and bits_between(known, other) <= NEAR
        )
        groups.append(next(near, image))
    return groups


def usable(known: int | None) -> bool:
    return known is not None and 8 <= bits_between(known, 0) <= 56


def hash_of(file: str, files: list[str], hashes: list[int | None]) -> int | None:
    return next(
        (known for other, known in zip(files, hashes, strict=True) if other == file and usable(known)), None
    )


def test_groups_are_those_of_plain_comparisons() -> None:
    random = np.random.default_rng(0)
    centres = random.integers(-(2**63), 2**63, 60)
    hashes = centres[random.integers(0, 60, 400)]
    for _ in range(3):  # up to three bits, so that some differ from one another in up to six
        hashes ^= np.where(random.random(400) < 0.4, np.int64(1) << random.integers(0, 63, 400), 0)
    hashes[::9] = random.integers(0, 4, len(hashes[::9]))  # without detail
    files = [f"file {number}" for number in random.integers(0, 350, 400)]
    has_hash = random.random(400) < 0.9
    known = [value if there else None for value, there in zip(hashes.tolist(), has_hash.tolist(), strict=True)]
    found = distinct_groups(files, hashes, has_hash)
    assert found.tolist() == plain_groups(files, known)
    assert 10 < len(set(found.tolist())) < 300
    alone = distinct_groups(files, hashes, np.zeros(400, bool))
    assert len(set(alone.tolist())) == len(set(files))
    assert distinct_groups([], np.zeros(0, np.int64), np.zeros(0, bool)).tolist() == []


def test_a_chain_of_near_hashes_is_not_one_group() -> None:
    """Each differs from the one before in three bits."""
    base = 0x0F0F0F0F0F0F0F0F
    chain = np.array([base ^ (8**number - 1) for number in range(7)], np.int64)
    assert [bits_between(one, other) for one, other in itertools.pairwise(chain.tolist())] == [3] * 6
    found = distinct_groups([f"{number}" for number in range(7)], chain, np.ones(7, bool))
    assert found.tolist() == [0, 0, 2, 2, 4, 4, 6]


def flat(value: int) -> Image.Image:
    return Image.new("RGB", (64, 64), (value,) * 3)


def test_pictures_with_little_detail_are_only_joined_by_their_files() -> None:
    dots = []
    for number in range(20):  # a small spot anywhere on a plain background
        pixels = np.full((72, 72, 3), 200, np.uint8)
        row, column = divmod(number * 13 % 64, 8)
        pixels[row * 9 : row * 9 + 6, column * 9 : column * 9 + 6] = 60
        dots.append(Image.fromarray(pixels))
    ramp = np.tile(np.arange(64, dtype=np.uint8)[::-1] * 3, (64, 1))
    pictures = [flat(0), flat(255), Image.fromarray(ramp), Image.fromarray(ramp[:, ::-1].copy()), *dots]
    hashes = np.array([perceptual_hash(picture) for picture in pictures], np.int64)
    assert len(set(hashes.tolist())) < len(pictures)
    assert not has_detail(hashes).any()
    files = [f"{number}" for number in range(len(pictures))]
    has_hash = np.ones(len(pictures), bool)
    assert distinct_groups(files, hashes, has_hash).tolist() == list(range(len(pictures)))
    files[7] = files[1]
    assert distinct_groups(files, hashes, has_hash).tolist()[7] == 1
    scenes = np.array([perceptual_hash(scene(seed)) for seed in range(200)], np.int64)
    assert has_detail(scenes).all()


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
