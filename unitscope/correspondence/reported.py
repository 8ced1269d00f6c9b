"""Values of the paper's Table 1, for parts and layers of the same names. Torch is not imported."""

from __future__ import annotations

RANDOM = "random"  # the row of random masks

REPORTED: dict[tuple[str, str], float] = {
    ("right eye", "conv5"): 0.067,
    ("left eye", "conv5"): 0.069,
    ("nose", "conv5"): 0.079,
    (RANDOM, "conv5"): 0.107,
    ("right eye", "fc7"): 0.069,
    ("left eye", "fc7"): 0.068,
    ("nose", "fc7"): 0.069,
    (RANDOM, "fc7"): 0.073,
}


def reported_distance(part: str, layer: str) -> float | None:
    """Return the mean Hamming distance that the paper reports, or None if it has no such part or layer."""
    name = " ".join(part.lower().replace("_", " ").replace("-", " ").split())
    return REPORTED.get((name, layer))
