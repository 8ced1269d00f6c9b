"""Occlusion sweeps: maps equal a closed form, and don't depend on batches and engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import ceil
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.unitscope.test_deconvnet import fresh
from unitscope.data.images import MEAN, STD
from unitscope.errors import NotFinite
from unitscope.occlusion.engines import Engine, Full, choose_engine
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid, filling
from unitscope.occlusion.sweep import OcclusionMaps, Sweep
from unitscope.vocabulary import Channels, Fill

SIZE = 20
GRID = Grid(SIZE, 6, 5)  # the last two rows and columns of squares overlap by two pixels
PLACES = len(GRID.starts)
LABELS = [1, 3, 0]
WEIGHTS = np.array([[1.0, 0.0, 0.0], [-0.5, 1.0, 0.2], [0.3, -1.0, 1.5]])  # [units, channels]
BIASES = np.array([-0.2, 0.1, -0.3])
LAST = np.array([[9.0, -4.0, 2.0], [-3.0, 8.0, -6.0], [1.0, -5.0, 9.0], [4.0, 4.0, 4.0]])  # [classes, units]
LAST_BIASES = np.array([0.3, -0.2, 0.1, -0.4])
ENGINES = [Full, Incremental]


def known_network() -> nn.Module:
    """Return a network whose maps and logits are known: a 1x1 convolution, ReLU, mean, and a linear layer."""
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(3, 3, 1))
    model.add_module("relu", nn.ReLU(inplace=True))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("last", nn.Linear(3, 4))
    values = {"conv.weight": WEIGHTS[:, :, None, None], "conv.bias": BIASES}
    values |= {"last.weight": LAST, "last.bias": LAST_BIASES}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    return model.eval()


def photos(count: int = 3, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    """Draw images of noise with a bright rectangle, each with another tint."""
    drawn = np.random.default_rng(seed)
    pixels = drawn.integers(0, 120, (count, 3, size, size))
    for number, image in enumerate(pixels):
        top, left = drawn.integers(0, size // 2, 2)
        image[:, top : top + size // 3, left : left + size // 2] += 80
        image[number % 3] += 55
    return torch.from_numpy(pixels.astype(np.uint8))


@dataclasses.dataclass
class Expected:
    """Expected results in float64.

    Sums and maxima [images, units] of clear images, sums [images, units, rows, columns] of occluded ones, and
    probabilities of the classes of both.
    """

    clear_sums: np.ndarray
    maxima: np.ndarray
    sums: np.ndarray
    clear_probabilities: np.ndarray
    probabilities: np.ndarray


def expected_maps(
    pixels: torch.Tensor, filled: torch.Tensor, mean: Channels = MEAN, std: Channels = STD
) -> Expected:
    """Compute the change of each sum by a square from integral images."""
    clear, square = (_rectified(p.numpy(), mean, std) for p in (pixels, filled))
    clear_sums = clear.sum((2, 3))
    sums = clear_sums[:, :, None, None] - _in_squares(clear) + _in_squares(square)
    return Expected(clear_sums, clear.max((2, 3)), sums, _probabilities(clear_sums), _probabilities(sums))


def _rectified(pixels: np.ndarray, mean: Channels, std: Channels) -> np.ndarray:
    by_channel = np.array([mean, std])[:, :, None, None]
    images = (pixels / 255 - by_channel[0]) / by_channel[1]
    return np.maximum(np.einsum("uc,nchw->nuhw", WEIGHTS, images) + BIASES[:, None, None], 0)


def _in_squares(maps: np.ndarray) -> np.ndarray:
    integral = np.pad(maps, ((0, 0), (0, 0), (1, 0), (1, 0))).cumsum(2).cumsum(3)
    first = np.array(GRID.starts)
    last = first + GRID.patch

    def upto(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        return integral[:, :, rows[:, None], cols]

    return upto(last, last) - upto(first, last) - upto(last, first) + upto(first, first)


def _probabilities(sums: np.ndarray) -> np.ndarray:
    logits = np.einsum("ku,nu...->nk...", LAST, sums / SIZE**2)
    logits += LAST_BIASES.reshape(-1, *[1] * (sums.ndim - 2))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sweep(engine: Engine, fill: Fill = "grey", at_once: int = 8, **options: Any) -> Sweep:
    """Make a sweep with ``at_once`` occluded images per batch."""
    made = Sweep(engine, fill, memory=2 * at_once * engine.bytes_per_position(), together=128, **options)
    assert made.at_once == at_once
    return made


def assert_close(found: Any, expected: Any) -> None:
    """Compare with the tolerance of a float32 sum over all pixels."""
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("fill", get_args(Fill))
@pytest.mark.parametrize("engine", ENGINES)
def test_all_maps_equal_the_closed_form(engine: Any, fill: Fill) -> None:
    pixels = photos()
    maps = sweep(engine(known_network(), "conv", GRID), fill, seed=3, target=2).run(pixels, LABELS)
    expected = expected_maps(pixels, filling(pixels, fill, GRID.patch, seed=3))
    units = expected.maxima.argmax(1)
    assert len(set(units)) > 1
    assert (units != expected.clear_sums.argmax(1)).any()
    for number, found in enumerate(maps):
        assert found.unit == units[number]
        assert_close(found.activation, expected.sums[number, found.unit])
        assert_close(found.probability, expected.probabilities[number, LABELS[number]])
        assert_close(found.target_probability, expected.probabilities[number, 2])
        np.testing.assert_array_equal(found.classes, expected.probabilities[number].argmax(0))
        assert_close(found.clear_activation, expected.clear_sums[number, found.unit])
        assert_close(found.clear_probability, expected.clear_probabilities[number, LABELS[number]])
        assert_close(found.clear_target_probability, expected.clear_probabilities[number, 2])
        assert found.clear_class == expected.clear_probabilities[number].argmax()


@pytest.mark.parametrize(("fill", "value"), [("grey", 128), ("black", 0)])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_content_of_the_square_is_the_requested_one(engine: Any, fill: Fill, value: int) -> None:
    pixels = photos()
    maps = sweep(engine(known_network(), "conv", GRID), fill, unit=0).run(pixels, LABELS)
    expected = expected_maps(pixels, torch.full_like(pixels, value))
    assert_close(np.stack([found.activation for found in maps]), expected.sums[:, 0])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_square_is_normalized_as_the_image_is(engine: Any) -> None:
    pixels, mean, std = photos(), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    maps = sweep(engine(known_network(), "conv", GRID), mean=mean, std=std).run(pixels, LABELS)
    expected = expected_maps(pixels, torch.full_like(pixels, 128), mean, std)
    for number, found in enumerate(maps):
        assert_close(found.activation, expected.sums[number, found.unit])
        assert_close(found.probability, expected.probabilities[number, LABELS[number]])


@pytest.mark.parametrize("unit", range(3))
@pytest.mark.parametrize("engine", ENGINES)
def test_a_requested_unit_is_observed_in_every_image(engine: Any, unit: int) -> None:
    pixels = photos()
    maps = sweep(engine(known_network(), "conv", GRID), unit=unit).run(pixels, LABELS)
    expected = expected_maps(pixels, torch.full_like(pixels, 128))
    assert [found.unit for found in maps] == [unit] * 3
    assert_close(np.stack([found.activation for found in maps]), expected.sums[:, unit])
    assert_close([found.clear_activation for found in maps], expected.clear_sums[:, unit])


@pytest.mark.parametrize("engine", ENGINES)
def test_attributes_of_the_maps(engine: Any) -> None:
    found = sweep(engine(known_network(), "conv", GRID)).run(photos(1), [2])[0]
    assert found.starts.tolist() == GRID.starts
    assert found.patch == GRID.patch
    assert found.activation.dtype == found.probability.dtype == np.float32
    assert found.classes.dtype == np.int32
    assert found.activation.shape == found.probability.shape == found.classes.shape == (PLACES, PLACES)
    assert found.computed.all()
    assert found.computed.shape == (PLACES, PLACES)
    assert found.error is None
    assert found.target_probability is None
    assert found.clear_target_probability is None


def test_one_pass_gives_all_maps() -> None:
    model, ran = known_network(), []
    sweeping = sweep(Full(model, "conv", GRID), at_once=10, target=1)
    model.register_forward_pre_hook(lambda module, inputs: ran.append(len(inputs[0])))
    sweeping.run(photos(), LABELS)
    assert ran == [1, 1, 1, *[PLACES**2 // 2] * 6]  # two batches for each of the three images


@pytest.mark.parametrize("at_once", [1, 7, 16, 100])
@pytest.mark.parametrize("engine", ENGINES)
def test_progress_is_called_after_each_batch(engine: Any, at_once: int) -> None:
    made = engine(known_network(), "conv", GRID)
    steps: list[None] = []
    sweeping = sweep(made, at_once=at_once)
    sweeping.run(photos(), LABELS, progress=lambda: steps.append(None))
    positions = torch.arange(PLACES)
    of_a_kind = made.groups(torch.cartesian_prod(positions, positions)).bincount().tolist()
    sizes = [sweeping.batch_size(count) for count in of_a_kind]
    assert all(1 <= size <= at_once for size in sizes)
    assert len(steps) == sum(ceil(3 * count / size) for count, size in zip(of_a_kind, sizes, strict=True))


def assert_same_bits(one: OcclusionMaps, other: OcclusionMaps) -> None:
    for field in dataclasses.fields(OcclusionMaps):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        assert np.array_equal(mine, theirs), field.name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "layer"), [("zfnet", "features.6"), ("resnet18", "layer2.0.conv1")])
def test_bits_do_not_depend_on_the_other_images_of_a_sweep(name: str, layer: str, engine: Any) -> None:
    model = fresh(name, 95).to(memory_format=torch.channels_last)
    pixels, grid = photos(3, 95), Grid(95, 20, 25)
    for fill in ("noise", "mean"):
        sweeping = sweep(engine(model, layer, grid), fill, at_once=6, target=4)
        together = sweeping.run(pixels, LABELS)
        for number, found in enumerate(together):
            alone = sweeping.run(pixels[number : number + 1], LABELS[number : number + 1])
            assert_same_bits(alone[0], found)


def assert_close_maps(one: OcclusionMaps, other: OcclusionMaps) -> None:
    """Compare up to float32 rounding, which depends on the shape of a batch."""
    assert one.clear_activation == pytest.approx(other.clear_activation, rel=1e-6)
    assert one.clear_probability == pytest.approx(other.clear_probability, abs=1e-6)
    np.testing.assert_allclose(one.activation, other.activation, rtol=0, atol=1e-6 * other.clear_activation)
    np.testing.assert_allclose(one.probability, other.probability, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(one.classes, other.classes)


@pytest.mark.parametrize("engine", ENGINES)
def test_maps_do_not_depend_on_the_batch_size(engine: Any) -> None:
    model = fresh("zfnet", 64).to(memory_format=torch.channels_last)
    made = engine(model, "features.3", Grid(64, 16, 24))
    pixels = photos(2, 64)
    expected = sweep(made, at_once=1).run(pixels, LABELS[:2])
    for at_once in (2, 5, 9, 40):  # 9: all positions; 5: the last batch is padded
        for found, one in zip(sweep(made, at_once=at_once).run(pixels, LABELS[:2]), expected, strict=True):
            assert_close_maps(found, one)


@pytest.mark.parametrize("memory", [1, 10**5, 10**6, 10**7, 10**8, 10**12])
@pytest.mark.parametrize("engine", ENGINES)
def test_batch_sizes_respect_the_memory_limit(engine: Any, memory: int) -> None:
    made = engine(fresh("zfnet", 64), "features.3", Grid(64, 16, 24))
    sweeping = Sweep(made, memory=memory, together=128)
    for count, each, most in (
        (sweeping.at_once, made.bytes_per_position(), 128),
        (sweeping.images_at_once, made.bytes_per_clear_image(), 16),
    ):
        assert 1 <= count <= most
        assert count == 1 or count * each <= memory / 2
        assert count == most or (count + 1) * each > memory / 2


@pytest.mark.parametrize("together", [1, 2, 8])
def test_batch_sizes_respect_the_usual_number_of_images(together: int) -> None:
    full, incremental = (engine(known_network(), "conv", GRID) for engine in (Full, Incremental))
    assert Sweep(full, together=together).at_once == min(PLACES**2 * together, 128)
    largest = int(incremental.groups(GRID.all_positions()).bincount().max())
    assert Sweep(incremental, together=together).at_once == largest * together


@pytest.mark.parametrize(
    ("positions", "together", "size"),
    [
        (128, 8, 128),
        (129, 8, 65),  # two batches for an image
        (1000, 8, 125),
        (100, 8, 100),  # two images don't fit
        (40, 8, 80),  # four batches of two images: three would need another image to be even
        (16, 8, 128),
        (1, 8, 8),
        (16, 1, 16),
        (30, 7, 120),  # two batches of four images
    ],
)
def test_batches_are_of_equal_parts_of_the_images_that_are_swept_together(
    positions: int, together: int, size: int
) -> None:
    sweeping = Sweep(Full(known_network(), "conv", Grid(SIZE, 6, 1)), together=together)
    sweeping.at_once = 128
    assert sweeping.batch_size(positions) == size


FULL_UP = "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"


def small_device(monkeypatch: pytest.MonkeyPatch, engine: Engine, room: int, said: str = FULL_UP) -> None:
    """Let ``engine.run`` raise an out-of-memory error for more than ``room`` occluded images."""
    run: Callable[..., Any] = engine.run

    def refusing(clear: Any, filled: torch.Tensor, images: torch.Tensor, *others: torch.Tensor) -> Any:
        if len(images) > room:
            raise RuntimeError(said)
        return run(clear, filled, images, *others)

    monkeypatch.setattr(engine, "run", refusing)


@pytest.mark.parametrize("engine", ENGINES)
def test_batches_that_do_not_fit_into_memory_are_halved(monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    made, pixels = engine(known_network(), "conv", GRID), photos()
    said: list[int] = []
    sweeping = sweep(made, at_once=128, on_smaller=said.append)
    smaller = sweep(made, at_once=8)
    smaller.together = sweeping.together
    expected = smaller.run(pixels, LABELS)
    small_device(monkeypatch, made, 8)
    found = sweeping.run(pixels, LABELS)
    assert said == [64, 32, 16, 8]
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)
    sweeping.run(pixels, LABELS)
    assert said == [64, 32, 16, 8]  # for all further batches


def test_out_of_memory_with_a_single_image_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, said = Full(known_network(), "conv", GRID), []
    sweeping = sweep(engine, at_once=8, on_smaller=said.append)
    small_device(monkeypatch, engine, 0)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        sweeping.run(photos(), LABELS)
    assert said == [4, 2, 1]


def test_other_errors_do_not_halve_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, said = Full(known_network(), "conv", GRID), []
    sweeping = sweep(engine, at_once=8, on_smaller=said.append)
    small_device(monkeypatch, engine, 0, "mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        sweeping.run(photos(), LABELS)
    assert said == []


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("parameter", ["conv.weight", "last.bias"])
@pytest.mark.parametrize("engine", ENGINES)
def test_weights_that_are_not_finite_are_an_error(engine: Any, parameter: str, value: float) -> None:
    model = known_network()
    model.get_parameter(parameter).data[0] = value
    with pytest.raises(NotFinite, match="An occluded image produced a value that is not a finite number"):
        sweep(engine(model, "conv", GRID), unit=0).run(photos(), LABELS)


class Deciding(nn.Module):
    """Network whose control flow depends on values, so that torch.fx can't trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.all = known_network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.all(x if x.isfinite().all() else x.nan_to_num())


