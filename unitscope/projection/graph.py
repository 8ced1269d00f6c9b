"""Projections of any network, by automatic differentiation of its deconvnet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from unitscope.data.images import MEAN, STD, to_input
from unitscope.projection.deconvnet import Deconvnet
from unitscope.projection.requests import Projection, Requests
from unitscope.vocabulary import Channels

IMAGES = 8  # per batch. Fixed, because the last bits of a result can depend on the batch size


class GraphProjector:
    """Projector that computes whole images: one forward pass per image, and one backward pass per request."""

    def __init__(
        self,
        deconvnet: Deconvnet,
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
    ) -> None:
        self.deconvnet, self.device, self.mean, self.std = deconvnet, device, mean, std

    def project(self, pixels: Sequence[np.ndarray], requests: Requests) -> Iterator[tuple[int, Projection]]:
        """Project the requested activations: see ``requests.Projector``."""
        of_image = [np.flatnonzero(requests.images == image) for image in np.unique(requests.images)]
        of_image.sort(key=len)  # batches of images with about equally many requests
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
            # An image without further requests repeats its last one, to keep the batch size.
            numbers = np.array([numbers[min(turn, len(numbers) - 1)] for numbers in of_image])
            chosen = requests.at(np.resize(numbers, IMAGES))
            arrays = (chosen.units, chosen.rows, chosen.cols)
            on_device = (torch.from_numpy(a).to(self.device, non_blocking=True) for a in arrays)
            projections, activations = run.project(*on_device)
            values, projected = projections.cpu().numpy(), activations.tolist()
            for index, number in enumerate(numbers):
                if turn < len(of_image[index]):
                    yield int(number), Projection(values[index], 0, 0, projected[index])
