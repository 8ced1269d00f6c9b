"""Incremental engine, compared with the full engine and with occluding images one by one."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision import models

from tests.fake_cuda import CUDA, FakeCuda
from tests.unit.unitscope.test_deconvnet import fresh, maps_of
from tests.unit.unitscope.test_deconvnet import images as normalized
from unitscope.geometry.dependence import Pair
from unitscope.occlusion import differences
from unitscope.occlusion.differences import FEWEST_CHANNELS
from unitscope.occlusion.engines import Engine, Full, choose_engine
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.reach import Graph
from unitscope.vocabulary import Engine as EngineName

Answers = tuple[torch.Tensor, torch.Tensor]  # sums [N] and outputs [N, classes]: images, then rows, then columns


def everywhere(
    engine: Engine, images: torch.Tensor, filled: torch.Tensor, units: torch.Tensor, at_once: int = 7
) -> Answers:
    """Run every image with the square at every position; positions of a group share batches."""
    positions = torch.arange(len(engine.grid.starts))
    requests = torch.cartesian_prod(torch.arange(len(images)), positions, positions)
    clear = engine.clear(images.clone())
    groups = engine.groups(requests[:, 1:])
    sums = torch.full((len(requests),), torch.nan, dtype=torch.float64)
    outputs = clear.outputs.new_full((len(requests), clear.outputs.shape[1]), torch.nan)
    for kind in groups.unique():
        for some in (groups == kind).nonzero().flatten().split(at_once):
            sums[some], outputs[some] = engine.run(clear, filled, requests[some, 0], requests[some, 1:], units)
    return sums, outputs


def one_by_one(
    model: nn.Module, layer: str, grid: Grid, images: torch.Tensor, filled: torch.Tensor, units: torch.Tensor
) -> Answers:
    """Paste the square into each image, run it alone, and observe the layer with a hook."""
    sums: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    unit = 0
    hook = model.get_submodule(layer).register_forward_hook(
        lambda module, inputs, maps: sums.append(maps[0, unit].double().clamp(min=0).sum())
    )
    for number, image in enumerate(images):
        unit = int(units[number])
        for row in grid.starts:
            for col in grid.starts:
                occluded = image[None].clone()
                square = (..., slice(row, row + grid.patch), slice(col, col + grid.patch))
                occluded[square] = filled[number][square]
                outputs.append(model(occluded)[0])
    hook.remove()
    return torch.stack(sums), torch.stack(outputs)


def assert_same(
    found: tuple[torch.Tensor, ...],
    expected: tuple[torch.Tensor, ...],
    relative: float = 1e-4,
    of_largest: float = 1e-5,
) -> None:
    """Compare with tolerances that by default are those of float32 rounding, in proportion to the summed terms."""
    for one, other in zip(found, expected, strict=True):
        largest = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=relative, atol=of_largest * largest + 1e-12)


def images_and_fillings(size: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and fillings, which are other images."""
    return normalized(count, size, seed=5), normalized(count, size, seed=6)


@lru_cache(1)
def network(name: str, size: int) -> nn.Module:
    """Build a network, with VGG's and AlexNet's three linear layers replaced by one."""
    model = fresh(name, size)
    if isinstance(model, (models.VGG, models.AlexNet)):
        first = next(module for module in model.classifier if isinstance(module, nn.Linear))
        model.classifier = nn.Linear(first.in_features, 5)
    return model.to(memory_format=torch.channels_last)


def convolutions(model: nn.Module) -> list[str]:
    return [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)]


