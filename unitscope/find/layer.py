"""The maxima of a layer's units over images, of which questions are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.errors import NoSuchUnit
from unitscope.find.combinations import UnitValues


@dataclass(frozen=True)
class LayerMaxima:
    """A layer's maxima, float32 [units, images], and scales, float32 [units]; ``units`` are their numbers.

    ``active``, bool [units], are the units that are neither dead nor not finite.
    """

    name: str
    path: str
    units: Sequence[int]
    maxima: np.ndarray
    scales: np.ndarray
    active: np.ndarray

    def index(self, unit: int) -> int:
        """Return the row of a unit.

        Raises
        ------
        NoSuchUnit
        """
        if unit not in self.units:
            raise NoSuchUnit(layer=self.name, unit=unit, last=max(self.units))
        return self.units.index(unit)

    def unit_values(self, unit: int) -> UnitValues:
        """Return the values of a unit.

        Raises
        ------
        NoSuchUnit
        """
        index = self.index(unit)
        return UnitValues(self.maxima[index], self.scales[index], f"unit {unit} of {self.name}")

    def active_units(self) -> list[int]:
        """Return the units that are positive on some image, and finite on all."""
        return [unit for unit, active in zip(self.units, self.active.tolist(), strict=True) if active]
