"""Labels of units: concepts that were planted are found, and the scores are those of the method's formula."""

from __future__ import annotations

import numpy as np
import pytest

from unitscope.find.labels import soft_wpmi, strongest_images

UNITS, IMAGES, CONCEPTS = 12, 600, 40


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maxima, similarities, and the concept of each unit. Concept 0 is similar to every image."""
    random = np.random.default_rng(0)
    shown = random.random((IMAGES, CONCEPTS)) < 0.2
    similarities = 0.2 + 0.1 * shown + 0.03 * random.standard_normal((IMAGES, CONCEPTS))
    similarities[:, 0] = 0.5
    concepts = random.permutation(np.arange(1, CONCEPTS))[:UNITS]
    maxima = 3 * shown[:, concepts].T + random.standard_exponential((UNITS, IMAGES))
    return maxima.astype(np.float32), similarities.astype(np.float32), concepts


def formula(strongest: np.ndarray, similarities: np.ndarray) -> np.ndarray:
    """The formula, for whole arrays: as in the authors' code."""
    scaled = np.exp(10 * similarities.astype(np.float64))
    probability = scaled / scaled.sum(1, keepdims=True)
    top = strongest.shape[1]
    certainty = (0.998 - np.arange(top) / top * (0.998 - 0.97))[None, :, None]
    given = np.log(1 + certainty * (probability[strongest] - 1) + 1e-7).sum(1)
    return given - np.log(np.exp(given - given.max(0)).mean(0)) - given.max(0)


@pytest.mark.parametrize("at_once", [1, 77, IMAGES])
def test_planted_concepts_are_found(planted: tuple[np.ndarray, np.ndarray, np.ndarray], at_once: int) -> None:
    maxima, similarities, concepts = planted
    strongest = strongest_images(maxima, range(UNITS), np.arange(IMAGES))
    parts = np.split(similarities, range(at_once, IMAGES, at_once))
    scores = soft_wpmi(strongest, iter(parts), CONCEPTS)
    assert scores.argmax(1).tolist() == concepts.tolist()
    assert np.allclose(scores, formula(strongest, similarities), atol=1e-9)


def test_strongest_images_are_in_the_total_order(planted: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    maxima = np.round(planted[0])  # many are equal
    chosen = np.arange(3, IMAGES, 2)
    found = strongest_images(maxima, [4, 2], chosen)
    assert found.shape == (2, 100)
    for row, unit in zip(found.tolist(), (4, 2), strict=True):
        values = maxima[unit][chosen]
        assert row == sorted(range(len(values)), key=lambda image: (-values[image], image))[:100]
    assert strongest_images(maxima, [0], np.arange(7)).shape == (1, 7)


def test_missing_similarities_are_an_error(planted: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    strongest = strongest_images(planted[0], range(UNITS), np.arange(IMAGES))
    with pytest.raises(ValueError, match="missing"):
        soft_wpmi(strongest, [planted[1][:100]], CONCEPTS)
