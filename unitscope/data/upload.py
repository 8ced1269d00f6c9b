"""Asynchronous upload of batches to a device."""

from __future__ import annotations

from collections import deque

import torch

from unitscope.data.images import MEAN, STD, to_input
from unitscope.vocabulary import Channels

AHEAD = 4  # batches that may be queued on a GPU before the next upload blocks


class Uploader:
    """Copy pixels to a device and normalize them (``images.to_input``).

    For a GPU, pixels are copied from pinned memory on a separate stream, so that the copy overlaps with
    computation and doesn't block the caller.
    """

    def __init__(self, device: torch.device | str, mean: Channels = MEAN, std: Channels = STD) -> None:
        self.device, self.mean, self.std = torch.device(device), mean, std
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._queued: deque[torch.cuda.Event] = deque()

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the network's input, float32 [N, 3, H, W] on the device, for pixels uint8 [N, 3, H, W]."""
        if self._stream is not None:
            pixels = self._copy(pixels, self._stream)
        return to_input(pixels, self.device, self.mean, self.std)

    def _copy(self, pixels: torch.Tensor, copying: torch.cuda.Stream) -> torch.Tensor:
        computing = torch.cuda.current_stream(self.device)
        before = torch.cuda.Event(blocking=True)  # sleep instead of spinning: decoding threads need the core
        before.record(computing)
        self._queued.append(before)
        if len(self._queued) > AHEAD:
            self._queued.popleft().synchronize()
        with torch.cuda.stream(copying):
            uploaded = pixels.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(copying)
        uploaded.record_stream(computing)  # otherwise its memory could be reused too early
        return uploaded
