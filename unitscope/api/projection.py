"""Projection of one activation back to the pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import ImageSet, OneImage, collect
from unitscope.api.network import Network, check_unit, find_layer
from unitscope.api.unit_pictures import empty_projections, geometry_of, make_projector
from unitscope.arithmetic import exact_float32
from unitscope.data.images import to_input
from unitscope.description import LayerDescription
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.unit_pictures import UnitPicture, unit_picture
from unitscope.drawing.units import projection_figure
from unitscope.errors import BrokenProjection, InvalidArgument, UnitNotFiring
from unitscope.geometry.receptive_fields import Window
from unitscope.layers.forms import NO_PLACE
from unitscope.layers.outputs import as_maps
from unitscope.projection.deconvnet import find_problem
from unitscope.projection.empty import WrongProjection, is_empty
from unitscope.projection.requests import Projection, Requests
from unitscope.search.search import observe, strongest
from unitscope.vocabulary import PROJECTION_METHODS, ProjectionMethod


@dataclass(eq=False, repr=False, match_args=False)
class Projected:
    """Result of ``project``.

    Attributes
    ----------
    values : numpy.ndarray
        float32 [3, H, W]: the projection, zero outside of the unit's receptive field, but not outside of the
        square of a token. It can be zero everywhere: see ``empty``.
    activation : float
        The projected activation.
    place : (int, int) or None
        Row and column of the activation in the layer's map, or on the grid of its tokens; None where it has no
        place, as in vectors and class tokens.
    method : str
        The projection method: "deconvnet", "guided" or "gradient".
    window : (int, int, int, int) or None
        Top, left, bottom, right of the receptive field in pixels, or of the square of a token; bottom and right
        are exclusive. It is not clipped to the image. None if the receptive field is the whole image or unknown.
    pixels : numpy.ndarray
        uint8 [H, W, 3]: the image, resized to the network's input size.
    layer : LayerDescription
        Layer of the unit.
    unit : int
        Index of the unit.
    image : str
        Path of the image.
    empty : str or None
        Why the projection is zero everywhere, for example "constant unit"; None if it is not.
    """

    values: np.ndarray
    activation: float
    place: tuple[int, int] | None
    window: Window | None
    pixels: np.ndarray
    layer: LayerDescription
    unit: int
    image: str
    _network: str
    empty: str | None = None
    method: ProjectionMethod = "deconvnet"

    def drawn(self) -> UnitPicture:
        """Draw the projection and the image patch in the receptive field."""
        whole = Projection(self.values, 0, 0, self.activation)
        reason = self.empty or ""
        is_token = self.layer.form is not None and self.layer.form.kind == "tokens"
        field, square = (None, self.window) if is_token else (self.window, None)
        return unit_picture(self.pixels, whole, field, self.activation, self.activation, lambda: reason, square)

    def figure(self) -> NotebookFigure:
        """Draw the image, its part in the receptive field, and the projection, as a matplotlib figure."""
        drawn = self.drawn()
        name = self.layer.name or self.layer.path
        where = f" at row {self.place[0]}, column {self.place[1]}" if self.place else ""
        return projection_figure(
            f"{self._network} {name}, unit {self.unit}: {self.activation:.4g}{where}",
            self.pixels,
            drawn.patch,
            drawn.shown,
            self.window,
            Path(self.image).name,
        )

    def __repr__(self) -> str:
        name = self.layer.name or self.layer.path
        where = f" at {self.place}" if self.place else ""
        return f"Projected({self._network} {name}, unit {self.unit}, {self.activation:.4g}{where})"


def project(
    network: Network,
    layer: str | int,
    *,
    unit: int,
    image: OneImage,
    place: tuple[int, int] | None = None,
    method: ProjectionMethod | Literal["auto"] = "auto",
    device: torch.device | str | None = None,
) -> Projected:
    """Project one activation of a unit back to the pixels of an image (paper, section 2.1).

    Parameters
    ----------
    network : Network
    layer : str or int
        A layer, as in ``top9``.
    unit : int
        Index of the unit, from 0.
    image
        A path, a PIL image, or an array uint8 [H, W, 3].
    place : (int, int), optional
        Row and column in the layer's map, or on the grid of its tokens; by default the position of the unit's
        maximum.
    method : {"auto", "deconvnet", "guided", "gradient"}
        The paper's deconvnet, guided back-propagation (Springenberg et al. 2015), or the gradient (Simonyan et al.
        2014). All are multiplied by the activation. "auto" is the deconvnet, or the gradient where an activation
        other than a ReLU module stands before the layer: see ``Projected.method``.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.

    Returns
    -------
    Projected
        ``values``, ``activation``, ``place``, ``window``, ``figure()``.

    Raises
    ------
    UnitNotFiring
        the activation is not positive.
    NoSuchLayer, AmbiguousLayer, NoSuchUnit
        the layer or the unit does not exist.
    LayerWithoutUnits
        the layer's output is no tensor of units.
    NoSuchFile, ImageNotReadable
        the image does not exist or can't be read.
    InvalidArgument
        another argument is not valid.
    UnsupportedActivation
        an activation other than a ReLU module stands before the layer: use the method "auto" or "gradient".
    NoGradient
        the network computes the layer under torch.no_grad().
    BrokenProjection
        the projection failed its check.
    """
    check_choice("method", method, ("auto", *PROJECTION_METHODS))
    chosen_device = choose_device(device)
    described = find_layer(network, layer)
    used = (described.projection("auto") if method == "auto" else method) or "gradient"
    unit = check_unit(described, unit)
    images = one_image(image)
    pixels = images.read(0, network.size)
    return project_pixels(network, described, unit, pixels, images.name(0), place, used, chosen_device)


def one_image(image: OneImage) -> ImageSet:
    """Collect an argument that must be a single image.

    Raises
    ------
    NoSuchFile
        the path does not exist.
    InvalidArgument
        there are several images, or the argument is not an image.
    """
    images = collect(image)
    if len(images.sources) != 1:
        raise InvalidArgument(reason=f"image must be a single image, not {len(images.sources)}. Give one of them.")
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
    """Project one activation of an image uint8 [H, W, 3] of the network's input size: see ``project``.

    ``name`` is the image's path in error messages.
    """
    layer_name = layer.name or layer.path
    with exact_float32(device):
        maps = _maps(network, layer, pixels, device)
        row, col = _place(maps, unit, place, layer)
        recorded = float(maps[(0, unit, *(layer.form.at(row, col) if layer.form else (row, col)))])
        if not recorded > 0:
            where = f"anywhere on {name}" if place is None else f"at row {row}, column {col} of {name}"
            raise UnitNotFiring(unit=unit, layer=layer_name, where=where)
        projector = make_projector(network, layer, method, device)
        request = Requests(*(np.array([value], np.int64) for value in (unit, 0, 0, row, col)))
        ((_, projection),) = projector.project([pixels], request)
        empty = None
        if is_empty(projection.values):
            reasons = empty_projections(network, layer, method, projector, device)
            try:
                empty = reasons.reason(projection.values, pixels, unit, row, col)
            except WrongProjection as wrong:
                raise BrokenProjection(unit=unit, layer=layer_name, image=name, reason=wrong) from wrong
    geometry = geometry_of(layer)
    window = geometry.window(row, col) if geometry else None
    square = layer.form.square(row, col, network.size) if layer.form else None
    values = projection.in_image(*pixels.shape[:2])
    values = np.zeros_like(values) if empty else values
    if problem := find_problem(values, projection.activation, recorded, float(maps.max()), window):
        raise BrokenProjection(unit=unit, layer=layer_name, image=name, reason=problem)
    return Projected(
        values,
        projection.activation,
        None if row == NO_PLACE else (row, col),
        square or window,
        pixels,
        layer,
        unit,
        name,
        network.name,
        empty,
        method,
    )


@torch.inference_mode()
def _maps(network: Network, layer: LayerDescription, pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return the layer's output for an image as maps [1, units, rows, columns]."""
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    outputs: list[torch.Tensor] = []
    observe(
        network.on(device),
        {layer.path: lambda output: outputs.append(output.clone())},
        to_input(images, device, network.mean, network.std),
    )
    return as_maps(outputs[0], layer.form)


def _place(
    maps: torch.Tensor, unit: int, place: tuple[int, int] | None, layer: LayerDescription
) -> tuple[int, int]:
    """Return the requested place, or that of the unit's maximum: see ``LayerForm``."""
    rows, columns = maps.shape[2:]
    if place is None:
        _, positions = strongest(maps)
        position = int(positions[0, unit])
        return layer.form.place(position) if layer.form else divmod(position, columns)
    if layer.form and layer.form.kind != "maps":
        if layer.form.rows is None or layer.form.columns is None:
            name = layer.name or layer.path
            raise InvalidArgument(reason=f"place can't be {place!r}: the units of layer '{name}' have no places.")
        rows, columns = layer.form.rows, layer.form.columns
    try:
        row, col = place
    except (TypeError, ValueError):
        raise InvalidArgument(reason=f"place can't be {place!r}. It must be a pair (row, column).") from None
    row = whole_number("The row of place", row, 0, rows - 1)
    return row, whole_number("The column of place", col, 0, columns - 1)
