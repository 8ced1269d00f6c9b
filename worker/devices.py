"""Checks whether this process can still compute on its device.

A CUDA error other than out of memory corrupts the process's CUDA context: every later computation fails with the
same error. Such a process has to exit; the device itself may be fine.
"""

from __future__ import annotations

from functools import cache

import torch

from unitscope.memory import is_out_of_memory

# Prefixes of the messages of PyTorch's CUDA errors that have no class of their own.
CUDA_ERRORS = (
    *("CUDA error", "CUDA driver error", "CUDA unknown error", "cuDNN error"),
    *("No CUDA GPUs are available", "Found no NVIDIA driver", "Unexpected error from cudaGetDeviceCount"),
)
ACCELERATOR_ERROR: type[RuntimeError] | tuple[()] = getattr(torch, "AcceleratorError", ())


class DeviceUnusable(Exception):
    """This process can't use its device any more and has to exit."""


def corrupts_cuda_context(error: BaseException | None) -> bool:
    """Return whether an exception, or a cause or context of it, is a CUDA error that corrupts the CUDA context."""
    while error is not None:
        if _is_cuda_error(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_memory_error(error: BaseException) -> bool:
    """Return whether the device or the machine ran out of memory."""
    if isinstance(error, RuntimeError):
        return is_out_of_memory(error) or "out of memory" in str(error) or "bad_alloc" in str(error)
    return isinstance(error, MemoryError)


def _is_cuda_error(error: BaseException) -> bool:
    if is_memory_error(error):
        return False
    return isinstance(error, ACCELERATOR_ERROR) or (
        isinstance(error, RuntimeError) and str(error).startswith(CUDA_ERRORS)
    )


@cache
def check_device(device: str) -> None:
    """Check that the device can compute. Later calls in the same process do nothing.

    Raises
    ------
    DeviceUnusable
    """
    try:
        torch.ones(1, device=device).sum().item()
    except (RuntimeError, AssertionError) as error:  # the latter: PyTorch without CUDA
        raise DeviceUnusable(str(error).partition("\n")[0]) from error
