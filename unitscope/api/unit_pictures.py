"""Pictures of what fires units most: patches of the images, and projections of the activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unitscope.api.images import ImageSet
from unitscope.api.network import Network
from unitscope.description import LayerDescription
from unitscope.drawing import pictures
from unitscope.drawing.pictures import Picture
from unitscope.drawing.unit_pictures import UnitPicture, WrongProjection, unit_picture
from unitscope.errors import BrokenProjection
from unitscope.geometry.receptive_fields import Geometry, Window
from unitscope.projection.choice import projector_for
from unitscope.projection.graph import GraphProjector
from unitscope.projection.requests import Projection, Projector, Requests
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.vocabulary import ProjectionMethod


def geometry_of(layer: LayerDescription) -> Geometry | None:
    """Where a layer's units look; None for the whole image, or where it is not known."""
    if layer.receptive_field is None or layer.stride is None or layer.start is None:
        return None
    return Geometry(layer.receptive_field, layer.stride, layer.start)


def make_projector(
    network: Network,
    layer: LayerDescription,
    method: ProjectionMethod,
    device: torch.device,
    counts: dict[int, int] | None = None,
) -> Projector:
    """What projects the units of a layer: see ``unitscope.projection.choice.projector_for``.

    Raises
    ------
    FunctionalActivation
        at once, not at the first projection.
    """
    model, size = network.on(device), network.size
    projector = projector_for(model, layer.path, size, method, counts, device, network.mean, network.std)
    if isinstance(projector, GraphProjector):
        projector.deconvnet.forward(torch.zeros(1, 3, size, size, device=device))
    return projector


@dataclass(frozen=True)
class UnitPictures:
    """A unit's pictures, of its strongest image first; ``projections`` are None where none are wanted."""

    patches: list[Picture]
    projections: list[Picture] | None


@dataclass(frozen=True)
class _Winner:
    unit: int
    image: int
    row: int
    col: int
    activation: float


class PictureMaker:
    """Makes the pictures of a search's winners.

    Parameters
    ----------
    top, units
        the ranking, and the unit of each of its rows.
    projector
        of the layer; None: patches alone.
    """

    def __init__(
        self,
        layer: LayerDescription,
        top: TopActivations,
        units: Sequence[int],
        images: ImageSet,
        size: int,
        projector: Projector | None,
    ) -> None:
        self.layer, self.top, self.images, self.size, self.projector = layer, top, images, size, projector
        self.geometry = geometry_of(layer)
        self.place = {unit: place for place, unit in enumerate(units)}
        self.largest = float(top.activation.max())

    def of(self, units: Sequence[int]) -> dict[int, UnitPictures]:
        """The pictures of some units, each of which fires.

        Raises
        ------
        ImageNotReadable
            an image can't be read any more.
        BrokenProjection
        """
        winners = [winner for unit in units for winner in self._winners(unit)]
        ids = sorted({winner.image for winner in winners})
        number = {image: number for number, image in enumerate(ids)}
        pixels = [self.images.read(image, self.size) for image in ids]
        drawn = self._projected(winners, pixels, number) if self.projector else {}
        found: dict[int, UnitPictures] = {}
        for unit in units:
            mine = [place for place, winner in enumerate(winners) if winner.unit == unit]
            patches = [
                pictures.cut(pixels[number[winners[place].image]], self.window(winners[place])) for place in mine
            ]
            found[unit] = UnitPictures(patches, [drawn[p].projection for p in mine] if self.projector else None)
        return found

    def window(self, winner: _Winner) -> Window | None:
        """The winner's receptive field."""
        return self.geometry.window(winner.row, winner.col) if self.geometry else None

    def _winners(self, unit: int) -> list[_Winner]:
        place, top = self.place[unit], self.top
        return [
            _Winner(
                unit,
                int(top.image[place, rank]),
                int(top.row[place, rank]),
                int(top.col[place, rank]),
                float(top.activation[place, rank]),
            )
            for rank in range(int((top.image[place] != NO_IMAGE).sum()))
        ]

    def _projected(
        self, winners: Sequence[_Winner], pixels: Sequence[np.ndarray], number: dict[int, int]
    ) -> dict[int, UnitPicture]:
        assert self.projector is not None  # noqa: S101 - the caller has seen to it
        columns = (
            [winner.unit for winner in winners],
            [number[winner.image] for winner in winners],
            [winner.image for winner in winners],
            [winner.row for winner in winners],
            [winner.col for winner in winners],
        )
        requests = Requests(*(np.array(values, np.int64) for values in columns))
        return {
            place: self._checked(winners[place], pixels[number[winners[place].image]], projection)
            for place, projection in self.projector.project(pixels, requests)
        }

    def _checked(self, winner: _Winner, image: np.ndarray, projection: Projection) -> UnitPicture:
        try:
            return unit_picture(image, projection, self.window(winner), winner.activation, self.largest)
        except WrongProjection as wrong:
            raise BrokenProjection(
                unit=winner.unit,
                layer=self.layer.name or self.layer.path,
                image=self.images.name(winner.image),
                reason=wrong,
            ) from wrong
