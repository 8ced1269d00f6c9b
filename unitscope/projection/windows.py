"""Projections in a chain of modules, computed in the windows on which the unit depends.

Of the forward pass, the deconvnet needs only the switches inside the unit's receptive field. They are computed
either in the windows alone, or on whole maps once per image, from which windows are then gathered for all of its
units. For each image the alternative with fewer multiplications is used. The backward pass is computed in the
windows alone.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unitscope.data.images import MEAN, STD, to_input
from unitscope.geometry.chains import Step, gather, inside, window_sizes, window_starts
from unitscope.geometry.dependence import Pair
from unitscope.projection.deconvnet import let_pass
from unitscope.projection.requests import Projection, Requests
from unitscope.readings import Reading
from unitscope.vocabulary import Channels, ProjectionMethod

LEAST_WINDOWS = 4  # per batch
AHEAD = 1  # batches of a GPU whose projections are copied while the next one is computed


@dataclass(frozen=True)
class _BatchSizes:
    """Largest numbers of images and of windows in a batch, and bytes of its largest windows.

    They depend on the device alone, because the last bits of a result can depend on the batch size.
    """

    images: int
    windows: int
    bytes: int


ON_CPU = _BatchSizes(images=8, windows=64, bytes=2**26)
ON_GPU = _BatchSizes(images=32, windows=256, bytes=2**28)  # a GPU computes small batches as slowly as larger ones

Saved = torch.Tensor | None


class WindowProjector:
    """Projector for the units of the last layer of a chain.

    Parameters
    ----------
    steps
        result of ``chains.chain``; modules in evaluation mode, on ``device``.
    method
        see ``unitscope.vocabulary.ProjectionMethod``.
    counts
        number of requests for each image in total, by image id. It determines up to which step whole maps are
        computed. If None, the requests of each call are counted, and the last bits of projections can depend on
        which requests are made in the same call.
    device
        device to compute on.
    mean, std
        the input's normalization by channel: see ``unitscope.data.images.to_input``.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        method: ProjectionMethod = "deconvnet",
        counts: dict[int, int] | None = None,
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
    ) -> None:
        self.operations = [_Operation(step, method) for step in steps]
        self.steps, self.counts = steps, counts
        self.device, self.mean, self.std = torch.device(device), mean, std
        self.sizes = window_sizes(steps)
        largest = max(4 * step.channels * prod(size) for step, size in zip(steps, self.sizes, strict=False))
        self.batch = ON_GPU if self.device.type == "cuda" else ON_CPU
        self.at_once = min(max(self.batch.bytes // largest, LEAST_WINDOWS), self.batch.windows)
        of_whole = [_multiplications(step, self._map_after(n)) for n, step in enumerate(steps)]
        of_window = [_multiplications(step, self.sizes[n + 1]) for n, step in enumerate(steps)]
        # Multiplications of an image before each step, and of a window from each step on.
        self.whole = np.cumsum([0, *of_whole[:-1]])
        self.windowed = np.cumsum(of_window[::-1])[::-1]

    def project(self, pixels: Sequence[np.ndarray], requests: Requests) -> Iterator[tuple[int, Projection]]:
        """Project the requested activations: see ``requests.Projector``."""
        counts = self.counts or Counter(requests.ids.tolist())
        from_step = np.array([self._first_windowed(counts[int(image)]) for image in requests.ids])
        for first in np.unique(from_step):
            chosen = np.flatnonzero(from_step == first)
            chosen = chosen[np.argsort(requests.images[chosen], kind="stable")]
            yield from self._batched(self._windows(pixels, requests, chosen, int(first)))

    def _first_windowed(self, units: int) -> int:
        """Return the step before which whole maps are computed for an image with this number of requests."""
        return int(np.argmin(self.whole + units * self.windowed))

    def _map_after(self, number: int) -> Pair:
        after = self.steps[number + 1 : number + 2]
        return after[0].size if after else (1, 1)  # one position of the last layer is projected

    def _windows(
        self, pixels: Sequence[np.ndarray], requests: Requests, chosen: np.ndarray, first: int
    ) -> Iterator[_Windows]:
        """Iterate over the windows of the chosen requests, which are sorted by image."""
        images = requests.images[chosen]
        _, number = np.unique(images, return_inverse=True)
        for _, group in groupby(range(len(chosen)), lambda index: number[index] // self.batch.images):
            indices = np.array(list(group))
            in_group, local = np.unique(images[indices], return_inverse=True)
            maps, saved = self._run_whole([pixels[image] for image in in_group], first)
            for start in range(0, len(indices), self.at_once):
                part = slice(start, start + self.at_once)
                numbers = chosen[indices[part]]
                yield self._gathered(maps, saved, torch.from_numpy(local[part]), requests.at(numbers), numbers)

    @torch.inference_mode()
    def _run_whole(self, pixels: Sequence[np.ndarray], first: int) -> tuple[torch.Tensor, list[Saved]]:
        """Run images forward up to step ``first``; return its input, and what each earlier step saved."""
        batch = np.zeros((self.batch.images, *pixels[0].shape), np.uint8)
        batch[: len(pixels)] = pixels
        maps = to_input(torch.from_numpy(batch).permute(0, 3, 1, 2), self.device, self.mean, self.std)
        saved: list[Saved] = []
        for number, operation in enumerate(self.operations[:first]):
            maps, of_step = operation.forward(maps, operation.step.padding)
            saved.append(operation.in_window(of_step, self.sizes[number][1]))
        return maps, saved

    @torch.inference_mode()
    def _gathered(
        self,
        maps: torch.Tensor,
        saved: list[Saved],
        images: torch.Tensor,
        requests: Requests,
        numbers: np.ndarray,
    ) -> _Windows:
        # On the CPU, because every step checks whether windows exceed their map: see ``chains.inside``.
        starts = window_starts(self.steps, torch.from_numpy(np.stack([requests.rows, requests.cols], 1)))
        images = images.to(self.device, non_blocking=True)
        first = len(saved)
        windows = gather(maps, images, starts[first], self.sizes[first], self.steps[first].outside)
        gathered = [
            operation.gathered(of_step, images, starts[number : number + 2], self.sizes[number : number + 2])
            for number, (operation, of_step) in enumerate(zip(self.operations, saved, strict=False))
        ]
        units = torch.from_numpy(requests.units).to(self.device, non_blocking=True)
        return _Windows(windows, gathered, starts, units, numbers)

    def _batched(self, parts: Iterator[_Windows]) -> Iterator[tuple[int, Projection]]:
        """Project parts of any size in batches of one size."""
        running: deque[_Batch] = deque()
        ahead = AHEAD if self.device.type == "cuda" else 0
        for windows in self._of_one_size(parts):
            running.append(self._project(windows))
            if len(running) > ahead:
                yield from running.popleft().projections()
        for batch in running:
            yield from batch.projections()

    def _of_one_size(self, parts: Iterator[_Windows]) -> Iterator[_Windows]:
        """Divide parts of any size into parts of ``at_once`` windows; the last one is filled up."""
        waiting: _Windows | None = None
        for part in parts:
            waiting = part if waiting is None else waiting.with_more(part)
            while len(waiting.numbers) >= self.at_once:
                yield waiting.part(slice(self.at_once))
                waiting = waiting.part(slice(self.at_once, None))
        if waiting is not None and len(waiting.numbers):
            yield waiting.filled(self.at_once)

    @torch.inference_mode()
    def _project(self, windows: _Windows) -> _Batch:
        maps, saved, starts = windows.maps, list(windows.saved), windows.starts
        for number in range(len(saved), len(self.steps)):
            operation = self.operations[number]
            if len(saved) > len(windows.saved):  # gathered windows have their padding already
                maps = self._filled(maps, number, starts, operation.step.outside)
            maps, of_step = operation.forward(maps)
            saved.append(of_step)
        each = torch.arange(len(maps), device=self.device)
        activations = maps[each, windows.units, 0, 0]
        gradient = torch.zeros_like(maps)
        gradient[each, windows.units, 0, 0] = activations
        for number in reversed(range(len(self.steps))):
            gradient = self.operations[number].backward(gradient, saved[number], self.sizes[number])
            if not isinstance(self.steps[number].module, nn.MaxPool2d):  # switches never point outside of the map
                gradient = self._filled(gradient, number, starts, 0.0)
        return _Batch(windows.numbers, starts[0], Reading(gradient), Reading(activations))

    def _filled(
        self, maps: torch.Tensor, number: int, starts: Sequence[torch.Tensor], outside: float
    ) -> torch.Tensor:
        """Fill windows of a step's input with ``outside`` where they exceed the map, in place."""
        if not self.operations[number].needs_padding:
            return maps
        within = inside(starts[number], self.sizes[number], self.steps[number].size, maps.device)
        return maps if within is None else maps.masked_fill_(~within, outside)


def _multiplications(step: Step, after: Pair) -> int:
    """Return the multiplications of a convolution whose output has this size; 0 for other modules."""
    return step.module.weight.numel() * prod(after) if isinstance(step.module, nn.Conv2d) else 0


@dataclass(frozen=True)
class _Windows:
    """Windows of several requests in the forward pass.

    ``maps`` are the inputs of step ``len(saved)``, ``saved`` is what the steps before it saved for the backward
    pass. All but ``starts`` and ``numbers`` are on the device.
    """

    maps: torch.Tensor
    saved: list[Saved]
    starts: list[torch.Tensor]  # of each step's window: first row and column, int64 [N, 2]
    units: torch.Tensor
    numbers: np.ndarray  # indices of the requests

    def with_more(self, other: _Windows) -> _Windows:
        return _Windows(
            torch.cat([self.maps, other.maps]),
            [
                None if first is None or second is None else torch.cat([first, second])
                for first, second in zip(self.saved, other.saved, strict=True)
            ],
            [torch.cat(pair) for pair in zip(self.starts, other.starts, strict=True)],
            torch.cat([self.units, other.units]),
            np.concatenate([self.numbers, other.numbers]),
        )

    def part(self, part: slice) -> _Windows:
        return _Windows(
            self.maps[part],
            [None if saved is None else saved[part] for saved in self.saved],
            [starts[part] for starts in self.starts],
            self.units[part],
            self.numbers[part],
        )

    def filled(self, count: int) -> _Windows:
        """Repeat windows up to ``count``; ``numbers`` is not repeated, so that the copies give no projections."""
        indices = torch.arange(count) % len(self.units)
        on_device = indices.to(self.units.device, non_blocking=True)
        return _Windows(
            self.maps[on_device],
            [None if saved is None else saved[on_device] for saved in self.saved],
            [starts[indices] for starts in self.starts],
            self.units[on_device],
            self.numbers,
        )


@dataclass(frozen=True)
class _Batch:
    """Projections of a batch that are being computed, or copied from the device."""

    numbers: np.ndarray  # indices of the requests
    origins: torch.Tensor  # int64 [N, 2]
    values: Reading  # float32 [N, 3, rows, columns]
    activations: Reading  # float32 [N]

    def projections(self) -> Iterator[tuple[int, Projection]]:
        values, activations = self.values.array(), self.activations.array().tolist()
        for index, number in enumerate(self.numbers):
            top, left = self.origins[index].tolist()
            yield int(number), Projection(values[index], top, left, activations[index])


class _Operation:
    """Forward and backward pass of a step, on whole maps, or on windows, which contain their padding."""

    def __init__(self, step: Step, method: ProjectionMethod) -> None:
        self.step, self.method = step, method
        self.phases = _Phases.of(step.module) if isinstance(step.module, nn.Conv2d) else None
        # Other steps are pointwise, so that values outside of the map have no effect inside. The derivative of a
        # normalization must be finite outside of the map, too.
        derived = isinstance(step.module, nn.LocalResponseNorm) and method != "deconvnet"
        self.needs_padding = derived or (step.kernel, step.padding) != ((1, 1), (0, 0))

    def forward(self, maps: torch.Tensor, padding: Pair = (0, 0)) -> tuple[torch.Tensor, Saved]:
        """Return the output, and what the backward pass needs: switches, ReLU mask, or normalization input."""
        step, module = self.step, self.step.module
        if isinstance(module, nn.Conv2d):
            weight, bias = module.weight, module.bias
            return F.conv2d(maps, weight, bias, step.stride, padding, step.dilation, module.groups), None
        if isinstance(module, nn.MaxPool2d):
            whole = module.ceil_mode and padding is step.padding
            return F.max_pool2d(maps, step.kernel, step.stride, padding, step.dilation, whole, return_indices=True)
        if isinstance(module, nn.AvgPool2d):
            return F.avg_pool2d(maps, step.kernel, step.stride, padding), None
        if isinstance(module, (nn.ReLU, nn.ReLU6)):
            ceiling = 6.0 if isinstance(module, nn.ReLU6) else None
            rectified = maps.clamp_(0, ceiling)  # in place: no other step reads the input
            if self.method == "deconvnet":
                return rectified, None
            return rectified, let_pass(rectified, ceiling)
        if isinstance(module, nn.LocalResponseNorm):
            return module(maps), None if self.method == "deconvnet" else maps
        return module(maps), None

    def backward(self, gradient: torch.Tensor, saved: Saved, window: Pair) -> torch.Tensor:
        """Return the gradient of the step's input, for a window of this size."""
        step, module = self.step, self.step.module
        if isinstance(module, nn.Conv2d):
            if self.phases:
                return self.phases.transposed(gradient, window)
            return F.conv_transpose2d(
                gradient, module.weight, None, step.stride, 0, 0, module.groups, step.dilation
            )
        if isinstance(module, nn.MaxPool2d):
            shape = torch.empty(
                *gradient.shape[:2], *window, device=gradient.device, memory_format=torch.channels_last
            )
            # Accumulates where pooling windows share a switch.
            return torch.ops.aten.max_pool2d_with_indices_backward(
                gradient, shape, step.kernel, step.stride, (0, 0), step.dilation, False, saved
            )
        if isinstance(module, nn.AvgPool2d):
            share = gradient.new_full((gradient.shape[1], 1, *step.kernel), 1 / prod(step.kernel))
            return F.conv_transpose2d(gradient, share, None, step.stride, groups=gradient.shape[1])
        if isinstance(module, (nn.ReLU, nn.ReLU6)):
            if self.method != "gradient":
                gradient = gradient.clamp_(min=0)
            return gradient if saved is None else gradient * saved
        if isinstance(module, nn.BatchNorm2d):
            return gradient * _scale(module)
        if isinstance(module, nn.LocalResponseNorm) and saved is not None:
            with torch.inference_mode(False), torch.enable_grad():
                maps = saved.clone().requires_grad_(True)
                return torch.autograd.grad(module(maps), maps, gradient.clone())[0]
        return gradient

    def in_window(self, saved: Saved, width: int) -> Saved:
        """Encode switches of whole maps as row * ``width`` of the windows + column.

        ``gathered`` then shifts them to a window's origin with one subtraction.
        """
        if saved is None or not isinstance(self.step.module, nn.MaxPool2d):
            return saved
        return saved // self.step.width * width + saved % self.step.width

    def gathered(
        self, saved: Saved, images: torch.Tensor, starts: Sequence[torch.Tensor], sizes: Sequence[Pair]
    ) -> Saved:
        """Gather windows of what was saved on whole maps; ``starts`` and ``sizes``: of input and output."""
        if saved is None:
            return None
        windows = gather(saved, images, starts[1], sizes[1])
        if not isinstance(self.step.module, nn.MaxPool2d):
            return windows
        origins = (starts[0][:, 0] * sizes[0][1] + starts[0][:, 1]).to(windows.device, non_blocking=True)
        windows -= origins[:, None, None, None]
        return windows.clamp_(0, prod(sizes[0]) - 1)  # switches outside of the map, whose gradient is zero


def _scale(norm: nn.BatchNorm2d) -> torch.Tensor:
    """Return the factor by which batch normalization in evaluation mode multiplies each map: [channels, 1, 1]."""
    assert norm.running_var is not None  # noqa: S101 - in evaluation mode
    scale = (norm.running_var + norm.eps).rsqrt()
    return (scale if norm.weight is None else scale * norm.weight)[:, None, None]


class _Phases:
    """Transposed convolution with a stride and few output channels, computed as an ordinary convolution.

    Each of the stride x stride phases of the output is a convolution with every stride-th weight. Together, the
    phases have enough channels to fill a processor's vector registers; the three channels of an image don't.
    """

    def __init__(self, convolution: nn.Conv2d, stride: int) -> None:
        weight = convolution.weight.detach()
        outputs, channels, rows, columns = weight.shape
        self.stride, self.channels = stride, channels
        self.rows, self.columns = -(-rows // stride), -(-columns // stride)
        together = channels * stride * stride
        kernel = weight.new_zeros(-(-together // 16) * 16, outputs, self.rows, self.columns)
        for row in range(stride):
            for col in range(stride):
                phase = weight[:, :, row::stride, col::stride].flip(2, 3).transpose(0, 1)
                numbers = torch.arange(channels) * stride * stride + row * stride + col
                kernel[numbers, :, self.rows - phase.shape[2] :, self.columns - phase.shape[3] :] = phase
        self.kernel = kernel.contiguous(memory_format=torch.channels_last)

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> _Phases | None:
        """Make the phases of a convolution; None where they don't apply or would not be faster."""
        stride = set(convolution.stride)
        plain = len(stride) == 1 and convolution.groups == 1 and set(convolution.dilation) == {1}
        if not plain or stride == {1} or convolution.in_channels >= 16:
            return None
        return cls(convolution, stride.pop())

    def transposed(self, gradient: torch.Tensor, window: Pair) -> torch.Tensor:
        """Map gradients [N, outputs, h, w] to [N, channels, *window]."""
        phases = F.conv2d(gradient, self.kernel, padding=(self.rows - 1, self.columns - 1))
        pixels = F.pixel_shuffle(phases[:, : self.channels * self.stride**2], self.stride)
        return pixels[:, :, : window[0], : window[1]]
