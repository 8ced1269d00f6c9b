"""Projections of any network, by automatic differentiation of its changed copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from unitscope.data.images import MEAN, STD, to_input
from unitscope.projection.deconvnet import Deconvnet
from unitscope.projection.requests import Projection, Requests
from unitscope.vocabulary import Channels

IMAGES = 8  # at once, always: the last bits of a sum can depend on the size of a batch


class GraphProjector:
    """Projects whole images. An image that serves several units is run forward once, and back once for each."""

    def __init__(
        self,
        deconvnet: Deconvnet,
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
    ) -> None:
        self.deconvnet, self.device, self.mean, self.std = deconvnet, device, mean, std

    def project(self, pixels: Sequence[np.ndarray], requests: Requests) -> Iterator[tuple[int, Projection]]:
        """See ``projections.Projector``."""
        of_image = [np.flatnonzero(requests.images == image) for image in np.unique(requests.images)]
        of_image.sort(key=len)  # images that go back equally often run together
        for start in range(0, len(of_image), IMAGES):
            yield from self._project_images(pixels, requests, of_image[start : start + IMAGES])

    def _project_images(
        self, pixels: Sequence[np.ndarray], requests: Requests, of_image: Sequence[np.ndarray]
    ) -> Iterator[tuple[int, Projection]]:
        batch = np.zeros((IMAGES, *pixels[0].shape), np.uint8)
        batch[: len(of_image)] = [pixels[requests.images[numbers[0]]] for numbers in of_image]
        images = torch.from_numpy(batch).permute(0, 3, 1, 2)
        run = self.deconvnet.forward(to_input(images, self.device, self.mean, self.std))
        for turn in range(len(of_image[-1])):
            # An image that has had its turns repeats its last one, to no purpose but the shape.
            numbers = np.array([numbers[min(turn, len(numbers) - 1)] for numbers in of_image])
            chosen = requests.at(np.resize(numbers, IMAGES))
            places = (chosen.units, chosen.rows, chosen.cols)
            there = (torch.from_numpy(p).to(self.device, non_blocking=True) for p in places)
            projections, activations = run.project(*there)
            found, activated = projections.cpu().numpy(), activations.tolist()
            for place, number in enumerate(numbers):
                if turn < len(of_image[place]):
                    yield int(number), Projection(found[place], 0, 0, activated[place])
