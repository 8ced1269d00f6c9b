"""The simulated GPU: it detects mistakes; and tests on it of synchronizations and memory.

``tests/gpu`` compares results with the CPU's; ``tests/integration`` runs whole jobs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from shared.store.store import Store
from tests.fake_cuda import CUDA, CudaMisuse, FakeCuda
from tests.gpu.networks import batches, network, pictures
from tests.gpu.test_occlusion import ENGINES, run, sweep_of
from tests.gpu.test_projections import IMPLEMENTATIONS, projector_of, requests_of
from tests.gpu.test_training import samples, trainer_on
from tests.unit.shared.test_specifications import SWEEP
from unitscope.data.images import ImageSource
from unitscope.data.upload import AHEAD, Uploader
from unitscope.description import NetworkSpecification
from unitscope.memory import is_out_of_memory
from unitscope.occlusion.occluders import Grid
from unitscope.readings import BEHIND, Readings
from unitscope.search.search import search
from worker.kinds import common
from worker.kinds.occlusion.estimate import estimate
from worker.kinds.occlusion.projections import UnitProjections
from worker.networks.build import build_network


@pytest.fixture
def fake_cuda() -> Iterator[FakeCuda]:
    with FakeCuda() as found:
        yield found


# --- the simulated device ---

MIXED_OPERATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], object]] = {
    "a sum": lambda on_device, on_host: on_device + on_host,
    "a sum, the other way round": lambda on_device, on_host: on_host + on_device,
    "a convolution": lambda on_device, on_host: F.conv2d(on_device.view(1, 1, 2, 3), on_host.view(1, 1, 2, 3)),
    "a matrix product": lambda on_device, on_host: on_device @ on_host.T,
    "cat": lambda on_device, on_host: torch.cat([on_device, on_host]),
    "stack of numbers": lambda on_device, on_host: torch.stack([on_device[0, 0], on_host[0, 0]]),
    "an index on the device into the host": lambda on_device, on_host: on_host[on_device[0].long()],
    "index_select": lambda on_device, on_host: on_device.index_select(0, on_host[0].long()),
    "gather": lambda on_device, on_host: on_device.gather(1, on_host.long()),
    "index_copy_": lambda on_device, on_host: on_device.index_copy_(0, on_host[0, :2].long(), on_device.clone()),
    "where": lambda on_device, on_host: torch.where(on_host > 0, on_device, on_device),
    "an addition in place": lambda on_device, on_host: on_device.add_(on_host),
    "a mask": lambda on_device, on_host: on_device.masked_fill_(on_host > 0, 1.0),
    "a number of the device added to the host": lambda on_device, on_host: on_host.add_(on_device[0, 0]),
    "values put into the host": lambda on_device, on_host: on_host.__setitem__(on_host > 0, on_device.flatten()),
    "dropout with a generator of the host": lambda on_device, on_host: on_device.uniform_(
        generator=torch.Generator()
    ),
}


@pytest.mark.parametrize("name", MIXED_OPERATIONS)
def test_operations_on_both_devices_are_refused(fake_cuda: FakeCuda, name: str) -> None:
    on_device, on_host = (
        torch.tensor([[0.0, 1, 0], [1, 1, 0]], device="cuda"),
        torch.tensor([[0.0, 1, 0], [1, 1, 0]]),
    )
    with pytest.raises(RuntimeError, match=r"same device|'cuda' device type for generator"):
        MIXED_OPERATIONS[name](on_device, on_host)


def test_operations_that_cuda_allows(fake_cuda: FakeCuda) -> None:
    on_device = torch.arange(6.0, device="cuda").view(2, 3)
    assert (
        (on_device + torch.tensor(2.0)).device
        == (on_device * 2).device
        == on_device[torch.tensor([1, 0])].device
        == CUDA
    )
    on_device[torch.tensor([0])] = 5.0
    on_device.copy_(torch.ones(2, 3))
    assert on_device.tolist() == [[1, 1, 1]] * 2
    assert torch.ones(2).add_(1).device.type == "cpu"


def test_device_tensors_are_not_converted_to_arrays(fake_cuda: FakeCuda) -> None:
    on_device = torch.ones(2, device="cuda")
    for wrong in (
        on_device.numpy,
        lambda: np.asarray(on_device),
        lambda: np.stack([on_device[:1], on_device[1:]]),
    ):
        with pytest.raises(TypeError, match="numpy"):
            wrong()
    with pytest.raises(RuntimeError, match="pin"):
        on_device.pin_memory()


def test_gradients_copies_and_views_stay_on_the_device(fake_cuda: FakeCuda) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to("cuda", memory_format=torch.channels_last)
    assert all(tensor.is_cuda for tensor in model.state_dict().values())
    model(torch.ones(2, 3, 5, 5, device="cuda")).sum().backward()
    assert all(p.grad.is_cuda for p in model.parameters())
    assert all(tensor.is_cuda for tensor in copy.deepcopy(model).state_dict().values())
    assert all(tensor.is_meta for tensor in copy.deepcopy(model).to("meta").state_dict().values())
    assert not any(tensor.is_cuda for tensor in model.to("cpu").state_dict().values())


def test_reading_before_the_copy_is_complete_is_detected(fake_cuda: FakeCuda) -> None:
    number = torch.ones(1, device="cuda").to("cpu", non_blocking=True)
    for read in (number.numpy, number.item, lambda: number + 1):
        with pytest.raises(CudaMisuse, match="on its way"):
            read()
    event = torch.cuda.Event()
    event.record()
    event.synchronize()
    assert number.item() == 1


def test_changing_memory_during_a_copy_is_detected(fake_cuda: FakeCuda) -> None:
    pinned = torch.ones(100_000).pin_memory()
    pinned.to("cuda", non_blocking=True)
    pinned.zero_()
    with pytest.raises(CudaMisuse, match="changed"):
        torch.ones(1, device="cuda").item()


@pytest.mark.parametrize("forgotten", ["nothing", "wait_stream", "record_stream"])
def test_missing_stream_synchronization_is_detected(forgotten: str) -> None:
    def use() -> None:
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        with torch.cuda.stream(stream):
            on_device = torch.ones(100_000).pin_memory().to("cuda", non_blocking=True)
        if forgotten != "wait_stream":
            current.wait_stream(stream)
        if forgotten != "record_stream":
            on_device.record_stream(current)
        on_device.sum()

    def through() -> None:
        with FakeCuda():
            use()

    if forgotten == "nothing":
        through()
    else:
        with pytest.raises(CudaMisuse, match="stream"):
            through()


def test_synchronizations_are_counted(fake_cuda: FakeCuda) -> None:
    on_device = torch.arange(4.0, device="cuda")
    before = len(fake_cuda.waits)
    _ = on_device * 2, on_device.sum(), on_device[1:], torch.ones(3).to("cuda", non_blocking=True)
    assert len(fake_cuda.waits) == before
    for wait in (
        on_device[0].item,
        lambda: bool((on_device > 0).any()),
        on_device.cpu,
        on_device.tolist,
        lambda: torch.ones(3).to("cuda"),
        on_device.nonzero,
        lambda: on_device[on_device > 1],
        lambda: on_device[torch.tensor([0])],
        on_device.unique,
        lambda: torch.ones(100_000).to("cuda", non_blocking=True),  # from pageable memory
    ):
        before = len(fake_cuda.waits)
        wait()
        assert len(fake_cuda.waits) == before + 1


def test_the_device_has_its_own_random_generator(fake_cuda: FakeCuda) -> None:
    torch.manual_seed(5)
    of_host = torch.get_rng_state()
    on_device, state = F.dropout(torch.ones(50, device="cuda")), torch.cuda.get_rng_state()
    assert torch.equal(torch.get_rng_state(), of_host)
    torch.manual_seed(5)
    assert torch.equal(F.dropout(torch.ones(50, device="cuda")), on_device)
    assert torch.equal(torch.cuda.get_rng_state(), state)


def test_memory_is_limited(fake_cuda: FakeCuda) -> None:
    fake_cuda.limit = fake_cuda.held + 1000
    kept = torch.zeros(200, device="cuda")
    with pytest.raises(torch.OutOfMemoryError):
        kept + 1
    assert fake_cuda.held == fake_cuda.limit - 200
    del kept
    assert (torch.zeros(200, device="cuda")).sum() == 0


# --- number of synchronizations ---


def count_synchronizations(work: Callable[[], object]) -> int:
    """Count the synchronizations of the second of two runs."""
    with FakeCuda() as found:
        work()
        before = len(found.waits)
        work()
        return len(found.waits) - before


def test_the_batches_of_a_search_do_not_synchronize() -> None:
    def searched(count: int) -> int:
        model = network("zfnet", 64).to("cpu")

        def work() -> None:
            on_device = model.to("cuda")
            layers = {"features.0": range(64), "features.6": [5, 3]}
            search(on_device, layers, batches(pictures(count, 64), 4), 3, "cuda", bottom=True)

        return count_synchronizations(work)

    assert searched(24) == searched(4)


def test_the_batches_of_training_and_validation_do_not_synchronize() -> None:
    def trained(count: int, **recipe: Any) -> int:
        def work() -> None:
            trainer = trainer_on("cuda", optimizer="adam", crop_padding=2, **recipe)
            several = samples()[:1] * count
            trainer.train(several)
            trainer.validate(several)

        return count_synchronizations(work)

    for recipe in ({"filter_rms": 0.1}, {"precision": "mixed"}):
        assert trained(2 * BEHIND + 1, **recipe) == trained(1, **recipe)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_batches_of_a_sweep_do_not_synchronize(engine: str) -> None:
    def swept(at_once: int) -> int:
        def work() -> None:
            sweep = sweep_of("zfnet", engine, "cuda", Grid(64, 16, 12), unit=3)
            sweep.at_once = at_once
            run(sweep, 1)

        return count_synchronizations(work)

    assert swept(1) == swept(25)


FETCHES = 2  # synchronizations to fetch values and activations


def test_graph_projections_synchronize_for_results_only() -> None:
    """There is a backward pass, with results of its own, for each unit of an image."""
    pixels, requests = requests_of("graph with sums")

    def projected(turns: int) -> int:
        chosen = requests.at(np.repeat([0, other], turns))

        def work() -> None:
            projector = projector_of("graph with sums", "deconvnet", "cuda", ())
            assert len(list(projector.project(pixels, chosen))) == 2 * turns

        return count_synchronizations(work)

    other = int(np.flatnonzero(requests.images != requests.images[0])[0])
    assert projected(5) - projected(1) == FETCHES * (5 - 1)


@pytest.mark.parametrize(
    "implementation",
    [implementation for implementation, (*_, served) in IMPLEMENTATIONS.items() if served is not None],
)
def test_window_projections_never_wait_for_the_whole_device(implementation: str) -> None:
    """Results are copied asynchronously, so that more batches need no more synchronizations."""
    pixels, requests = requests_of(implementation)

    def projected(at_once: int) -> int:
        def work() -> None:
            projector: Any = projector_of(implementation, "guided", "cuda", requests.ids.tolist())
            projector.at_once = at_once
            assert len(list(projector.project(pixels, requests))) == len(requests.ids)

        return count_synchronizations(work)

    assert projected(4) == projected(20)


def test_the_number_of_queued_batches_is_limited(fake_cuda: FakeCuda) -> None:
    """Without a limit, all images of a search could be in memory at once."""
    upload = Uploader("cuda")
    many = [torch.from_numpy(pictures(2, 40, seed)).permute(0, 3, 1, 2) for seed in range(AHEAD + 3)]
    for pixels in many:
        upload(pixels)
    assert fake_cuda.event_waits == 3
    assert len(fake_cuda.copies) <= len(many)
    readings: Readings[int] = Readings(CUDA)
    given = [note for turn in range(BEHIND + 3) for _, note in readings.add([torch.ones((), device="cuda")], turn)]
    assert given == [0, 1, 2]
    assert [note for _, note in readings.rest()] == list(range(3, BEHIND + 3))


def test_on_a_cpu_readings_are_immediate() -> None:
    readings: Readings[str] = Readings(torch.device("cpu"))
    assert list(readings.add([torch.tensor(2), torch.tensor(0.1)], "a")) == [([2.0, float(np.float32(0.1))], "a")]
    assert list(readings.rest()) == []


# --- workers ---


def test_the_projections_of_a_sweep(fake_cuda: FakeCuda) -> None:
    model = network("zfnet", 64, "cuda")
    specification: Any = SimpleNamespace(
        network=SimpleNamespace(image_size=64, mean=(0.5,) * 3, std=(0.5,) * 3), path="features.6", layer="conv3"
    )
    context: Any = SimpleNamespace(device=CUDA, log=lambda *words: None)
    pixels = torch.from_numpy(pictures(3, 64)).permute(0, 3, 1, 2)
    shown = UnitProjections(context, specification, model).of(
        pixels, [3, 7, 3], [ImageSource(number, Path()) for number in range(3)]
    )
    assert any(picture is not None for picture in shown)


@pytest.mark.parametrize("engine", ["auto", "full"])
def test_an_estimate(fake_cuda: FakeCuda, engine: str) -> None:
    network = SWEEP.network.model_copy(
        update={"name": "zfnet", "image_size": 64, "fc": 8, "classes": 5, "maps": (8, 8, 8), "without": ()}
    )
    specification = SWEEP.model_copy(
        update={
            "network": network,
            "path": "features.6",
            "patch": 16,
            "stride": 16,
            "engine": engine,
            "memory_mb": 4,
        }
    )
    found = estimate(build_network(network, Store(Path())), specification, CUDA)
    assert found["device"] == "cuda:0"
    assert found["seconds_an_image"] > 0


def test_one_network_is_cached_and_never_two(monkeypatch: pytest.MonkeyPatch, fake_cuda: FakeCuda) -> None:
    """The previous network is released before the next one is loaded."""
    held: list[int] = []

    def made(specification: NetworkSpecification, *where: object) -> nn.Module:
        held.append(fake_cuda.held)
        return nn.Linear(100, 100).to("cuda")

    monkeypatch.setattr(common, "_load_network", made)
    context: Any = SimpleNamespace(
        device=CUDA, store=SimpleNamespace(root=Path("store"), locate=lambda path: None)
    )
    a, b = (NetworkSpecification(name="zfnet", classes=3, image_size=size) for size in (64, 96))
    empty = fake_cuda.held
    first = common.load_network(context, a, "weights")
    assert common.load_network(context, a, "weights") is first
    del first
    common.load_network(context, b, "weights")
    assert held == [empty, empty]
    common.clear_network_cache()
    assert fake_cuda.held == empty


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (
            RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"
            ),
            True,
        ),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
    ],
)
def test_out_of_memory_errors_are_recognized(error: RuntimeError, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one
