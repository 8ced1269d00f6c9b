"""Occlusion sweeps (paper, section 4.2 and Fig. 7): a square is moved over an image.

For each position of the square, one forward pass gives the activation of a unit, the probability of the true
class, and the most probable class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unitscope.data.images import MEAN, STD, to_input
from unitscope.errors import NotFinite
from unitscope.memory import run_or_halve
from unitscope.occlusion.engines import Clear, Engine
from unitscope.occlusion.occluders import filling
from unitscope.vocabulary import Channels, Fill

MEMORY = 2**30  # bytes
LARGEST_BATCH, LARGEST_GPU_BATCH = 128, 512  # occluded images: larger batches are no faster
MOST_IMAGES = 16
BATCH_COST = 8  # a batch costs about as much as so many occluded images more


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
    # False where interpolated, and the largest error of interpolated values measured on a sample, as a share of a
    # map's range. Earlier versions could interpolate; sweeps compute every position.
    computed: np.ndarray
    error: float | None

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
        memory: int = MEMORY,
        together: int = MOST_IMAGES,
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
        on_smaller: Callable[[int], None] = lambda at_once: None,
    ) -> None:
        self.engine, self.fill, self.seed = engine, fill, seed
        self.unit, self.target = unit, target
        self.device, self.mean, self.std, self.on_smaller = torch.device(device), mean, std, on_smaller
        self.counts = engine.groups(engine.grid.all_positions()).bincount().tolist()  # positions of each group
        most = LARGEST_GPU_BATCH if self.device.type == "cuda" else LARGEST_BATCH
        at_most = min(most, max(self.counts) * together)
        self.at_once = _how_many(memory // 2, engine.bytes_per_position(), at_most)
        self.images_at_once = _how_many(memory // 2, engine.bytes_per_clear_image(), MOST_IMAGES)
        self.together = min(together, self.images_at_once)

    def batch_size(self, positions: int) -> int:
        """Return the batch size for a group with this many positions of an image.

        The batches of a group have one size, because the last bits of results depend on the shape of a batch. It
        is at most ``at_once``: an equal part of the positions of an image, or those of so many images that little
        of the last batch is padded where ``together`` images are swept.
        """
        images = self.at_once // positions
        if not images:
            return _split(positions, self.at_once)

        def cost(images: int) -> int:
            return -(-self.together // images) * (images * positions + BATCH_COST)

        return positions * min(range(min(images, self.together), 0, -1), key=cost)

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
        along = torch.arange(len(grid.starts))
        every = torch.cartesian_prod(torch.arange(len(pixels)), along, along).view(-1, 3)
        computed = self._compute(clear, filled, units, recorded, progress, every[:, 0], every[:, 1:])
        shape = (len(pixels), len(along), len(along))
        swept = zip(computed[0].reshape(*shape, -1), computed[1].reshape(shape), strict=True)
        probabilities, predicted = _predictions(clear.outputs, recorded)
        return [
            self._maps(*maps, unit, float(sums[number, unit]), clear_p, clear_class)
            for number, (maps, unit, clear_p, clear_class) in enumerate(
                zip(swept, units.tolist(), probabilities.tolist(), predicted.tolist(), strict=True)
            )
        ]

    def _maps(
        self,
        values: np.ndarray,
        classes: np.ndarray,
        unit: int,
        activation: float,
        probabilities: list[float],
        clear_class: int,
    ) -> OcclusionMaps:
        """Make the result of an image of values [rows, columns, 2 or 3] and classes [rows, columns]."""
        values = np.moveaxis(values.astype(np.float32), 2, 0).copy()
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
            classes=classes.astype(np.int32),
            computed=np.ones(classes.shape, bool),
            error=None,
        )

    def _compute(
        self,
        clear: Clear,
        filled: torch.Tensor,
        units: torch.Tensor,
        recorded: torch.Tensor,
        progress: Callable[[], None],
        images: torch.Tensor,
        positions: torch.Tensor,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute occluded images: ``images``, int64 [N], with the square at ``positions``, int64 [N, 2].

        Returns
        -------
        values
            float64 [N, 2 or 3]: activation, probability of the true class, probability of the target.
        classes
            int64 [N]: most probable class.
        """
        groups = self.engine.groups(positions)
        # Results stay on the device until all are computed, because fetching them blocks for all queued work.
        results: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for group in groups.unique().tolist():
            remaining = (groups == group).nonzero().flatten()
            while len(remaining):
                size = self.batch_size(self.counts[group])  # smaller if a batch didn't fit into memory
                numbers = remaining[:size]
                # The last batch repeats its last image, to keep the batch size.
                padded = torch.cat([numbers, numbers[-1:].expand(size - len(numbers))])
                batch = self._run(clear, filled, images[padded], positions[padded], units)
                if batch is None:
                    continue
                sums, outputs = batch
                of_images = recorded[images[padded].to(recorded.device, non_blocking=True)]
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


def _split(count: int, most: int) -> int:
    """Return the size of the equal parts, at most ``most``, into which ``count`` items are divided."""
    parts = -(-count // most)
    return -(-count // parts)


def _how_many(memory: int, each: int, most: int) -> int:
    """Return how many items of ``each`` bytes fit into ``memory``, from 1 to ``most``."""
    return int(min(max(memory // each, 1), most))


def _predictions(outputs: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float64 [N, K], probabilities of ``classes``, int64 [N, K]; int64 [N], most probable class."""
    return outputs.double().softmax(1).gather(1, classes), outputs.argmax(1)
