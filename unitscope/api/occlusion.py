"""Occlusion sweep of an image (paper, section 4.2 and Fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import OneImage
from unitscope.api.network import Network, check_unit, find_class, find_convolution, last_convolution
from unitscope.api.progress import bar
from unitscope.api.projection import one_image, project_pixels
from unitscope.arithmetic import exact_float32
from unitscope.data.images import to_input
from unitscope.description import LayerDescription
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.occlusion import OcclusionFigure, occlusion_figure
from unitscope.errors import UnitNotFiring, UnsupportedActivation
from unitscope.occlusion.arrays import ARRAYS
from unitscope.occlusion.engines import choose_engine
from unitscope.occlusion.occluders import Grid, filling
from unitscope.occlusion.sweep import OcclusionMaps, Sweep
from unitscope.vocabulary import ENGINES, FILLS, Engine, Fill


@dataclass(eq=False, repr=False, match_args=False)
class Occluded:
    """Result of ``occlude``.

    Attributes
    ----------
    maps : OcclusionMaps
        Arrays [rows, columns] by position of the square: ``activation`` (float32: sum over the unit's map after
        its ReLU), ``probability`` (float32: of the class ``label``), ``target_probability`` (float32, or None),
        ``classes`` (int32: most probable class), ``computed`` (bool: true everywhere). ``starts`` (int64)
        are the square's first rows, equal to its first columns, in pixels. ``clear_activation``,
        ``clear_probability`` and ``clear_class`` are values of the image without the square; ``unit`` is the
        observed unit.
    label : int
        Index of the class used as the true one.
    target : int or None
        Index of the target class.
    class_names : tuple of str
        Class names by index; the index as text for a class without a name.
    layer : LayerDescription
        The observed layer.
    engine : str
        "full" or "incremental".
    engine_reason : str
        Reason for the choice of the engine.
    pixels : numpy.ndarray
        uint8 [H, W, 3]: the image, resized to the network's input size.
    filled : numpy.ndarray
        uint8 [H, W, 3]: the pixels that replace those of the image inside the square.
    image : str
        Path of the image.
    """

    maps: OcclusionMaps
    label: int
    target: int | None
    class_names: tuple[str, ...]
    layer: LayerDescription
    engine: str
    engine_reason: str
    pixels: np.ndarray
    filled: np.ndarray
    image: str
    _network: Network
    _device: torch.device

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the maps and ``starts`` as arrays by name, for ``numpy.savez``, without those that are None."""
        return {name: values for name, values in vars(self.maps).items() if name in ARRAYS and values is not None}

    def figure(self) -> NotebookFigure:
        """Draw a figure like the paper's Fig. 7.

        It has the image with the square, and the maps of the unit's activation, of the probabilities, and of the
        most probable class. The unit's projection is included if the unit is active and the network has a
        deconvnet.

        Raises
        ------
        BrokenProjection
            the unit's projection failed its check.
        """
        projection, patch = self._projection()
        names = self.class_names
        return occlusion_figure(
            OcclusionFigure(
                image=self.pixels,
                maps=self.maps,
                title=f"{self._network.name}: {Path(self.image).name}",
                class_name=names[self.label],
                target_name=None if self.target is None else names[self.target],
                class_names=names,
                layer=self.layer.name or self.layer.path,
                filled=self.filled,
                projection=projection,
                patch=patch,
            )
        )

    def _projection(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        unit, pixels = self.maps.unit, self.pixels
        try:
            projected = project_pixels(
                self._network, self.layer, unit, pixels, self.image, None, "deconvnet", self._device
            )
        except (UnitNotFiring, UnsupportedActivation):
            return None, None
        drawn = projected.drawn()
        return drawn.shown, drawn.patch

    def __repr__(self) -> str:
        name, square = self.layer.name or self.layer.path, f"{self.maps.patch} px"
        return f"Occluded({self._network.name}, {self.image}, square of {square}, {name} unit {self.maps.unit})"


def occlude(
    network: Network,
    image: OneImage,
    *,
    label: int | str | None = None,
    layer: str | int | None = None,
    unit: int | None = None,
    target: int | str | None = None,
    patch: int = 32,
    stride: int = 8,
    fill: Fill = "grey",
    engine: Engine = "auto",
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> Occluded:
    """Measure which parts of an image a prediction depends on, by hiding them with a square (paper, section 4.2).

    Parameters
    ----------
    network : Network
        A classifier: its output is logits [N, classes].
    image
        A path, a PIL image, or an array uint8 [H, W, 3].
    label : int or str, optional
        True class, by index or name; by default the most probable one.
    layer : str or int, optional
        A convolution, as in ``top9``; by default the last one.
    unit : int, optional
        Unit to observe; by default the one with the largest maximum on the image without the square.
    target : int or str, optional
        Another class whose probability is recorded.
    patch, stride : int
        Side of the square, and distance of its positions, in pixels of the network's input.
    fill : {"grey", "mean", "black", "noise", "blur"}
        Content of the square: a grey of 128, the mean of the image by channel, black, uniform noise, or the
        blurred image.
    engine : {"auto", "full", "incremental"}
        "full" runs a full forward pass for each position; "incremental" recomputes only what the square can
        change, with equal results up to float32 rounding; "auto" uses the cheaper. For a network that
        "incremental" doesn't support, "full" is used.
    seed : int
        Seed of the noise.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default if that is a terminal.

    Returns
    -------
    Occluded
        ``maps``, ``arrays()``, ``figure()``.

    Raises
    ------
    NoSuchLayer, NotAConvolution, AmbiguousLayer, NoSuchUnit
        the layer or the unit does not exist.
    NoSuchFile, ImageNotReadable
        the image does not exist or can't be read.
    InvalidArgument
        another argument is not valid, or the network is not a classifier.
    NotFinite
        an activation or probability is NaN or infinite.
    """
    check_choice("fill", fill, FILLS)
    check_choice("engine", engine, ENGINES)
    chosen_device = choose_device(device)
    described = last_convolution(network) if layer is None else find_convolution(network, layer)
    class_names = tuple(network.class_name(index) for index in range(network.classes))
    unit = None if unit is None else check_unit(described, unit)
    true = None if label is None else find_class(network, "label", label)
    other = None if target is None else find_class(network, "target", target)
    grid = Grid(network.size, whole_number("patch", patch, 1, network.size), whole_number("stride", stride, 1))
    seed = whole_number("seed", seed, 0, 2**63 - 1)
    images = one_image(image)
    pixels = images.read(0, network.size)
    batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    with exact_float32(chosen_device), bar("occlude", None, "batches", progress) as shown:
        choice = choose_engine(network.on(chosen_device), described.path, grid, engine)
        if true is None:
            true = _most_probable(network, batch, chosen_device)
        sweep = Sweep(
            choice.engine,
            fill,
            seed,
            unit=unit,
            target=other,
            together=1,
            device=chosen_device,
            mean=network.mean,
            std=network.std,
        )
        (maps,) = sweep.run(batch, [true], shown.update)
    filled = filling(batch, fill, grid.patch, seed)[0].permute(1, 2, 0).numpy()
    return Occluded(
        maps,
        true,
        other,
        class_names,
        described,
        choice.engine.name,
        choice.reason,
        pixels,
        filled,
        images.name(0),
        _network=network,
        _device=chosen_device,
    )


@torch.inference_mode()
def _most_probable(network: Network, images: torch.Tensor, device: torch.device) -> int:
    """Return the index of the most probable class for an image uint8 [1, 3, H, W]."""
    outputs = network.on(device)(to_input(images, device, network.mean, network.std))
    return int(outputs.argmax(1)[0])
