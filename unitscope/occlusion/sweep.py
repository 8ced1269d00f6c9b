"""Occlusion sweeps (paper, section 4.2 and Fig. 7): a square hides one part of an image after the other.

For every place of the square one forward pass tells three things: how much a unit still fires, how probable the
true class still is, and which class is the most probable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from unitscope.data.images import MEAN, STD, to_input
from unitscope.errors import NotFinite
from unitscope.memory import halved, is_out_of_memory
from unitscope.occlusion.coarse_to_fine import Surfaces, coarse_to_fine, everywhere
from unitscope.occlusion.engines import Clear, Engine
from unitscope.occlusion.occluders import filling
from unitscope.vocabulary import Channels, Fill

MEMORY = 2**30
LARGEST_BATCH = 128  # occluded images: larger ones are no faster
APPROXIMATE_BATCH = 32
MOST_IMAGES = 16


@dataclass(frozen=True)
class OcclusionMaps:
    """What the sweep of an image found: arrays [rows, columns] by place of the square.

    Activations are sums over the unit's map behind its ReLU; probabilities go from 0 to 1.
    """

    starts: np.ndarray  # int64: the square's first rows, which are also its first columns, in pixels
    patch: int
    unit: int
    clear_activation: float
    clear_probability: float  # of the true class
    clear_class: int  # the most probable
    clear_target_probability: float | None  # of a class that was asked for
    activation: np.ndarray  # float32
    probability: np.ndarray  # float32
    target_probability: np.ndarray | None  # float32
    classes: np.ndarray  # int32
    computed: np.ndarray  # bool: the others were interpolated
    error: float | None  # of the interpolated ones: see ``coarse_to_fine``

    def centres_inside(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """bool [rows, columns]: where the square's centre is in the box (left, top, right, bottom), in pixels."""
        left, top, right, bottom = box
        centres = self.starts + self.patch / 2
        rows, cols = (centres >= top) & (centres < bottom), (centres >= left) & (centres < right)
        return rows[:, None] & cols[None, :]

    @property
    def correlation(self) -> float | None:
        """Pearson's, of activation and probability over the places; None where one of them doesn't vary."""
        pair = np.stack([self.activation.ravel(), self.probability.ravel()]).astype(np.float64)
        if (np.ptp(pair, axis=1) <= 1e-6 * np.abs(pair).max(1)).any():
            return None
        matrix: np.ndarray = np.asarray(np.corrcoef(pair))
        return float(matrix[0, 1])


