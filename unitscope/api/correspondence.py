"""Correspondence of parts between images (paper, section 4.3 and Table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import Images, ImageSet, collect
from unitscope.api.network import Network, describe
from unitscope.api.progress import bar
from unitscope.arithmetic import exact_float32
from unitscope.correspondence.boxes import input_box
from unitscope.correspondence.masks import Box
from unitscope.correspondence.measure import Masking
from unitscope.correspondence.pairs import Correspondence, compare
from unitscope.correspondence.signs import Signs
from unitscope.drawing.correspondence import MOST_IMAGES, masked_figure, masked_row
from unitscope.drawing.figures import NotebookFigure
from unitscope.errors import ImageNotReadable, InvalidArgument
from unitscope.features.choice import FeatureLayer, find_feature_layers, last_convolution_and_last_hidden
from unitscope.images.decoding import BrokenImage, decode, read_file
from unitscope.vocabulary import MASK_FILLS, MaskFill

PartBoxes = Sequence[Any]  # of each image: a box (left, top, right, bottom), a list of boxes, or None


@dataclass(eq=False, repr=False, match_args=False)
class ComparedParts:
    """Result of ``compare_parts``.

    Attributes
    ----------
    images : list of str
        Paths of the images.
    layers : list of FeatureLayer
        The layers, with the modules whose outputs are compared.
    compared : dict of (str, str) to Correspondence
        By part and layer: ``pairs``, ``distances`` and ``random`` (arrays by pair), and their means.
    """

    images: list[str]
    layers: list[FeatureLayer]
    compared: dict[tuple[str, str], Correspondence]
    _rows: list[tuple[str, np.ndarray]]
    _parts: list[str]
    _draws: int
    _network: str

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary for each part and layer, like the rows of the paper's Table 1."""
        return [
            {
                "part": part,
                "layer": layer,
                "images": found.images,
                "pairs": len(found.pairs),
                "distance": found.distance,
                "spread": found.spread,
                "random_distance": found.random_distance,
                "random_spread": found.random_spread,
                "below_chance": found.below_chance,
            }
            for (part, layer), found in self.compared.items()
        ]

    def figure(self) -> NotebookFigure:
        """Draw the masked images, at most 10."""
        return masked_figure(f"{self._network}: masked parts", self._parts, self._draws, self._rows)

    def __repr__(self) -> str:
        return f"ComparedParts({self._network}, {len(self.images)} images, {', '.join(self._parts)})"


