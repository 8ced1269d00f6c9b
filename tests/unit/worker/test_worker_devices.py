"""Errors that corrupt a process's CUDA context, and the check of a device that does not exist."""

from __future__ import annotations

import pytest
import torch

from unitscope.errors import UnitscopeError
from worker.devices import ACCELERATOR_ERROR, DeviceUnusable, check_device, corrupts_cuda_context

HINT = "\nCUDA kernel errors might be asynchronously reported at some other API call"


def raised(error: Exception, cause: Exception | None = None, handled: Exception | None = None) -> Exception:
    """Return the error as caught, raised from a cause or while handling another error."""
    try:
        if handled:
            try:
                raise handled
            except Exception:
                raise error  # noqa: B904 - the implicit context is tested
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
def test_cuda_errors_corrupt_the_context(error: Exception) -> None:
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
def test_other_errors_do_not_corrupt_the_context(error: Exception) -> None:
    assert not corrupts_cuda_context(error)


def test_an_accelerator_error_is_recognized_by_its_class() -> None:
    if ACCELERATOR_ERROR == ():
        pytest.skip("this version of PyTorch has no AcceleratorError")
    assert corrupts_cuda_context(ACCELERATOR_ERROR("something new"))
    assert not corrupts_cuda_context(ACCELERATOR_ERROR("CUDA error: out of memory"))


def test_a_missing_device_is_reported() -> None:
    check_device("cpu")
    with pytest.raises(DeviceUnusable) as caught:
        check_device("cuda:63")
    assert 0 < len(str(caught.value)) < 200
