"""The vision code on a GPU, against the CPU.

Each test runs on a device that is pretended (``tests.pretended_device``), and on a CUDA device if there is one. So
none of this is first run on the day when a card is at hand. The CPU by itself has its tests elsewhere.

Nothing here needs a database, or more than torch, torchvision, NumPy, Pillow, safetensors and pydantic. Where what
the other tests need isn't installed: ``python -m pytest --confcutdir tests/gpu --numprocesses 0 tests/gpu``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.gpu.devices import REASON, Device
from tests.pretended_device import PretendedDevice
from worker.arithmetic import settle_arithmetic

settle_arithmetic(threads=1)

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test draws the same tensors whatever ran before it."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip(REASON)
    torch.manual_seed(0)


@pytest.fixture(params=["pretended", CUDA])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where to compute."""
    with _device(request.param) as found:
        yield found.device


@pytest.fixture(params=["pretended", CUDA])
def gpu(request: pytest.FixtureRequest) -> Iterator[Device]:
    """A device with a memory of its own."""
    with _device(request.param) as found:
        yield found


def _device(name: str) -> Device:
    return Device(torch.device("cuda"), PretendedDevice() if name == "pretended" else None)
