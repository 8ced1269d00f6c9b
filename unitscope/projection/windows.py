"""Projections along a chain, confined to what the unit sees.

The deconvnet needs little of the forward pass: where each pooling found its maximum, inside the unit's receptive
field. That is worked out either on the window alone, or once for an image that serves several units, from whose
maps the windows are then gathered; whichever takes fewer multiplications. Backward, only the window is computed.
"""

from __future__ import annotations

from collections import Counter
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
from unitscope.vocabulary import Channels, ProjectionMethod

# Fixed sizes of batches, whatever is asked for: the last bits of a sum can depend on them.
IMAGES = 8
LARGEST_WINDOWS, LEAST_WINDOWS = 64, 4
BATCH_BYTES = 2**26  # of a batch's largest windows

Saved = torch.Tensor | None


class WindowProjector:
    """Projects units of the last layer of a chain.

    Parameters
    ----------
    steps
        of ``chains.chain``, on ``device``, in evaluation mode.
    counts
        how many units each image serves in all, by its id: it decides which images are run forward as a whole.
        Where it is not given, what one call asks for counts, and the last bits of its results can depend on that.
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
        self.at_once = min(max(BATCH_BYTES // largest, LEAST_WINDOWS), LARGEST_WINDOWS)
        of_whole = [_multiplications(step, self._map_after(n)) for n, step in enumerate(steps)]
        of_window = [_multiplications(step, self.sizes[n + 1]) for n, step in enumerate(steps)]
        # Up to a step, and from it on.
        self.whole = np.cumsum([0, *of_whole[:-1]])
        self.windowed = np.cumsum(of_window[::-1])[::-1]

    def project(self, pixels: Sequence[np.ndarray], requests: Requests) -> Iterator[tuple[int, Projection]]:
        """See ``projections.Projector``."""
        counts = self.counts or Counter(requests.ids.tolist())
        from_step = np.array([self._first_windowed(counts[int(image)]) for image in requests.ids])
        for first in np.unique(from_step):
            chosen = np.flatnonzero(from_step == first)
            chosen = chosen[np.argsort(requests.images[chosen], kind="stable")]
            yield from self._batched(self._windows(pixels, requests, chosen, int(first)))

    def _first_windowed(self, units: int) -> int:
        """Up to which step an image that serves so many units is run forward as a whole."""
        return int(np.argmin(self.whole + units * self.windowed))

    def _map_after(self, number: int) -> Pair:
        after = self.steps[number + 1 : number + 2]
        return after[0].size if after else (1, 1)  # of the last layer one place is wanted

    def _windows(
        self, pixels: Sequence[np.ndarray], requests: Requests, chosen: np.ndarray, first: int
    ) -> Iterator[_Windows]:
        """The windows of the chosen requests, which are in the order of their images."""
        images = requests.images[chosen]
        _, number = np.unique(images, return_inverse=True)
        for _, group in groupby(range(len(chosen)), lambda place: number[place] // IMAGES):
            places = np.array(list(group))
            wanted, local = np.unique(images[places], return_inverse=True)
            maps, saved = self._run_whole([pixels[image] for image in wanted], first)
            for start in range(0, len(places), self.at_once):
                part = slice(start, start + self.at_once)
                numbers = chosen[places[part]]
                yield self._gathered(maps, saved, torch.from_numpy(local[part]), requests.at(numbers), numbers)

    @torch.inference_mode()
    def _run_whole(self, pixels: Sequence[np.ndarray], first: int) -> tuple[torch.Tensor, list[Saved]]:
        """Run images forward up to step ``first``: its input, and what was saved on the way."""
        batch = np.zeros((IMAGES, *pixels[0].shape), np.uint8)
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
        # On the CPU: at every step it is asked whether a window leaves its map, and nothing waits for the answer.
        starts = window_starts(self.steps, torch.from_numpy(np.stack([requests.rows, requests.cols], 1)))
        images = images.to(self.device, non_blocking=True)
        first = len(saved)
        found = gather(maps, images, starts[first], self.sizes[first], self.steps[first].outside)
        gathered = [
            operation.gathered(of_step, images, starts[number : number + 2], self.sizes[number : number + 2])
            for number, (operation, of_step) in enumerate(zip(self.operations, saved, strict=False))
        ]
        units = torch.from_numpy(requests.units).to(self.device, non_blocking=True)
        return _Windows(found, gathered, starts, units, numbers)

    def _batched(self, parts: Iterator[_Windows]) -> Iterator[tuple[int, Projection]]:
        """Project parts of any size in batches of one size, the last filled up."""
        waiting: _Windows | None = None
        for part in parts:
            waiting = part if waiting is None else waiting.with_more(part)
            while len(waiting.numbers) >= self.at_once:
                yield from self._project(waiting.part(slice(self.at_once)))
                waiting = waiting.part(slice(self.at_once, None))
        if waiting is not None and len(waiting.numbers):
            yield from self._project(waiting.filled(self.at_once))

    @torch.inference_mode()
    def _project(self, windows: _Windows) -> list[tuple[int, Projection]]:
        maps, saved, starts = windows.maps, list(windows.saved), windows.starts
        for number in range(len(saved), len(self.steps)):
            operation = self.operations[number]
            if len(saved) > len(windows.saved):  # those that were gathered hold it already
                maps = self._filled(maps, number, starts, operation.step.outside)
            maps, of_step = operation.forward(maps)
            saved.append(of_step)
        each = torch.arange(len(maps), device=self.device)
        activations = maps[each, windows.units, 0, 0]
        gradient = torch.zeros_like(maps)
        gradient[each, windows.units, 0, 0] = activations
        for number in reversed(range(len(self.steps))):
            gradient = self.operations[number].backward(gradient, saved[number], self.sizes[number])
            if not isinstance(self.steps[number].module, nn.MaxPool2d):  # no switch points outside
                gradient = self._filled(gradient, number, starts, 0.0)
        found, origins = gradient.cpu().numpy(), starts[0].tolist()
        activated = activations.tolist()
        return [
            (int(number), Projection(found[place], origins[place][0], origins[place][1], activated[place]))
            for place, number in enumerate(windows.numbers)
        ]

    def _filled(
        self, maps: torch.Tensor, number: int, starts: Sequence[torch.Tensor], outside: float
    ) -> torch.Tensor:
        """Windows of a step's input, with ``outside`` where they leave the map."""
        if not self.operations[number].minds_outside:
            return maps
        within = inside(starts[number], self.sizes[number], self.steps[number].size, maps.device)
        return maps if within is None else maps.masked_fill_(~within, outside)


