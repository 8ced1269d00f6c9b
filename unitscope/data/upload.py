"""Batches of pixels on their way to the device, the next one copied while the network computes."""

from __future__ import annotations

from collections import deque

import torch

from unitscope.data.images import MEAN, STD, to_input
from unitscope.vocabulary import Channels

AHEAD = 4  # batches that may be queued on a GPU before the reader has to wait


class Uploader:
    """Makes a network's input of pixels: see ``images.to_input``.

    On a GPU the copy has a stream of its own and begins in pinned memory, so that neither the copy waits for the
    network nor the reader for the copy.
    """

    def __init__(self, device: torch.device | str, mean: Channels = MEAN, std: Channels = STD) -> None:
        self.device, self.mean, self.std = torch.device(device), mean, std
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._queued: deque[torch.cuda.Event] = deque()

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 [N, 3, H, W] -> float32 on the device."""
        if self._stream is not None:
            pixels = self._copy(pixels, self._stream)
        return to_input(pixels, self.device, self.mean, self.std)

    def _copy(self, pixels: torch.Tensor, copying: torch.cuda.Stream) -> torch.Tensor:
        computing = torch.cuda.current_stream(self.device)
        before = torch.cuda.Event(blocking=True)  # the reader sleeps, and leaves its core to those who decode
        before.record(computing)
        self._queued.append(before)
        if len(self._queued) > AHEAD:
            self._queued.popleft().synchronize()
        with torch.cuda.stream(copying):
            there = pixels.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(copying)
        there.record_stream(computing)  # or its memory could be used again too early
        return there
