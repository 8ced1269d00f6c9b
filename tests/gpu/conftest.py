"""Tests of the library on a GPU compared with the CPU.

Each test runs on a fake CUDA device (``tests.pretended_device``), so that the code is tested without a GPU, and on
a real CUDA device if there is one. Tests of the CPU alone are elsewhere.

The tests need no database, and only torch, torchvision, NumPy, Pillow, safetensors and pydantic. If the packages
of the other tests are not installed, run ``python -m pytest --confcutdir tests/gpu --numprocesses 0 tests/gpu``.
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
    """Seed torch before each test, so that the order of tests doesn't matter."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip(REASON)
    torch.manual_seed(0)


@pytest.fixture(params=["pretended", CUDA])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The fake or real CUDA device."""
    with _device(request.param) as device:
        yield device.device


@pytest.fixture(params=["pretended", CUDA])
def gpu(request: pytest.FixtureRequest) -> Iterator[Device]:
    """The same, with methods to measure and limit its memory."""
    with _device(request.param) as device:
        yield device


def _device(name: str) -> Device:
    return Device(torch.device("cuda"), PretendedDevice() if name == "pretended" else None)