def _multiplications(step: Step, after: Pair) -> int:
    """Of a convolution that makes a map of this size."""
    return step.module.weight.numel() * prod(after) if isinstance(step.module, nn.Conv2d) else 0


@dataclass(frozen=True)
class _Windows:
    """Windows on their way: ``maps`` are inputs of the first step that has nothing saved. All but ``starts`` and
    ``numbers`` are on the device."""

    maps: torch.Tensor
    saved: list[Saved]
    starts: list[torch.Tensor]
    units: torch.Tensor
    numbers: np.ndarray  # of the requests

    def with_more(self, other: _Windows) -> _Windows:
        return _Windows(
            torch.cat([self.maps, other.maps]),
            [
                None if mine is None or theirs is None else torch.cat([mine, theirs])
                for mine, theirs in zip(self.saved, other.saved, strict=True)
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
        """Repeated up to ``count`` windows; ``numbers`` stays as it is."""
        places = torch.arange(count) % len(self.units)
        there = places.to(self.units.device, non_blocking=True)
        return _Windows(
            self.maps[there],
            [None if saved is None else saved[there] for saved in self.saved],
            [starts[places] for starts in self.starts],
            self.units[there],
            self.numbers,
        )


class _Operation:
    """A step forward and back. Without ``padding`` it is given windows, which hold their padding already."""

    def __init__(self, step: Step, method: ProjectionMethod) -> None:
        self.step, self.method = step, method
        self.phases = _Phases.of(step.module) if isinstance(step.module, nn.Conv2d) else None
        # For others, what is outside of the map stays there. A normalisation's derivative there must be a number.
        derived = isinstance(step.module, nn.LocalResponseNorm) and method != "deconvnet"
        self.minds_outside = derived or (step.kernel, step.padding) != ((1, 1), (0, 0))

    def forward(self, maps: torch.Tensor, padding: Pair = (0, 0)) -> tuple[torch.Tensor, Saved]:
        """The output, and what the way back needs: switches, where a ReLU let pass, a normalisation's input."""
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
            rectified = maps.clamp_(0, ceiling)  # nothing else needs what it read
            if self.method == "deconvnet":
                return rectified, None
            return rectified, let_pass(rectified, ceiling)
        if isinstance(module, nn.LocalResponseNorm):
            return module(maps), None if self.method == "deconvnet" else maps
        return module(maps), None

    def backward(self, gradient: torch.Tensor, saved: Saved, window: Pair) -> torch.Tensor:
        """What goes back to the step's input, a window of this size."""
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
            return torch.ops.aten.max_pool2d_with_indices_backward(  # accumulates where windows share a switch
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
        """Switches of whole maps as row * ``width`` of the windows + column: moving them is a subtraction then."""
        if saved is None or not isinstance(self.step.module, nn.MaxPool2d):
            return saved
        return saved // self.step.width * width + saved % self.step.width

    def gathered(
        self, saved: Saved, images: torch.Tensor, starts: Sequence[torch.Tensor], sizes: Sequence[Pair]
    ) -> Saved:
        """Windows of what was saved on whole maps; ``starts`` and ``sizes`` are of the input and of the output."""
        if saved is None:
            return None
        found = gather(saved, images, starts[1], sizes[1])
        if not isinstance(self.step.module, nn.MaxPool2d):
            return found
        origins = (starts[0][:, 0] * sizes[0][1] + starts[0][:, 1]).to(found.device, non_blocking=True)
        found -= origins[:, None, None, None]
        return found.clamp_(0, prod(sizes[0]) - 1)  # outside of the map, where nothing comes back


def _scale(norm: nn.BatchNorm2d) -> torch.Tensor:
    """What batch normalisation multiplies each map by, as if folded into its convolution."""
    assert norm.running_var is not None  # noqa: S101 - in evaluation mode
    scale = (norm.running_var + norm.eps).rsqrt()
    return (scale if norm.weight is None else scale * norm.weight)[:, None, None]


class _Phases:
    """A transposed convolution with a stride and few outputs, as an ordinary convolution.

    Each of the stride x stride phases of its output is a convolution with every stride-th weight. All phases
    together have enough outputs to fill the processor's vectors, which three colours don't.
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
        """None where it would be no gain."""
        stride = set(convolution.stride)
        plain = len(stride) == 1 and convolution.groups == 1 and set(convolution.dilation) == {1}
        if not plain or stride == {1} or convolution.in_channels >= 16:
            return None
        return cls(convolution, stride.pop())

    def transposed(self, gradient: torch.Tensor, window: Pair) -> torch.Tensor:
        """[N, outputs, h, w] -> [N, channels, *window]."""
        phases = F.conv2d(gradient, self.kernel, padding=(self.rows - 1, self.columns - 1))
        pixels = F.pixel_shuffle(phases[:, : self.channels * self.stride**2], self.stride)
        return pixels[:, :, : window[0], : window[1]]
