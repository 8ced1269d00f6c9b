"""Device memory that a worker process holds between two shards."""

from __future__ import annotations

import gc

import torch

from tests.gpu.devices import Device
from tests.gpu.networks import batches, network, pictures
from tests.gpu.test_training import epoch, trainer_on
from unitscope.search.search import search
from worker.memory import release_memory


def shards(device: torch.device) -> None:
    """Run a search that succeeds, a training epoch, and a search that fails."""
    model = network("zfnet", 64, device)
    search(model, {"features.6": range(8)}, batches(pictures(16, 64), 8), device=device)
    epoch(trainer_on(device))
    try:
        search(model, {"features.6": [8000]}, batches(pictures(16, 64), 8), device=device)
    except IndexError:
        pass
    else:
        raise AssertionError("there is no such unit")


def test_no_tensors_stay_on_the_device_after_a_shard(gpu: Device) -> None:
    release_memory()
    if gpu.fake_cuda is None:
        small = torch.ones(64, 64, device=gpu.device)
        torch.nn.functional.conv2d(small[None, None] @ small, small[None, None, :3, :3]).sum().item()
        release_memory()
    before = torch.cuda.memory_reserved()
    gc.disable()  # a collection at a random time would hide leaks
    try:
        shards(gpu.device)
        release_memory()
    finally:
        gc.enable()
    # CUDA libraries keep a workspace until the process exits.
    assert torch.cuda.memory_reserved() - before <= (0 if gpu.fake_cuda else 2**26)
