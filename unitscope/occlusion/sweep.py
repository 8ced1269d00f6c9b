"""Occlusion sweeps (paper, section 4.2 and Fig. 7): a square is moved over an image.

For each position of the square, one forward pass gives the activation of a unit, the probability of the true
class, and the most probable class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from unitscope.data.images import MEAN, STD, to_input
from unitscope.errors import NotFinite
from unitscope.memory import run_or_halve
from unitscope.occlusion.coarse_to_fine import Surfaces, coarse_to_fine, everywhere
from unitscope.occlusion.engines import Clear, Engine
from unitscope.occlusion.occluders import filling
from unitscope.vocabulary import Channels, Fill

MEMORY = 2**30  # bytes
LARGEST_BATCH, LARGEST_GPU_BATCH = 128, 512  # occluded images: larger batches are no faster
APPROXIMATE_BATCH = 32
MOST_IMAGES = 16


@dataclass(frozen=True)
class OcclusionMaps:
    """Results of the sweep of an image: arrays [rows, columns] by position of the square.

    Activations are sums over the unit's map after its ReLU; probabilities are from 0 to 1. ``clear_...`` are
    values of the image without the square.
    """

    starts: np.ndarray  # int64 [positions]: first rows of the square, equal to its first columns, in pixels
    patch: int  # side of the square, in pixels
    unit: int
    clear_activation: float
    clear_probability: float  # of the true class
    clear_class: int  # index of the most probable class
    clear_target_probability: float | None
    activation: np.ndarray  # float32
    probability: np.ndarray  # float32, of the true class
    target_probability: np.ndarray | None  # float32; None if no target was given
    classes: np.ndarray  # int32: index of the most probable class
    computed: np.ndarray  # bool: false where interpolated
    error: float | None  # of interpolated positions, as a share of a map's range: see ``coarse_to_fine``

    def centres_inside(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """Return the positions whose square has its centre inside a box: bool [rows, columns].

        ``box`` is (left, top, right, bottom) in pixels of the network's input.
        """
        left, top, right, bottom = box
        centres = self.starts + self.patch / 2
        rows, cols = (centres >= top) & (centres < bottom), (centres >= left) & (centres < right)
        return rows[:, None] & cols[None, :]

    @property
    def correlation(self) -> float | None:
        """Pearson correlation of activation and probability over positions; None if one is constant."""
        pair = np.stack([self.activation.ravel(), self.probability.ravel()]).astype(np.float64)
        if (np.ptp(pair, axis=1) <= 1e-6 * np.abs(pair).max(1)).any():
            return None
        matrix: np.ndarray = np.asarray(np.corrcoef(pair))
        return float(matrix[0, 1])


class Sweep:
    """Occlusion sweep over images, with the positions of an engine's grid.

    Parameters
    ----------
    engine
        see ``engines.choose_engine``.
    fill, seed
        content of the square: see ``occluders.filling``.
    unit
        unit of the engine's layer; None for the unit with the largest maximum in the clear image.
    target
        index of another class whose probability is recorded.
    tolerance
        0 to compute every position; else the largest error of interpolated positions, as a share of a map's range.
    memory
        bytes of activations that may be held at once.
    together
        usual number of images per call of ``run``. Batches are not larger than the positions of a group of so many
        images.
    device
        device of the engine's model.
    mean, std
        the input's normalization by channel: see ``unitscope.data.images.to_input``.
    on_smaller
        called with the new number of occluded images per batch when a batch doesn't fit into the device's memory.
    """

    def __init__(
        self,
        engine: Engine,
        fill: Fill = "grey",
        seed: int = 0,
        *,
        unit: int | None = None,
        target: int | None = None,
        tolerance: float = 0.0,
        memory: int = MEMORY,
        together: int = MOST_IMAGES,
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
        on_smaller: Callable[[int], None] = lambda at_once: None,
    ) -> None:
        self.engine, self.fill, self.seed = engine, fill, seed
        self.unit, self.target, self.tolerance = unit, target, tolerance
        self.device, self.mean, self.std, self.on_smaller = torch.device(device), mean, std, on_smaller
        # All batches have one size, because the last bits of results depend on the shape of a batch.
        at_most = min(
            LARGEST_GPU_BATCH if self.device.type == "cuda" else LARGEST_BATCH,
            _positions_per_group(engine) * together,
        )
        if tolerance:  # positions are computed in several rounds, whose last batches are padded
            at_most = min(at_most, APPROXIMATE_BATCH)
        self.at_once = _how_many(memory // 2, engine.bytes_per_position(), at_most)
        self.images_at_once = _how_many(memory // 2, engine.bytes_per_clear_image(), MOST_IMAGES)

    @torch.inference_mode()
    def run(
        self, pixels: torch.Tensor, labels: Sequence[int], progress: Callable[[], None] = lambda: None
    ) -> list[OcclusionMaps]:
        """Sweep the square over images.

        Parameters
        ----------
        pixels
            uint8 [N, 3, H, W]. The activations of all of them are held at once: pass at most ``images_at_once``.
        labels
            index of each image's true class.
        progress
            called after each batch of occluded images.

        Raises
        ------
        NotFinite
            an activation or probability is NaN or infinite.
        """
        grid, device = self.engine.grid, self.device
        # One by one, like the clear images, because the last bits depend on what is computed together.
        square = torch.cat([filling(image, self.fill, grid.patch, self.seed) for image in pixels.split(1)])
        clear_images, filled = (to_input(p, device, self.mean, self.std) for p in (pixels, square))
        clear = self.engine.clear(clear_images)
        sums = clear.rectified_sums
        units = clear.maxima.argmax(1)
        if self.unit is not None:
            units = torch.full_like(units, self.unit)
        classes = [list(labels)] + ([[self.target] * len(pixels)] if self.target is not None else [])
        recorded = torch.tensor(classes, device=device).T  # [images, 1 or 2]
        compute = partial(self._compute, clear, filled, units, recorded, progress)
        surfaces = (
            coarse_to_fine(compute, len(pixels), grid.starts, self.tolerance)
            if self.tolerance
            else everywhere(compute, len(pixels), grid.starts)
        )
        probabilities, predicted = _predictions(clear.outputs, recorded)
        return [
            self._maps(surfaces, number, int(unit), float(sums[number, unit]), clear_p, int(clear_class))
            for number, (unit, clear_p, clear_class) in enumerate(
                zip(units.tolist(), probabilities.tolist(), predicted.tolist(), strict=True)
            )
        ]

    def _maps(
        self,
        surfaces: Surfaces,
        number: int,
        unit: int,
        activation: float,
        probabilities: list[float],
        clear_class: int,
    ) -> OcclusionMaps:
        values = surfaces.values[number].astype(np.float32)
        return OcclusionMaps(
            starts=np.array(self.engine.grid.starts),
            patch=self.engine.grid.patch,
            unit=unit,
            clear_activation=activation,
            clear_probability=probabilities[0],
            clear_class=clear_class,
            clear_target_probability=None if self.target is None else probabilities[1],
            activation=values[0],
            probability=values[1],
            target_probability=None if self.target is None else values[2],
            classes=surfaces.classes[number].astype(np.int32),
            computed=surfaces.computed[number],
            error=None if np.isnan(surfaces.errors[number]) else float(surfaces.errors[number]),
        )

    def _compute(
        self,
        clear: Clear,
        filled: torch.Tensor,
        units: torch.Tensor,
        recorded: torch.Tensor,
        progress: Callable[[], None],
        images: np.ndarray,
        positions: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute occluded images: ``images``, int64 [N], with the square at ``positions``, int64 [N, 2].

        Returns
        -------
        values
            float64 [N, 2 or 3]: activation, probability of the true class, probability of the target.
        classes
            int64 [N]: most probable class.
        """
        images_, positions_ = torch.from_numpy(images), torch.from_numpy(positions)
        groups = self.engine.groups(positions_)
        # Results stay on the device until all are computed, because fetching them blocks for all queued work.
        results: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for group in groups.unique().tolist():
            remaining = (groups == group).nonzero().flatten()
            while len(remaining):
                numbers = remaining[: self.at_once]
                # The last batch repeats its last image, to keep the batch size.
                padded = torch.cat([numbers, numbers[-1:].expand(self.at_once - len(numbers))])
                batch = self._run(clear, filled, images_[padded], positions_[padded], units)
                if batch is None:
                    continue
                sums, outputs = batch
                of_images = recorded[images_[padded].to(recorded.device, non_blocking=True)]
                probabilities, predicted = _predictions(outputs, of_images)
                computed = torch.cat([sums[:, None], probabilities], 1)
                results.append((numbers, computed[: len(numbers)], predicted[: len(numbers)]))
                remaining = remaining[len(numbers) :]
                progress()
        order, values, classes = (torch.cat(parts).cpu() for parts in zip(*results, strict=True))
        if not torch.isfinite(values).all():
            raise NotFinite(where="An occluded image", value=values[~torch.isfinite(values)][0].item())
        inverse = order.argsort()
        return values[inverse].numpy(), classes[inverse].numpy()

    def _run(
        self,
        clear: Clear,
        filled: torch.Tensor,
        images: torch.Tensor,
        positions: torch.Tensor,
        units: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Run a batch; if it doesn't fit into memory, halve the batch size and return None."""

        def run() -> tuple[torch.Tensor, torch.Tensor]:
            return self.engine.run(clear, filled, images, positions, units)

        result, self.at_once = run_or_halve(run, self.at_once, self.device, self.on_smaller)
        return result


def _positions_per_group(engine: Engine) -> int:
    """Return the mean number of positions of a group, rounded up."""
    return -(-engine.grid.positions // len(engine.groups(engine.grid.all_positions()).unique()))


def _how_many(memory: int, each: int, most: int) -> int:
    """Return how many items of ``each`` bytes fit into ``memory``, from 1 to ``most``."""
    return int(min(max(memory // each, 1), most))


def _predictions(outputs: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float64 [N, K], probabilities of ``classes``, int64 [N, K]; int64 [N], most probable class."""
    return outputs.double().softmax(1).gather(1, classes), outputs.argmax(1)
