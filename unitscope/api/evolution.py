"""Evolution of units during training (paper, Fig. 4)."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import Images, ImageSet, SkippedImage, collect, report_skipped
from unitscope.api.network import Network, check_unit, find_convolution
from unitscope.api.progress import bar
from unitscope.api.unit_pictures import make_projector
from unitscope.arithmetic import exact_float32
from unitscope.data.images import Skipped
from unitscope.description import LayerDescription
from unitscope.drawing.evolution import LayerBlock, UnitRow, draw_block, evolution_figure, settled_figure
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.pictures import Picture
from unitscope.errors import BrokenProjection, InvalidArgument
from unitscope.evolution.projections import StrongestPictures, WrongUnitProjection
from unitscope.evolution.settling import NEVER, choose_units, settled_counts, settled_epochs
from unitscope.evolution.strongest import Strongest, strongest_activations
from unitscope.vocabulary import PROJECTION_METHODS, ProjectionMethod

COLUMNS = ("layer", "unit", "epoch", "state", "activation", "image", "class", "row", "col", "settled_epoch")
LARGEST_EPOCH = 1_000_000
CAPTION = "A row is a unit, a column an epoch. Frame: the top image last changes here. Grey is zero."


class Evolution:
    """Result of ``compare_epochs``.

    Attributes
    ----------
    epochs : list of int
        The epochs, in ascending order.
    layers : list of LayerDescription
        The searched layers.
    skipped : list of SkippedImage
        Images that could not be read, as pairs (image, reason).
    """

    def __init__(
        self,
        networks: dict[int, Network],
        layers: list[LayerDescription],
        found: dict[str, list[Strongest]],
        images: ImageSet,
        skipped: list[SkippedImage],
        projection: ProjectionMethod,
        device: torch.device,
    ) -> None:
        self.epochs, self.layers, self.skipped = list(networks), layers, skipped
        self._networks, self._found, self._images = networks, found, images
        self._projection, self._device = projection, device

    def rows(self) -> list[dict[str, Any]]:
        """Return the strongest activation of each unit at each epoch as a list of dicts.

        Each has ``layer``, ``unit`` (from 0), ``epoch``, ``state`` ("active"; "dead" if the unit is positive on no
        image; "constant" if its weights are zero; "not finite" if a value is NaN or infinite), ``activation``,
        ``image`` (path), ``class`` (name of the folder, or None), ``row``, ``col`` (position in the layer's map),
        and ``settled_epoch``, at which the unit's top image last changes. Only an active unit has an activation,
        an image and a position; only a unit that is active at the last epoch has a ``settled_epoch``.
        """
        return [row for layer in self.layers for row in self._rows(layer)]

    def _rows(self, layer: LayerDescription) -> Iterable[dict[str, Any]]:
        settled = self._settled(layer).tolist()
        for unit in range(layer.units):
            for epoch, strongest in zip(self.epochs, self._found[layer.path], strict=True):
                top, active = strongest.top, bool(strongest.active[unit])
                image = int(top.image[unit, 0])
                yield {
                    "layer": layer.label,
                    "unit": unit,
                    "epoch": epoch,
                    "state": strongest.states[unit],
                    "activation": float(top.activation[unit, 0]) if active else None,
                    "image": self._images.name(image) if active else None,
                    "class": self._images.class_of(image) if active else None,
                    "row": int(top.row[unit, 0]) if active else None,
                    "col": int(top.col[unit, 0]) if active else None,
                    "settled_epoch": None if settled[unit] == NEVER else settled[unit],
                }

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write ``rows()`` to a CSV file (UTF-8)."""
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows())

    def shares(self) -> dict[str, list[float]]:
        """Return the share of settled units (0 to 1) at each epoch, by layer.

        Counted are the units that are active at the last epoch; a layer without any is left out.
        """
        settled = {layer.label: self._settled(layer) for layer in self.layers}
        return {
            label: (settled_counts(of_layer, self.epochs) / (of_layer != NEVER).sum()).tolist()
            for label, of_layer in settled.items()
            if (of_layer != NEVER).any()
        }

    def curve(self) -> NotebookFigure:
        """Draw ``shares()`` as a matplotlib figure, a line for each layer."""
        return settled_figure(f"{self._name}: settled units", self.epochs, self.shares())

    def picture(
        self, units: int | Iterable[int] | None = None, *, draw: int = 6, seed: int = 0, cell: int = 72
    ) -> Image.Image:
        """Draw the projections of some units in the layout of the paper's Fig. 4.

        Parameters
        ----------
        units : int or iterable of int, optional
            Units of each layer; by default ``draw`` units that are active at the last epoch, chosen at random.
        draw, seed : int
            Number of these units, and the seed of the choice.
        cell : int
            Height and width of each projection, in pixels.

        Raises
        ------
        NoSuchUnit
            a layer has no such unit.
        InvalidArgument
            an argument is not valid.
        ImageNotReadable
            an image can't be read any more.
        BrokenProjection
            a projection failed its check.
        """
        draw, cell = whole_number("draw", draw, 1), whole_number("cell", cell, 8, 1000)
        with exact_float32(self._device):
            blocks = [
                draw_block(self._block(layer, self._chosen(layer, units, draw, seed)), cell)
                for layer in self.layers
            ]
        return Image.fromarray(evolution_figure(f"{self._name}: evolution of units", CAPTION, blocks))

    def _chosen(
        self, layer: LayerDescription, units: int | Iterable[int] | None, draw: int, seed: int
    ) -> list[int]:
        if units is None:
            active = self._found[layer.path][-1].active
            return choose_units(active, min(draw, layer.units), f"{seed} {layer.path}")
        listed = list(units) if isinstance(units, Iterable) else [units]
        return sorted({check_unit(layer, unit) for unit in listed})

    def _block(self, layer: LayerDescription, units: Sequence[int]) -> LayerBlock:
        columns: list[dict[int, Picture]] = []
        for network, strongest in zip(self._networks.values(), self._found[layer.path], strict=True):
            maker = StrongestPictures(
                network.on(self._device),
                layer.path,
                network.size,
                strongest,
                units,
                self._projection,
                self._device,
                network.mean,
                network.std,
            )
            columns.append(self._drawn(layer, maker, units, network.size))
        settled = self._settled(layer).tolist()
        rows = [
            UnitRow(
                unit,
                [
                    drawn[unit] if unit in drawn else strongest.states[unit]
                    for drawn, strongest in zip(columns, self._found[layer.path], strict=True)
                ],
                None if settled[unit] == NEVER else self.epochs.index(settled[unit]),
            )
            for unit in units
        ]
        return LayerBlock(layer.label, self.epochs, rows)

    def _drawn(
        self, layer: LayerDescription, maker: StrongestPictures, units: Sequence[int], size: int
    ) -> dict[int, Picture]:
        try:
            return {
                unit: picture.shown
                for unit, picture in maker.of(units, lambda image: self._images.read(image, size))
            }
        except WrongUnitProjection as wrong:
            image = self._images.name(wrong.image)
            raise BrokenProjection(unit=wrong.unit, layer=layer.label, image=image, reason=wrong) from wrong

    def _settled(self, layer: LayerDescription) -> np.ndarray:
        images = np.stack([strongest.images for strongest in self._found[layer.path]])
        return settled_epochs(images, self.epochs)

    @property
    def _name(self) -> str:
        return next(iter(self._networks.values())).name

    def __repr__(self) -> str:
        layers = ", ".join(layer.label for layer in self.layers)
        return f"Evolution({self._name} {layers}: epochs {', '.join(map(str, self.epochs))})"