def compare_parts(
    network: Network,
    images: Images,
    parts: Mapping[str, PartBoxes],
    *,
    layers: Sequence[str | int] = (),
    draws: int = 10,
    fill: MaskFill = "grey",
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> ComparedParts:
    """Test whether masking a part of several images changes features in the same way (paper, Table 1).

    For each image, e is the change of a layer's features when the part is masked. The signs of e (-1, 0, 1) are
    compared for all pairs of images: their Hamming distance is the share of features whose signs differ. Random
    masks of the same sizes tell how large it is by chance.

    Parameters
    ----------
    network : Network
        Any network.
    images
        A folder, paths, PIL images, or arrays uint8 [H, W, 3].
    parts : mapping
        For each part a list with an entry for each image: its box (left, top, right, bottom) in pixels of the
        image, right and bottom exclusive; or a list of boxes; or None if the image doesn't show it.
    layers : sequence of str or int, optional
        Layers, as in ``measure_invariance``; by default the last convolution and the last hidden layer.
    draws : int
        Number of random masks for each image and part.
    fill : {"grey", "mean", "black", "noise"}
        Content of the masks.
    seed : int
        Seed of the random masks, and of the noise.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default if that is a terminal.

    Returns
    -------
    ComparedParts
        ``compared``, ``rows()``, ``figure()``.

    Raises
    ------
    NoSuchModule, AmbiguousLayer
        a layer does not exist.
    NoSuchFile, ImageNotReadable
        an image does not exist or can't be read.
    InvalidArgument
        another argument is not valid: a box lies outside of its image, or a part has fewer than two images.
    NotFinite
        a feature is NaN or infinite.
    """
    check_choice("fill", fill, MASK_FILLS)
    draws = whole_number("draws", draws, 1, 1000)
    seed = whole_number("seed", seed, 0, 2**63 - 1)
    chosen_device = choose_device(device)
    default = last_convolution_and_last_hidden
    chosen = find_feature_layers(describe(network), [str(layer) for layer in layers], default)
    collected = collect(images)
    names = list(parts)
    boxes = _boxes(collected, parts, network.size)
    signs: list[dict[tuple[int, int, int], Signs]] = []
    shown: list[tuple[str, np.ndarray]] = []
    with exact_float32(chosen_device), bar("correspondence", len(boxes), "images", progress) as shown_bar:
        masking = Masking(
            network.on(chosen_device),
            chosen,
            network.size,
            names,
            draws,
            fill,
            seed,
            device=chosen_device,
            mean=network.mean,
            std=network.std,
        )
        for number, of_image in enumerate(boxes):
            pixels = torch.from_numpy(collected.read(number, network.size).copy()).permute(2, 0, 1)
            signs.append(masking.run(pixels, of_image, number))
            if of_image and len(shown) < MOST_IMAGES:
                shown.append((Path(collected.name(number)).name, masked_row(masking, pixels, of_image, number)))
            shown_bar.update()
    compared = {}
    for place, part in enumerate(names):
        having = [number for number, of_image in enumerate(boxes) if part in of_image]
        for row, layer in enumerate(chosen):

            def read(
                image: int, draw: int, place: int = place, row: int = row, having: list[int] = having
            ) -> Signs:
                return signs[having[image]][place, row, draw]

            found = compare(len(having), draws, read)
            numbers = np.array(having, np.int64)[found.pairs]
            compared[part, layer.layer] = Correspondence(found.images, numbers, found.distances, found.random)
    listed = [collected.name(number) for number in range(len(boxes))]
    return ComparedParts(listed, chosen, compared, shown, names, draws, network.name)


def _boxes(collected: ImageSet, parts: Mapping[str, PartBoxes], size: int) -> list[dict[str, list[Box]]]:
    """Return for each image the boxes of its parts, in pixels of the network's input.

    Raises
    ------
    InvalidArgument
    """
    count = len(collected.sources)
    if not parts:
        raise InvalidArgument(reason="parts is empty. Give the boxes of at least one part.")
    sizes = [_size(collected, number) for number in range(count)]
    found: list[dict[str, list[Box]]] = [{} for _ in range(count)]
    for part, given in parts.items():
        if len(given) != count:
            raise InvalidArgument(reason=f"Part {part!r} has {len(given)} entries for {count} images.")
        for number, entry in enumerate(given):
            if entry is None or len(entry) == 0:
                continue
            boxes = [entry] if np.ndim(entry) == 1 else list(entry)
            width, height = sizes[number]
            try:
                found[number][part] = sorted(
                    {input_box(tuple(map(float, box)), (0, 0, width, height), size) for box in boxes}
                )  # as those of a job: the random masks follow from them
            except (TypeError, ValueError) as error:
                name = collected.name(number)
                raise InvalidArgument(reason=f"Part {part!r} of {name} can't be masked: {error}.") from error
        if sum(part in of_image for of_image in found) < 2:
            raise InvalidArgument(reason=f"Part {part!r} needs boxes in at least two images.")
    return found


def _size(collected: ImageSet, number: int) -> tuple[int, int]:
    """Return width and height of an image."""
    picture = collected.pictures.get(number)
    if isinstance(picture, Image.Image):
        return picture.size
    if picture is not None:
        return picture.shape[1], picture.shape[0]
    try:
        return decode(read_file(collected.sources[number].path), upright=True).size
    except BrokenImage as error:
        raise ImageNotReadable(path=collected.name(number), reason=error) from error