def test_a_network_that_cant_be_traced_is_swept() -> None:
    engine = choose_engine(Deciding(), "all.conv", GRID).engine
    expected = Sweep(Full(known_network(), "conv", GRID)).run(photos(), LABELS)
    for found, one in zip(Sweep(engine).run(photos(), LABELS), expected, strict=True):
        assert_close_maps(found, one)


def test_centres_inside_a_box() -> None:
    found = sweep(Full(known_network(), "conv", GRID)).run(photos(1), [0])[0]  # centres at 3, 8, 13 and 17
    rows, cols = np.array([False, True, True, True]), np.array([True, True, False, False])
    np.testing.assert_array_equal(found.centres_inside((3, 7.5, 13, 17.1)), rows[:, None] & cols)
    assert found.centres_inside((0, 0, SIZE, SIZE)).all()
    assert not found.centres_inside((4, 4, 8, 8)).any()


def maps(activation: np.ndarray, probability: np.ndarray) -> OcclusionMaps:
    found = sweep(Full(known_network(), "conv", GRID)).run(photos(1), [0])[0]
    values = {"activation": activation, "probability": probability}
    return dataclasses.replace(found, **{name: value.astype(np.float32) for name, value in values.items()})


def test_correlation_is_pearson_s_of_activation_and_probability() -> None:
    drawn = np.random.default_rng(0)
    activation, noise = drawn.uniform(100, 900, (7, 7)), drawn.uniform(0, 0.3, (7, 7))
    assert maps(activation, activation / 1000).correlation == pytest.approx(1.0, abs=1e-6)
    assert maps(activation, 1 - activation / 1000).correlation == pytest.approx(-1.0, abs=1e-6)
    probability = activation / 2000 + noise
    deviations = [values - values.mean() for values in (activation, probability)]
    expected = (deviations[0] * deviations[1]).mean() / (activation.std() * probability.std())
    assert 0.5 < expected < 0.95
    assert maps(activation, probability).correlation == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("constant", [0.0, 1.0, 1e-30, 12345.678])
def test_a_constant_map_has_no_correlation(constant: float) -> None:
    varying, same = np.random.default_rng(0).uniform(0, 1, (7, 7)), np.full((7, 7), constant)
    assert maps(same, varying).correlation is None
    assert maps(varying, same).correlation is None
    same[3, 3] *= 1 + 1e-7  # a difference of rounding
    assert maps(varying, same).correlation is None


def test_a_single_position_has_no_correlation() -> None:
    assert maps(np.ones((1, 1)), np.ones((1, 1))).correlation is None


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_correlation_does_not_depend_on_the_scale(scale: float) -> None:
    drawn = np.random.default_rng(1)
    activation, probability = drawn.uniform(0, 1, (7, 7)), drawn.uniform(0, 1, (7, 7))
    expected = maps(activation, probability).correlation
    assert maps(activation * scale, probability).correlation == pytest.approx(expected, rel=1e-5)
