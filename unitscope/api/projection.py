"""One activation of one image, projected back to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import ImageSet, OneImage, collect
from unitscope.api.network import Network, check_unit, find_layer
from unitscope.api.unit_pictures import geometry_of, make_projector
from unitscope.arithmetic import exact_float32
from unitscope.data.images import to_input
from unitscope.description import LayerDescription
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.unit_pictures import unit_picture
from unitscope.drawing.units import projection_figure
from unitscope.errors import BrokenProjection, InvalidArgument, UnitNotFiring
from unitscope.geometry.receptive_fields import Window
from unitscope.projection.deconvnet import why_wrong
from unitscope.projection.requests import Projection, Requests
from unitscope.search.search import observe, strongest
from unitscope.vocabulary import PROJECTION_METHODS, ProjectionMethod


@dataclass(eq=False, repr=False, match_args=False)
class Projected:
    """A projection; ``project`` makes it.

    Attributes
    ----------
    values : numpy.ndarray
        float32 [3, H, W]: how much each pixel counts, zero outside of the unit's receptive field.
    activation : float
        What was projected.
    place : (int, int)
        Its row and column in the layer's map.
    window : (int, int, int, int) or None
        Top, left, bottom, right of the receptive field in pixels, exclusive, not cut to the image; None where it
        is the whole image.
    pixels : numpy.ndarray
        uint8 [H, W, 3]: the image as the network sees it.
    layer : LayerDescription
    unit : int
    image : str
        The path of the image.
    """

    values: np.ndarray
    activation: float
    place: tuple[int, int]
    window: Window | None
    pixels: np.ndarray
    layer: LayerDescription
    unit: int
    image: str
    _network: str

    def figure(self) -> NotebookFigure:
        """The image, the part that the unit sees, and the projection, as a matplotlib figure."""
        whole = Projection(self.values, 0, 0, self.activation)
        drawn = unit_picture(self.pixels, whole, self.window, self.activation, self.activation)
        name = self.layer.name or self.layer.path
        row, column = self.place
        return projection_figure(
            f"{self._network} {name}, unit {self.unit}: {self.activation:.4g} at row {row}, column {column}",
            self.pixels,
            drawn.patch,
            drawn.projection,
            self.window,
            Path(self.image).name,
        )

    def __repr__(self) -> str:
        name = self.layer.name or self.layer.path
        return f"Projected({self._network} {name}, unit {self.unit}, {self.activation:.4g} at {self.place})"


def project(
    network: Network,
    layer: str | int,
    *,
    unit: int,
    image: OneImage,
    place: tuple[int, int] | None = None,
    method: ProjectionMethod = "deconvnet",
    device: torch.device | str | None = None,
) -> Projected:
    """Project one activation of a unit back to the pixels of an image (paper, section 2.1).

    Parameters
    ----------
    network : Network
    layer : str or int
        A convolution, as in ``top9``.
    unit : int
        From 0.
    image
        A path, a PIL image, or an array uint8 [H, W, 3].
    place : (int, int), optional
        Row and column in the layer's map; by default where the unit fires most.
    method : {"deconvnet", "guided", "gradient"}
        The paper's; guided back-propagation; the plain gradient. All are multiplied by the activation.
    device : torch.device or str, optional
        The GPU if there is one, else the CPU.

    Returns
    -------
    Projected
        ``values``, ``activation``, ``place``, ``window``, ``figure()``.

    Raises
    ------
    UnitNotFiring
        the activation is not positive.
    InvalidArgument, NoSuchFile, ImageNotReadable, NoSuchLayer, NotAConvolution, AmbiguousLayer, NoSuchUnit
    FunctionalActivation
        the network has no deconvnet: choose the gradient.
    BrokenProjection
        the projection failed its check.
    """
    check_choice("method", method, PROJECTION_METHODS)
    chosen_device = choose_device(device)
    described = find_layer(network, layer)
    unit = check_unit(described, unit)
    images = one_image(image)
    pixels = images.read(0, network.size)
    return project_pixels(network, described, unit, pixels, images.name(0), place, method, chosen_device)


def one_image(image: OneImage) -> ImageSet:
    """See that it is one image, and not a folder or a list.

    Raises
    ------
    InvalidArgument, NoSuchFile
    """
    images = collect(image)
    if len(images.sources) != 1:
        raise InvalidArgument(reason=f"One image is needed, these are {len(images.sources)}. Name one of them.")
    return images


def project_pixels(
    network: Network,
    layer: LayerDescription,
    unit: int,
    pixels: np.ndarray,
    name: str,
    place: tuple[int, int] | None,
    method: ProjectionMethod,
    device: torch.device,
) -> Projected:
    """``project`` of an image uint8 [H, W, 3] as the network sees it, that is called ``name``."""
    said = layer.name or layer.path
    with exact_float32(device):
        maps = _maps(network, layer, pixels, device)
        row, col = _place(maps, unit, place)
        recorded = float(maps[0, unit, row, col])
        if not recorded > 0:
            where = f"anywhere on {name}" if place is None else f"at row {row}, column {col} of {name}"
            raise UnitNotFiring(unit=unit, layer=said, where=where)
        projector = make_projector(network, layer, method, device)
        wanted = Requests(*(np.array([value], np.int64) for value in (unit, 0, 0, row, col)))
        ((_, projection),) = projector.project([pixels], wanted)
    geometry = geometry_of(layer)
    window = geometry.window(row, col) if geometry else None
    values = projection.in_image(*pixels.shape[:2])
    if wrong := why_wrong(values, projection.activation, recorded, float(maps.max()), window):
        raise BrokenProjection(unit=unit, layer=said, image=name, reason=wrong)
    return Projected(
        values, projection.activation, (row, col), window, pixels, layer, unit, name, _network=network.name
    )


@torch.inference_mode()
def _maps(network: Network, layer: LayerDescription, pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """The layer's output for an image: [1, units, rows, columns]."""
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    found: list[torch.Tensor] = []
    observe(
        network.on(device),
        {layer.path: lambda maps: found.append(maps.clone())},
        to_input(images, device, network.mean, network.std),
    )
    return found[0]


def _place(maps: torch.Tensor, unit: int, place: tuple[int, int] | None) -> tuple[int, int]:
    rows, columns = maps.shape[2:]
    if place is None:
        _, places = strongest(maps)
        row, col = divmod(int(places[0, unit]), columns)
        return row, col
    try:
        wanted_row, wanted_col = place
    except (TypeError, ValueError):
        raise InvalidArgument(reason=f"place can't be {place!r}. It is a pair: row, column.") from None
    return whole_number("the row of place", wanted_row, 0, rows - 1), whole_number(
        "the column of place", wanted_col, 0, columns - 1
    )
