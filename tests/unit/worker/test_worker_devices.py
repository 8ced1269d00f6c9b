"""Which errors break a process' CUDA context, and what a worker does with a device that isn't there."""

from __future__ import annotations

import pytest
import torch

from unitscope.errors import UnitscopeError
from worker.devices import ACCELERATOR_ERROR, DeviceUnusable, check_device, corrupts_cuda_context

HINT = "\nCUDA kernel errors might be asynchronously reported at some other API call"


def raised(error: Exception, cause: Exception | None = None, handled: Exception | None = None) -> Exception:
    """The error as it is caught, raised from a cause, or while another one was handled."""
    try:
        if handled:
            try:
                raise handled
            except Exception:
                raise error  # noqa: B904 - that is the case
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(f"CUDA error: an illegal memory access was encountered{HINT}"),
        RuntimeError(f"CUDA error: device-side assert triggered{HINT}"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("No CUDA GPUs are available"),
        raised(UnitscopeError(reason="x"), cause=RuntimeError("CUDA error: unspecified launch failure")),
        raised(ValueError("x"), handled=RuntimeError("CUDA error: unspecified launch failure")),
    ],
    ids=str,
)
def test_cuda_errors_break_the_process(error: Exception) -> None:
    assert corrupts_cuda_context(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(f"CUDA error: out of memory{HINT}"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        ValueError("CUDA error: this is no error of PyTorch"),
        UnitscopeError(reason="CUDA error: nor is this"),
        raised(ValueError("x"), cause=RuntimeError("y"), handled=None),
    ],
    ids=str,
)
def test_other_errors_do_not(error: Exception) -> None:
    assert not corrupts_cuda_context(error)


def test_an_accelerators_error_is_known_by_its_class() -> None:
    if ACCELERATOR_ERROR == ():
        pytest.skip("this PyTorch has no such class")
    assert corrupts_cuda_context(ACCELERATOR_ERROR("something new"))
    assert not corrupts_cuda_context(ACCELERATOR_ERROR("CUDA error: out of memory"))


def test_a_device_that_is_not_there_is_noticed() -> None:
    check_device("cpu")
    with pytest.raises(DeviceUnusable) as caught:
        check_device("cuda:63")
    assert 0 < len(str(caught.value)) < 200
