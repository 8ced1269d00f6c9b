"""Tests of the library on a GPU compared with the CPU.

Each test runs on a fake CUDA device (``tests.fake_cuda``), so that the code is tested without a GPU, and on
a real CUDA device if there is one. Tests of the CPU alone are elsewhere.

The tests need no database, and only torch, torchvision, NumPy, Pillow, safetensors and pydantic. If the packages
of the other tests are not installed, run ``python -m pytest --confcutdir tests/gpu --numprocesses 0 tests/gpu``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.fake_cuda import FakeCuda
from tests.gpu.devices import REASON, Device
from worker.arithmetic import configure_determinism

configure_determinism(threads=1)

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seed torch before each test, so that the order of tests doesn't matter."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip(REASON)
    torch.manual_seed(0)


@pytest.fixture(params=["fake", CUDA])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The fake or real CUDA device."""
    with _device(request.param) as device:
        yield device.device


@pytest.fixture(params=["fake", CUDA])
def gpu(request: pytest.FixtureRequest) -> Iterator[Device]:
    """The same, with methods to measure and limit its memory."""
    with _device(request.param) as device:
        yield device


def _device(name: str) -> Device:
    return Device(torch.device("cuda"), FakeCuda() if name == "fake" else None)