class Sweep:
    """Sweeps the square of an engine's grid over images.

    Parameters
    ----------
    engine
        see ``occlusion_engines.choose_engine``.
    fill, seed
        what the square shows: see ``occluders.filling``.
    unit
        of the engine's layer; None: of each image the one that fires most, by the maximum of its map.
    target
        another class whose probability is wanted.
    tolerance
        0: every place is computed; else the share of a map's range by which interpolated places may be off.
    memory
        bytes of activations that may be held at once.
    together
        how many images mostly come together: batches are not made for more.
    on_smaller
        called with the number of images that run at once from now on, when they were too many for the device.
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
        # Of the shape of its batch the last bits of a result depend: so it is always the same.
        at_most = min(LARGEST_BATCH, _places_of_a_kind(engine) * together)
        if tolerance:  # its places come in several rounds, of each of which the last batch is filled up
            at_most = min(at_most, APPROXIMATE_BATCH)
        self.at_once = _how_many(memory // 2, engine.bytes_of_place(), at_most)
        self.images_at_once = _how_many(memory // 2, engine.bytes_of_clear(), MOST_IMAGES)

    @torch.inference_mode()
    def run(
        self, pixels: torch.Tensor, labels: Sequence[int], progress: Callable[[], None] = lambda: None
    ) -> list[OcclusionMaps]:
        """Sweep over images uint8 [N, 3, H, W] of the classes ``labels``; ``progress`` is called after each batch.

        The activations of all of them are held together: give ``images_at_once`` at most.

        Raises
        ------
        NotFinite
            the network answered NaN or infinity.
        """
        grid, device = self.engine.grid, self.device
        # One by one, as the clear images run: the last bits depend on what is computed together.
        square = torch.cat([filling(image, self.fill, grid.patch, self.seed) for image in pixels.split(1)])
        clear_images, filled = (to_input(p, device, self.mean, self.std) for p in (pixels, square))
        clear = self.engine.clear(clear_images)
        sums = clear.rectified_sums
        units = clear.maxima.argmax(1)
        if self.unit is not None:
            units = torch.full_like(units, self.unit)
        classes = [list(labels)] + ([[self.target] * len(pixels)] if self.target is not None else [])
        wanted = torch.tensor(classes, device=device).T  # [images, 1 or 2]
        compute = partial(self._compute, clear, filled, units, wanted, progress)
        surfaces = (
            coarse_to_fine(compute, len(pixels), grid.starts, self.tolerance)
            if self.tolerance
            else everywhere(compute, len(pixels), grid.starts)
        )
        probabilities, answers = _answers(clear.outputs, wanted)
        return [
            self._maps(surfaces, number, int(unit), float(sums[number, unit]), clear_p, int(answer))
            for number, (unit, clear_p, answer) in enumerate(
                zip(units.tolist(), probabilities.tolist(), answers.tolist(), strict=True)
            )
        ]

    def _maps(
        self, found: Surfaces, number: int, unit: int, activation: float, probabilities: list[float], answer: int
    ) -> OcclusionMaps:
        values = found.values[number].astype(np.float32)
        return OcclusionMaps(
            starts=np.array(self.engine.grid.starts),
            patch=self.engine.grid.patch,
            unit=unit,
            clear_activation=activation,
            clear_probability=probabilities[0],
            clear_class=answer,
            clear_target_probability=None if self.target is None else probabilities[1],
            activation=values[0],
            probability=values[1],
            target_probability=None if self.target is None else values[2],
            classes=found.classes[number].astype(np.int32),
            computed=found.computed[number],
            error=None if np.isnan(found.errors[number]) else float(found.errors[number]),
        )

    def _compute(
        self,
        clear: Clear,
        filled: torch.Tensor,
        units: torch.Tensor,
        wanted: torch.Tensor,
        progress: Callable[[], None],
        images: np.ndarray,
        places: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Activation and probabilities, float64 [N, 2 or 3], and the most probable class, int64 [N], of images
        with the square at places, int64 [N] and [N, 2]."""
        images_, places_ = torch.from_numpy(images), torch.from_numpy(places)
        kinds = self.engine.kinds(places_)
        # What is found stays on the device until all is: to fetch it, one waits for everything before it.
        ran: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for kind in kinds.unique().tolist():
            left = (kinds == kind).nonzero().flatten()
            while len(left):
                some = left[: self.at_once]
                # The last batch repeats its last image, to no purpose but the shape.
                filled_up = torch.cat([some, some[-1:].expand(self.at_once - len(some))])
                batch = self._run(clear, filled, images_[filled_up], places_[filled_up], units)
                if batch is None:
                    continue
                sums, outputs = batch
                of_images = wanted[images_[filled_up].to(wanted.device, non_blocking=True)]
                probabilities, answers = _answers(outputs, of_images)
                found = torch.cat([sums[:, None], probabilities], 1)
                ran.append((some, found[: len(some)], answers[: len(some)]))
                left = left[len(some) :]
                progress()
        order, values, classes = (torch.cat(parts).cpu() for parts in zip(*ran, strict=True))
        if not torch.isfinite(values).all():
            raise NotFinite(where="an occluded image", value=values[~torch.isfinite(values)][0].item())
        back = order.argsort()
        return values[back].numpy(), classes[back].numpy()

    def _run(
        self, clear: Clear, filled: torch.Tensor, images: torch.Tensor, places: torch.Tensor, units: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """What the engine gives; None where that was too much for the memory: fewer run at once from now on."""
        try:
            return self.engine.run(clear, filled, images, places, units)
        except RuntimeError as error:
            if not is_out_of_memory(error) or self.at_once == 1:
                raise
        # Outside of the handler, whose traceback holds on to tensors.
        self.at_once = halved(self.at_once, self.device)
        self.on_smaller(self.at_once)
        return None


def _places_of_a_kind(engine: Engine) -> int:
    """In the mean, rounded up."""
    return -(-engine.grid.places // len(engine.kinds(engine.grid.all_places()).unique()))


def _how_many(memory: int, each: int, most: int) -> int:
    return int(min(max(memory // each, 1), most))


def _answers(outputs: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities float64 of these classes, int64 [N, K], and the most probable class, int64 [N]."""
    return outputs.double().softmax(1).gather(1, classes), outputs.argmax(1)