NETWORKS = {
    "zfnet": Grid(95, 16, 28),
    "zfnet-paper": Grid(96, 20, 30),
    "alexnet": Grid(96, 12, 27),
    "vgg11_bn": Grid(64, 8, 19),
    "cifar-cnn": Grid(32, 5, 7),
    "resnet18": Grid(96, 16, 29),
    "resnet50": Grid(64, 8, 20),
    "squeezenet1_1": Grid(80, 10, 23),
    "googlenet": Grid(80, 8, 24),
    "densenet121": Grid(64, 6, 20),
    "mobilenet_v2": Grid(64, 6, 20),
}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_incremental_engine_equals_the_full_engine(name: str, share: float) -> None:
    grid = NETWORKS[name]
    model = network(name, grid.size)
    paths = convolutions(model)
    layer = paths[round(share * (len(paths) - 1))]
    full, incremental = Full(model, layer, grid), Incremental(model, layer, grid)
    images, filled = images_and_fillings(grid.size)
    units = torch.tensor([1, model.get_submodule(layer).out_channels - 1])
    expected = everywhere(full, images, filled, units)
    assert_same(everywhere(incremental, images, filled, units), expected)
    assert incremental.multiplications() < full.multiplications()


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("zfnet", "features.10"),
        ("zfnet-paper", "features.4"),
        ("vgg11_bn", "features.8"),
        ("resnet18", "layer2.0.conv2"),
    ],
)
@torch.inference_mode()
def test_both_engines_equal_images_occluded_one_by_one(name: str, layer: str) -> None:
    grid = NETWORKS[name]
    model = network(name, grid.size)
    images, filled = images_and_fillings(grid.size)
    units = torch.tensor([1, 3])
    expected = one_by_one(model, layer, grid, images, filled, units)
    for engine in (Full(model, layer, grid), Incremental(model, layer, grid)):
        assert_same(everywhere(engine, images, filled, units), expected)
        clear = engine.clear(images.clone())
        assert_same(
            (clear.rectified_sums[[0, 1], units], clear.outputs),
            results_of_clear_images(model, layer, images, units),
        )
        assert_same((clear.maxima,), (maps_of(model, layer, images.clone()).amax((2, 3)),))


def results_of_clear_images(model: nn.Module, layer: str, images: torch.Tensor, units: torch.Tensor) -> Answers:
    nowhere = Grid(images.shape[2], 1, images.shape[2])  # the filling is the image itself: nothing is hidden
    sums, outputs = one_by_one(model, layer, nowhere, images, images, units)
    each = len(nowhere.starts) ** 2
    return sums[::each], outputs[::each]


def small_network() -> nn.Module:
    torch.manual_seed(3)
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        *(nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Flatten(), nn.LazyLinear(3)),
    )
    model[1].running_mean.normal_()
    model(torch.zeros(2, 3, 15, 15))  # initializes the lazy layer
    return model.eval()


@pytest.mark.parametrize("stride", [*range(1, 8), 15])
@pytest.mark.parametrize("patch", [1, 4, 14, 15])
@torch.inference_mode()
def test_any_patch_at_any_stride_up_to_the_borders(patch: int, stride: int) -> None:
    model, grid = small_network(), Grid(15, patch, stride)
    images, filled = images_and_fillings(15)
    units = torch.tensor([2, 0])
    found = everywhere(Incremental(model, "4", grid), images, filled, units)
    assert_same(found, everywhere(Full(model, "4", grid), images, filled, units))
    if stride == 7:
        assert_same(found, one_by_one(model, "4", grid, images, filled, units))


@pytest.mark.parametrize("at_once", [1, 2, 1000])
@torch.inference_mode()
def test_results_do_not_depend_on_the_batch_size(at_once: int) -> None:
    model, grid = small_network(), Grid(15, 4, 4)
    images, filled = images_and_fillings(15, 3)
    units = torch.tensor([3, 0, 1])
    expected = everywhere(Full(model, "0", grid), images, filled, units)
    for engine in (Full(model, "0", grid), Incremental(model, "0", grid)):
        assert_same(everywhere(engine, images, filled, units, at_once), expected)


@torch.inference_mode()
def test_images_fillings_and_clear_maps_are_not_modified() -> None:
    model, grid = small_network(), Grid(15, 4, 3)
    images, filled = images_and_fillings(15)
    before = images.clone(), filled.clone()
    positions, units = torch.tensor([[0, 0], [0, 0]]), torch.tensor([2, 0])
    for engine in (Full(model, "0", grid), Incremental(model, "0", grid)):
        clear = engine.clear(images)
        once, again = (engine.run(clear, filled, torch.tensor([0, 1]), positions, units) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))
        assert torch.equal(images, before[0])
        assert torch.equal(filled, before[1])


def test_multiplications_are_those_of_the_windows() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    grid = Grid(16, 4, 4)
    weights, last = 3 * 4 * 9, 4 * 5
    assert Full(model.eval(), "0", grid).multiplications() == 16 * 16 * weights + last
    reached = [5, 6, 6, 5]  # rows of the map, by row of the grid: at the borders one is missing
    assert Incremental(model, "0", grid).multiplications() == sum(reached) ** 2 / 16 * weights + last


