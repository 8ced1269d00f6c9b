"""Changes of features when parts of an image are masked (paper, section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from unitscope.correspondence.masks import Box, masked, random_boxes
from unitscope.correspondence.signs import Key, Signs, signs_of
from unitscope.data.images import MEAN, STD, to_input
from unitscope.errors import NotFinite
from unitscope.features.choice import FeatureLayer
from unitscope.memory import run_or_halve
from unitscope.networks.features import layer_features
from unitscope.vocabulary import Channels, MaskFill

AT_ONCE = 16  # masked images per batch


class Masking:
    """Masking of the parts of images, one image after the other.

    Parameters
    ----------
    model
        network in evaluation mode, on ``device``.
    layers
        layers whose features are compared.
    size
        height and width of images, in pixels.
    parts
        names of the parts.
    draws
        number of random masks for each part.
    fill, seed
        see ``masks.masked`` and ``masks.random_boxes``.
    device, mean, std
        device of the model, and normalization of its input: see ``unitscope.data.images.to_input``.
    on_smaller
        called with the new number of images per batch when a batch doesn't fit into the device's memory.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[FeatureLayer],
        size: int,
        parts: Sequence[str],
        draws: int,
        fill: MaskFill = "grey",
        seed: int = 0,
        *,
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
        on_smaller: Callable[[int], None] = lambda at_once: None,
    ) -> None:
        self.model, self.layers, self.size, self.parts, self.draws = model, layers, size, parts, draws
        self.fill, self.seed = fill, seed
        self.device, self.mean, self.std, self.on_smaller = torch.device(device), mean, std, on_smaller
        self.at_once = AT_ONCE

    def boxes(self, part: str, boxes: Sequence[Box], image: int, draw: int) -> list[Box]:
        """Return the boxes of a part (draw 0), or random ones; ``image`` is the image's number."""
        return list(boxes) if draw == 0 else random_boxes(boxes, self.size, self.seed, part, image, draw)

    def masked(self, pixels: torch.Tensor, part: str, boxes: Sequence[Box], image: int, draw: int) -> torch.Tensor:
        """Return the image, uint8 [3, H, W], with a part masked (draw 0), or with a random mask."""
        return masked(pixels, self.boxes(part, boxes, image, draw), self.fill, self.seed)

    def run(
        self,
        pixels: torch.Tensor,
        boxes: Mapping[str, Sequence[Box]],
        image: int,
        progress: Callable[[], None] = lambda: None,
    ) -> dict[Key, Signs]:
        """Mask the parts of an image, and return the signs of e = features - features of the masked image.

        Parameters
        ----------
        pixels
            uint8 [3, H, W].
        boxes
            boxes of the image's parts, by name.
        image
            number of the image, from which its random masks follow.
        progress
            called after each batch.

        Raises
        ------
        NotFinite
            a feature is NaN or infinite.
        """
        places = [
            (number, part, draw)
            for number, part in enumerate(self.parts)
            if part in boxes
            for draw in range(self.draws + 1)
        ]
        images = [pixels, *(self.masked(pixels, part, boxes[part], image, draw) for _, part, draw in places)]
        clear: list[torch.Tensor] = []
        signs: dict[Key, Signs] = {}
        start = 0
        while start < len(images):
            batch = images[start : start + self.at_once]
            # The last batch repeats its last image, to keep the batch size.
            features = self._run(torch.stack([*batch, *[batch[-1]] * (self.at_once - len(batch))]))
            if features is None:
                continue
            self._check(features)
            clear = clear or [values[0].clone() for values in features]
            for place in range(len(batch)):
                if start + place == 0:
                    continue
                part, _, draw = places[start + place - 1]
                for layer, (values, first) in enumerate(zip(features, clear, strict=True)):
                    signs[part, layer, draw] = signs_of(first - values[place], float(first.abs().max()))
            start += len(batch)
            progress()
        return signs

    def _check(self, features: Sequence[torch.Tensor]) -> None:
        for values in features:
            finite = torch.isfinite(values)
            if not finite.all():
                raise NotFinite(where="A masked image", value=values[~finite][0].item())

    def _run(self, pixels: torch.Tensor) -> list[torch.Tensor] | None:
        """Run a batch; if it doesn't fit into memory, halve the batch size and return None."""

        def run() -> list[torch.Tensor]:
            return layer_features(self.model, self.layers, to_input(pixels, self.device, self.mean, self.std))[0]

        result, self.at_once = run_or_halve(run, self.at_once, self.device, self.on_smaller)
        return result