def compare_epochs(
    networks: Mapping[int, Network],
    layers: str | int | Sequence[str | int],
    images: Images,
    *,
    projection: ProjectionMethod = "deconvnet",
    device: torch.device | str | None = None,
    batch_size: int = 32,
    progress: bool | None = None,
) -> Evolution:
    """Compare units at several epochs of a training: the strongest activation of each (paper, Fig. 4).

    Parameters
    ----------
    networks : mapping of int to Network
        The network with the weights of each epoch, by epoch (from 1); at least two.
    layers : str, int, or a sequence of them
        Convolutions: "conv5" or "5" if layers have names or form a chain, or module paths ("layer3.1.conv2").
    images
        The training images: see ``top9``. Unreadable images are left out with a warning: see
        ``Evolution.skipped``.
    projection : {"deconvnet", "guided", "gradient"}
        Projection method of pictures (see ``project``). Pictures are computed on request.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.
    batch_size : int
        Images per forward pass. The last bits of activations can depend on it.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default if that is a terminal.

    Returns
    -------
    Evolution
        ``rows()``, ``to_csv(path)``, ``shares()``, ``curve()``, ``picture()``.

    Raises
    ------
    NoSuchLayer, NotAConvolution, AmbiguousLayer
        a layer does not exist.
    NoSuchFile
        the folder or file does not exist.
    ImageNotReadable
        the only image can't be read.
    InvalidArgument
        another argument is not valid, the networks differ in more than weights, or no image can be read.
    UnsupportedActivation
        an activation other than a ReLU module stands before a layer: use the projection "gradient". This is known
        before the search.
    """
    check_choice("projection", projection, PROJECTION_METHODS)
    batch_size, chosen_device = whole_number("batch_size", batch_size, 1), choose_device(device)
    by_epoch = _by_epoch(networks)
    described = _layers(by_epoch, layers)
    collected = collect(images)
    skipped: list[Skipped] = []
    found: dict[str, list[Strongest]] = {layer.path: [] for layer in described}
    total = len(by_epoch) * len(collected.sources)
    with exact_float32(chosen_device), bar("evolution", total, "images", progress) as shown:
        for layer in described:  # raise before the search, not after it
            make_projector(next(iter(by_epoch.values())), layer, projection, chosen_device)
        for network in by_epoch.values():
            of_epoch = strongest_activations(
                network.on(chosen_device),
                {layer.path: layer.units for layer in described},
                collected.batches(batch_size, network.size, skipped),
                chosen_device,
                shown.update,
                network.mean,
                network.std,
            )
            for path, strongest in of_epoch.items():
                found[path].append(strongest)
    left_out = report_skipped(skipped, len(collected.sources), stacklevel=2)
    return Evolution(by_epoch, described, found, collected, left_out, projection, chosen_device)