def test_multiplications_of_differences_leave_out_those_with_zeros() -> None:
    """The second convolution has enough channels; each row of its input is read by three rows of its output."""
    first, second = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 4, 3)
    model = nn.Sequential(first, second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    grid = Grid(18, 4, 7)  # 4 of 18 rows at 0, 7, and 14
    weights, last = 16 * 4, 4 * 5
    # The square changes 4, 6, and 4 rows of the output. In the middle, 3 of them read each of the 4 changed rows.
    # The first and last position share a group, so that each of the 4 rows is computed from 3.
    products = 4 * 3
    found = Incremental(model.eval(), "0", grid).multiplications()
    assert found == 16 * 3 * 16 + products**2 * weights + last


@pytest.mark.parametrize("name", ["zfnet", "resnet18", "squeezenet1_1"])
def test_windows_of_a_group_have_one_size_and_contain_the_reach(name: str) -> None:
    grid = Grid(NETWORKS[name].size, 12, 5)
    model = network(name, grid.size)
    engine, graph = Incremental(model, convolutions(model)[1], grid), Graph(model, grid)
    count = len(grid.starts)
    positions = torch.cartesian_prod(torch.arange(count), torch.arange(count))
    groups = engine.groups(positions).view(count, count)
    assert sorted(groups.unique().tolist()) == list(range(len(engine.plans)))
    assert 1 < len(engine.plans) < count**2
    for row_group, col_group in engine.plans:
        windows = graph.windows(row_group, col_group)
        assert len(windows[0]) > 5
        chosen = [torch.from_numpy(graph.groups == kind) for kind in (row_group, col_group)]
        assert len(groups[chosen[0]][:, chosen[1]].unique()) == 1
        for node, window in windows[0].items():
            for axis, starts in enumerate((window.rows, window.cols)):
                starts, size = starts[chosen[axis]].numpy(), window.size[axis]
                reach = graph.reaches[node][axis]
                assert (starts >= 0).all()
                assert (starts <= reach.first[chosen[axis].numpy()]).all()
                assert (starts + size >= reach.last[chosen[axis].numpy()]).all()
                assert (starts + size <= graph.shapes[node][2 + axis]).all()


def test_larger_squares_need_more_memory() -> None:
    model = network("zfnet", 95)
    held = [Incremental(model, "features.3", Grid(95, patch, 20)).bytes_per_position() for patch in (4, 16, 64)]
    assert held == sorted(held)
    assert held[0] < held[-1] <= Full(model, "features.3", Grid(95, 4, 20)).bytes_per_position()


class Overwriting(nn.Module):
    """The second layer reads a map that a ReLU modified in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        self.relu(x)
        return self.second(x).mean((2, 3))


class OverwritingAnother(Overwriting):
    """The same, through a module that returns its input."""

    def __init__(self, same: nn.Module) -> None:
        super().__init__()
        self.same = same

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        self.relu(self.same(x))
        return self.second(x).mean((2, 3))


def test_a_map_that_is_modified_in_place_while_others_read_it_is_refused() -> None:
    with pytest.raises(ValueError, match="relu modifies a map in place that another node reads"):
        Incremental(Overwriting().eval(), "second", Grid(32, 8, 8))


@pytest.mark.parametrize("same", [nn.Identity(), nn.Dropout()], ids=["identity", "dropout"])
@torch.inference_mode()
def test_a_map_that_is_modified_through_an_alias_is_refused_or_correct(same: nn.Module) -> None:
    torch.manual_seed(0)
    model, grid = OverwritingAnother(same).eval(), Grid(32, 8, 8)
    images, filled = images_and_fillings(32)
    units = torch.tensor([0, 1])
    engine = choose_engine(model, "second", grid, "incremental").engine
    expected = one_by_one(model, "second", grid, images, filled, units)
    assert_same(everywhere(engine, images, filled, units), expected)


class Deciding(nn.Module):
    """Network whose control flow depends on values, so that torch.fx can't trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if x.sum() > 0:
            x = torch.relu(x)
        return self.last(x.mean((2, 3)))


class Choosing(nn.Module):
    """Network that can be traced, but whose shapes depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        brightest = x.abs().sum(1).flatten(1).argmax(1).unique()
        return self.last(x.mean((2, 3))) + brightest.numel()


def test_on_a_gpu_the_full_engine_is_used_unless_the_other_is_requested() -> None:
    grid = Grid(95, 16, 5)
    model, layer = copy.deepcopy(network("zfnet", 95)), "features.10"
    assert choose_engine(model, layer, grid).engine.name == "incremental"
    with FakeCuda():
        model.to(CUDA)
        assert choose_engine(model, layer, grid).engine.name == "full"
        assert choose_engine(model, layer, grid, "incremental").engine.name == "incremental"


@pytest.mark.parametrize("requested", ["auto", "incremental"])
def test_a_network_that_cant_be_traced_uses_the_full_engine_with_a_reason(requested: EngineName) -> None:
    choice = choose_engine(Deciding().eval(), "conv", Grid(32, 8, 8), requested)
    assert choice.engine.name == "full"
    assert "can't trace it" in choice.reason
    assert "control flow" in choice.reason


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (Choosing(), "conv"),
        (Overwriting(), "second"),
        (models.resnet18(), "layer1.0"),  # a block, whose parts alone are nodes of the graph
    ],
    ids=["unknown shapes", "overwritten", "block"],
)
@pytest.mark.parametrize("requested", ["auto", "incremental"])
def test_unsupported_networks_use_the_full_engine(model: nn.Module, layer: str, requested: EngineName) -> None:
    choice = choose_engine(model.eval(), layer, Grid(64, 8, 8), requested)
    assert choice.engine.name == "full"
    assert "doesn't support this network" in choice.reason


@pytest.mark.parametrize(("patch", "name"), [(4, "incremental"), (16, "incremental"), (90, "full")])
def test_auto_chooses_the_engine_with_fewer_multiplications(patch: int, name: str) -> None:
    model, grid = network("zfnet", 95), Grid(95, patch, 5)
    choice = choose_engine(model, "features.10", grid)
    assert choice.engine.name == name
    ours, whole = (kind(model, "features.10", grid).multiplications() for kind in (Incremental, Full))
    assert f"{ours / whole:.0%}" in choice.reason


@pytest.mark.parametrize("requested", ["full", "incremental"])
def test_a_requested_engine_is_used(requested: EngineName) -> None:
    choice = choose_engine(small_network(), "4", Grid(15, 14, 1), requested)
    assert (choice.engine.name, choice.reason) == (requested, "requested")


class Branched(nn.Module):
    """Two branches that are joined; ``past`` replaces the second by the input of the first."""

    def __init__(self, first: nn.Module, second: nn.Module, join: str) -> None:
        super().__init__()
        self.first, self.second, self.join = first, second, join

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.first(x)
        other = x if "past" in self.join else self.second(x)
        if "cat" in self.join:
            return torch.cat([one, other], 1)
        if "torch" in self.join:
            return torch.add(other, one)
        one += other
        return one


class Reshaped(nn.Module):
    """Flattening with ``view``, which reads a map twice."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.reshape(x.size(0), -1))


class Case(NamedTuple):
    model: nn.Module
    layer: str
    grid: Grid
    fewest_channels: int  # of convolutions of differences


def pairs(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Pair]:
    """Draw values for rows and columns, equal or not."""
    return numbers.map(lambda number: (number, number)) | st.tuples(numbers, numbers)


SMALL = pairs(st.integers(1, 3))


@st.composite
def convolution(draw: st.DrawFn, channels: int) -> nn.Module:
    kernel, dilation = draw(pairs(st.integers(1, 4))), draw(pairs(st.integers(1, 2)))
    padding = tuple(draw(st.integers(0, min(2, k * d - 1))) for k, d in zip(kernel, dilation, strict=True))
    groups = draw(st.sampled_from([1, 2])) if channels % 2 == 0 else 1
    outputs = draw(st.sampled_from([2, 4]))
    return nn.Conv2d(channels, outputs, kernel, draw(SMALL), padding, dilation, groups, draw(st.booleans()))


@st.composite
def pooling(draw: st.DrawFn, channels: int) -> nn.Module:
    kernel, stride = draw(pairs(st.integers(2, 3))), draw(SMALL)
    padding, ceil = draw(pairs(st.integers(0, 1))), draw(st.booleans())
    match draw(st.integers(0, 3)):
        case 0:
            return nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
        case 1:  # with padding, a window could contain padding only
            return nn.MaxPool2d(kernel, stride, 0, draw(SMALL), ceil_mode=ceil)
        case 2:
            return nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil, count_include_pad=draw(st.booleans()))
    adaptive = draw(st.sampled_from([nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d]))
    return adaptive(draw(pairs(st.integers(1, 6))))


