"""Comparison of recorded and recomputed values, for the checks of all kinds."""

from __future__ import annotations

from dataclasses import dataclass, field

ROUNDING = 1e-4  # relative difference allowed for other batch sizes and devices


@dataclass
class Comparison:
    """Differences between the rows of a job and recomputed values."""

    rows: int = 0
    largest_difference: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def row(self, name: str, problem: str | None = None) -> None:
        """Count a row; ``problem`` describes a difference other than in its numbers."""
        self.rows += 1
        if problem:
            self.wrong.append(f"{name}: {problem}")

    def number(self, name: str, recorded: float, recomputed: float, scale: float = 0.0) -> None:
        """Compare two numbers; the difference is relative to the larger of both and ``scale``."""
        difference = abs(recorded - recomputed) / max(abs(recorded), abs(recomputed), scale, 1e-12)
        self.largest_difference = max(self.largest_difference, difference)
        if not difference <= ROUNDING:  # written so that NaN is a difference
            self.wrong.append(f"{name}: recorded {recorded:.6g}, recomputed {recomputed:.6g}")
