"""What the checks of all kinds have in common: values as recorded, and as computed again."""

from __future__ import annotations

from dataclasses import dataclass, field

ROUNDING = 1e-4  # other batches, other devices: the last bits differ


@dataclass
class Comparison:
    """How far values that were computed again are from the rows."""

    rows: int = 0
    largest_difference: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def row(self, name: str, problem: str | None = None) -> None:
        """Count a row; ``problem`` says what is wrong with it beyond its numbers."""
        self.rows += 1
        if problem:
            self.wrong.append(f"{name}: {problem}")

    def number(self, name: str, recorded: float, found: float, scale: float = 0.0) -> None:
        """Compare two numbers, to rounding of the larger of them or of ``scale``."""
        difference = abs(recorded - found) / max(abs(recorded), abs(found), scale, 1e-12)
        self.largest_difference = max(self.largest_difference, difference)
        if not difference <= ROUNDING:  # nor NaN
            self.wrong.append(f"{name}: {recorded:.6g} is recorded, {found:.6g} was found")