@st.composite
def pointwise(draw: st.DrawFn, channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    others = [nn.ReLU6(), nn.LocalResponseNorm(3, alpha=0.1), nn.Dropout(), nn.Identity(), nn.GELU()]
    return draw(st.sampled_from([nn.ReLU(inplace=True), nn.ReLU(), nn.ReLU6(inplace=True), norm, *others]))


@st.composite
def branch(draw: st.DrawFn, channels: int, stride: int) -> nn.Module:
    """Draw a branch that keeps the channels and, up to the stride, the size of the map."""
    kernel, dilation = draw(st.sampled_from([1, 3, 5])), draw(st.integers(1, 2))
    same = nn.Conv2d(channels, channels, kernel, stride, kernel // 2 * dilation, dilation)
    pool = nn.MaxPool2d(3, stride, 1)
    more = [nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 3, padding=1)]
    return draw(st.sampled_from([same, nn.Sequential(same, *more), nn.Sequential(pool, *more)]))


@st.composite
def branched(draw: st.DrawFn, channels: int) -> nn.Module:
    join = draw(st.sampled_from(["cat", "sum", "torch sum", "past cat", "past sum", "past torch sum"]))
    stride = 1 if "past" in join else draw(st.integers(1, 2))
    second = nn.Identity() if "past" in join else draw(branch(channels, stride))
    return Branched(draw(branch(channels, stride)), second, join)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    torch.manual_seed(draw(st.integers(0, 2**31)))
    size = draw(st.integers(9, 40))
    maps = torch.zeros(1, 3, size, size)
    modules: list[nn.Module] = []

    def add(module: nn.Module) -> None:
        nonlocal maps
        try:
            maps = module.eval()(maps)
        except RuntimeError:  # the maps are too small for the module
            return
        modules.append(module)

    for _ in range(draw(st.integers(1, 5))):
        stage = draw(st.sampled_from([convolution, convolution, pooling, pointwise, pointwise, branched]))
        add(draw(stage(maps.shape[1])))
    if not convolutions(nn.Sequential(*modules)):
        add(nn.Conv2d(maps.shape[1], 2, 1))
    linear = nn.Linear(maps.numel(), 3)
    ending = draw(st.sampled_from([nn.Sequential(nn.Flatten(), linear), Reshaped(linear)]))
    model = nn.Sequential(*modules, ending).eval()
    patch = draw(st.integers(1, size))
    stride = max(draw(st.integers(1, 12)), (size - patch) // 8)  # at most about 9 x 9 positions
    layer, fewest = draw(st.sampled_from(convolutions(model))), draw(st.sampled_from([1, FEWEST_CHANNELS]))
    return Case(model, layer, Grid(size, patch, stride), fewest)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_any_network(case: Case) -> None:
    model, layer, grid, fewest_channels = case
    images, filled = (values.double() for values in images_and_fillings(grid.size))
    units = torch.tensor([1, 0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(differences, "FEWEST_CHANNELS", fewest_channels)
        full, incremental = Full(model, layer, grid), Incremental(model, layer, grid)
    model.double()  # in float64, so that rounding is small
    with torch.inference_mode():
        expected = everywhere(full, images, filled, units, 64)
        assert_same(everywhere(incremental, images, filled, units, 64), expected, 1e-9, 1e-10)


def test_a_network_whose_functions_read_weights_is_counted_too() -> None:
    """ConvNeXt calls layer_norm as a function, whose weights are nodes of the graph but no maps."""
    engine = Incremental(fresh("convnext_tiny", 64), "features.0.0", Grid(64, 16, 24))
    assert engine.bytes_per_position() > 0
    assert engine.multiplications() > 0