def _by_epoch(networks: Mapping[int, Network]) -> dict[int, Network]:
    if not isinstance(networks, Mapping) or not all(isinstance(item, Network) for item in networks.values()):
        raise InvalidArgument(reason="networks must be a dict of networks by epoch: {1: network, 10: network}.")
    by_epoch = {whole_number("an epoch", epoch, 1, LARGEST_EPOCH): network for epoch, network in networks.items()}
    if len(by_epoch) < 2:
        raise InvalidArgument(
            reason="An evolution compares at least two epochs. Give the networks of two or more."
        )
    if len({(network.size, network.mean, network.std) for network in by_epoch.values()}) > 1:
        raise InvalidArgument(reason="The networks must have the same size, mean and std.")
    return dict(sorted(by_epoch.items()))


def _layers(networks: dict[int, Network], layers: str | int | Sequence[str | int]) -> list[LayerDescription]:
    """Find the layers, which must be the same in all networks; in the order of the network, each once."""
    names = [layers] if isinstance(layers, (str, int)) else list(layers)
    if not names:
        raise InvalidArgument(reason="layers is empty. Give at least one layer.")
    found = [[find_convolution(network, name) for name in names] for network in networks.values()]
    shapes = {tuple((layer.path, layer.output_shape) for layer in of_network) for of_network in found}
    if len(shapes) > 1:
        raise InvalidArgument(reason="The networks must have the same layers. Give one network at several epochs.")
    order = [layer.path for layer in next(iter(networks.values())).description.layers]
    return sorted({layer.path: layer for layer in found[0]}.values(), key=lambda layer: order.index(layer.path))
