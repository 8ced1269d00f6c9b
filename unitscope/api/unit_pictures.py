"""Pictures of the top activations of units: image patches and projections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from unitscope.api.images import ImageSet
from unitscope.api.network import Network
from unitscope.description import LayerDescription
from unitscope.drawing import pictures
from unitscope.drawing.pictures import Picture
from unitscope.drawing.unit_pictures import UnitPicture, unit_picture
from unitscope.errors import BrokenProjection
from unitscope.geometry.receptive_fields import Geometry, Window
from unitscope.projection.choice import projector_for
from unitscope.projection.empty import EmptyProjections, WrongProjection
from unitscope.projection.graph import GraphProjector
from unitscope.projection.requests import Projection, Projector, Requests
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.vocabulary import ProjectionMethod


def geometry_of(layer: LayerDescription) -> Geometry | None:
    """Return the geometry of a layer's receptive fields; None if they are the whole image or unknown."""
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
    """Make a projector for the units of a layer: see ``unitscope.projection.choice.projector_for``.

    Raises
    ------
    UnsupportedActivation
        the network has no deconvnet. This is checked here by a forward pass of a black image, not only at the
        first projection.
    """
    model, size = network.on(device), network.size
    projector = projector_for(
        model, layer.path, size, method, counts, device, network.mean, network.std, layer.form
    )
    if isinstance(projector, GraphProjector):
        projector.deconvnet.forward(torch.zeros(1, 3, size, size, device=device))
    return projector


def empty_projections(
    network: Network,
    layer: LayerDescription,
    method: ProjectionMethod,
    projector: Projector | None,
    device: torch.device,
) -> EmptyProjections:
    """Return the reasons of empty projections of a layer's units: see ``unitscope.projection.empty``."""
    model = network.on(device)
    return EmptyProjections(model, layer.path, method, projector, device, network.mean, network.std, layer.form)


@dataclass(frozen=True)
class UnitPictures:
    """Pictures of a unit, in descending order of activation; ``projections`` is None if there is no projector."""

    patches: list[Picture]
    projections: list[Picture] | None


@dataclass(frozen=True)
class _TopActivation:
    unit: int
    image: int
    row: int
    col: int
    activation: float


class PictureMaker:
    """Draws the top activations of a search.

    Parameters
    ----------
    layer
        layer of the units.
    top
        ranking of the images of each unit.
    units
        the unit of each row of ``top``.
    images
        images of the search.
    size
        height and width to which images are resized, in pixels.
    projector
        projector of the layer; None to draw image patches only.
    empty
        reasons of empty projections.
    """

    def __init__(
        self,
        layer: LayerDescription,
        top: TopActivations,
        units: Sequence[int],
        images: ImageSet,
        size: int,
        projector: Projector | None,
        empty: EmptyProjections,
    ) -> None:
        self.layer, self.top, self.images, self.size = layer, top, images, size
        self.projector, self.empty = projector, empty
        self.geometry = geometry_of(layer)
        self.index = {unit: index for index, unit in enumerate(units)}
        self.largest = float(top.activation.max())

    def of(self, units: Sequence[int]) -> dict[int, UnitPictures]:
        """Draw some units, each of which has a top image.

        Raises
        ------
        ImageNotReadable
            an image can't be read any more.
        BrokenProjection
            a projection failed its check.
        """
        activations = [activation for unit in units for activation in self._top_activations(unit)]
        ids = sorted({activation.image for activation in activations})
        number = {image: number for number, image in enumerate(ids)}
        pixels = [self.images.read(image, self.size) for image in ids]
        drawn = self._projected(activations, pixels, number) if self.projector else {}
        made: dict[int, UnitPictures] = {}
        for unit in units:
            indices = [index for index, activation in enumerate(activations) if activation.unit == unit]
            patches = [
                pictures.cut(pixels[number[activations[index].image]], self.shown(activations[index]))
                for index in indices
            ]
            projections = [drawn[index].shown for index in indices] if self.projector else None
            made[unit] = UnitPictures(patches, projections)
        return made

    def window(self, activation: _TopActivation) -> Window | None:
        """Return the receptive field of an activation; None for the whole image."""
        return self.geometry.window(activation.row, activation.col) if self.geometry else None

    def square(self, activation: _TopActivation) -> Window | None:
        """Return the square of the image that a token stands for; None for other layers, and a class token."""
        form = self.layer.form
        return form.square(activation.row, activation.col, self.size) if form else None

    def shown(self, activation: _TopActivation) -> Window | None:
        """Return the part of the image to show; None for the whole image."""
        return self.square(activation) or self.window(activation)

    def _top_activations(self, unit: int) -> list[_TopActivation]:
        index, top = self.index[unit], self.top
        return [
            _TopActivation(
                unit,
                int(top.image[index, rank]),
                int(top.row[index, rank]),
                int(top.col[index, rank]),
                float(top.activation[index, rank]),
            )
            for rank in range(int((top.image[index] != NO_IMAGE).sum()))
        ]

    def _projected(
        self, activations: Sequence[_TopActivation], pixels: Sequence[np.ndarray], number: dict[int, int]
    ) -> dict[int, UnitPicture]:
        assert self.projector is not None  # noqa: S101 - checked by the caller
        columns = (
            [activation.unit for activation in activations],
            [number[activation.image] for activation in activations],
            [activation.image for activation in activations],
            [activation.row for activation in activations],
            [activation.col for activation in activations],
        )
        requests = Requests(*(np.array(values, np.int64) for values in columns))
        return {
            index: self._checked(activations[index], pixels[number[activations[index].image]], projection)
            for index, projection in self.projector.project(pixels, requests)
        }

    def _checked(self, activation: _TopActivation, image: np.ndarray, projection: Projection) -> UnitPicture:
        unit, row, col = activation.unit, activation.row, activation.col

        window = self.window(activation)
        why_empty = partial(self.empty.reason, projection.values, image, unit, row, col)
        try:
            return unit_picture(
                image,
                projection,
                window,
                activation.activation,
                self.largest,
                why_empty,
                self.square(activation),
            )
        except WrongProjection as error:
            raise BrokenProjection(
                unit=activation.unit,
                layer=self.layer.name or self.layer.path,
                image=self.images.name(activation.image),
                reason=error,
            ) from error
