"""Whether this process can still compute on its device.

A CUDA error other than too little memory breaks the process' CUDA context: whatever it computes from then on fails
with the same error. Such a process has to end; the device itself may be well.
"""

from __future__ import annotations

from functools import cache

import torch

from unitscope.memory import is_out_of_memory

# What PyTorch's messages begin with, where they have no class of their own.
CUDA_ERRORS = (
    *("CUDA error", "CUDA driver error", "CUDA unknown error", "cuDNN error"),
    *("No CUDA GPUs are available", "Found no NVIDIA driver", "Unexpected error from cudaGetDeviceCount"),
)
ACCELERATOR_ERROR: type[RuntimeError] | tuple[()] = getattr(torch, "AcceleratorError", ())


class DeviceUnusable(Exception):
    """The device can't be used by this process any more: it has to end."""


def breaks_the_process(error: BaseException | None) -> bool:
    """Whether an exception is, or comes from, a CUDA error after which the process can compute nothing."""
    while error is not None:
        if _is_cuda_error(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def lacks_memory(error: BaseException) -> bool:
    """Whether the device's memory, or the machine's, did not suffice."""
    if isinstance(error, RuntimeError):
        return is_out_of_memory(error) or "out of memory" in str(error) or "bad_alloc" in str(error)
    return isinstance(error, MemoryError)


def _is_cuda_error(error: BaseException) -> bool:
    if lacks_memory(error):
        return False
    return isinstance(error, ACCELERATOR_ERROR) or (
        isinstance(error, RuntimeError) and str(error).startswith(CUDA_ERRORS)
    )


@cache
def see_that_usable(device: str) -> None:
    """Compute something on the device; only the first time in this process.

    Raises
    ------
    DeviceUnusable
    """
    try:
        torch.ones(1, device=device).sum().item()
    except (RuntimeError, AssertionError) as error:  # the latter: PyTorch without CUDA
        raise DeviceUnusable(str(error).partition("\n")[0]) from error
