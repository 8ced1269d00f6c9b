"""One unit's pictures: patch and projection of each of its top images, every projection checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from worker.vision import pictures
from worker.vision.deconvnet import Deconvnet, why_wrong
from worker.vision.geometry import Geometry
from worker.vision.images import MEAN, STD, ByChannel, to_input
from worker.vision.pictures import Picture


@dataclass(frozen=True)
class UnitPictures:
    """Of each top image, best first: the patch, the projection as drawn, and the projection's scale."""

    patches: list[Picture]
    projections: list[Picture]
    scales: list[float]

    def mosaics(self, top: int) -> tuple[Picture, Picture]:
        """The patches, and the projections, as square as may be: 3 x 3 for nine."""
        return _mosaic(self.patches, top), _mosaic(self.projections, top)


class WrongProjection(Exception):
    """The projection of the image at ``place`` failed its check."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(reason)
        self.place, self.reason = place, reason


def unit_pictures(
    deconvnet: Deconvnet,
    geometry: Geometry | None,
    unit: int,
    images: list[np.ndarray],
    rows: np.ndarray,
    cols: np.ndarray,
    recorded: np.ndarray,
    largest: float,
    top: int,
    device: torch.device | str = "cpu",
    mean: ByChannel = MEAN,
    std: ByChannel = STD,
) -> UnitPictures:
    """Project a unit's top images and cut patches and projections to its receptive field.

    Parameters
    ----------
    images
        uint8 [H, W, 3] each, as the network sees them; ``top`` of them at most.
    rows, cols, recorded
        for each image where the unit's maximum is, and the activation that was recorded there.
    largest
        largest activation recorded in the layer: see ``deconvnet.why_wrong``.
    mean, std
        the input's normalisation: see ``images.to_input``.

    Raises
    ------
    WrongProjection
    """
    count = len(images)
    # Always a batch of ``top``: the last bits of a projection must not depend on how many images a unit has.
    pixels = np.zeros((top, *images[0].shape), np.uint8)
    pixels[:count] = images
    places = np.zeros((2, top), np.int64)
    places[:, :count] = rows, cols
    projections, activations = deconvnet.project(
        to_input(torch.from_numpy(pixels).permute(0, 3, 1, 2), device, mean, std),
        torch.full((top,), unit, device=device),
        *torch.from_numpy(places).to(device),
    )
    projected, activated = projections.cpu().numpy(), activations.tolist()
    result = UnitPictures([], [], [])
    for place in range(count):
        window = geometry.window(int(rows[place]), int(cols[place])) if geometry else None
        wrong = why_wrong(projected[place], activated[place], float(recorded[place]), largest, window)
        if wrong:
            raise WrongProjection(place, wrong)
        drawn, scale = pictures.draw_projection(projected[place])
        result.patches.append(pictures.cut(images[place], window))
        result.projections.append(pictures.cut(drawn, window))
        result.scales.append(scale)
    return result


def _mosaic(drawn: list[Picture], top: int) -> Picture:
    cell = pictures.mosaic_cell(drawn[0].shape[0])
    missing = [pictures.empty(cell)] * (top - len(drawn))
    return pictures.mosaic(drawn + missing, int(np.ceil(np.sqrt(top))), cell)
