"""Out-of-memory errors, and the batch size to use after one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch

Result = TypeVar("Result")

# Messages of the CPU allocator, and of CUDA libraries, which allocate memory themselves. cuDNN skips algorithms
# whose workspace doesn't fit; the last message is raised when no algorithm is left.
WORDS = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error reports that memory could not be allocated, by its type or its message."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in WORDS)


def run_or_halve(
    run: Callable[[], Result], at_once: int, device: torch.device, on_smaller: Callable[[int], None]
) -> tuple[Result | None, int]:
    """Run a batch of ``at_once`` images.

    Returns
    -------
    result
        of ``run``; None if it ran out of memory.
    at_once
        the batch size to use from now on: half of it after running out of memory, which ``on_smaller`` is told.

    Raises
    ------
    RuntimeError
        not even one image at a time fits into memory, or another error of ``run``.
    """
    try:
        return run(), at_once
    except RuntimeError as error:
        if not is_out_of_memory(error) or at_once == 1:
            raise
    if device.type == "cuda":  # after the handler, because the exception's traceback references tensors
        torch.cuda.empty_cache()
    smaller = at_once // 2
    on_smaller(smaller)
    return None, smaller


def run_in_parts(
    run: Callable[[torch.Tensor], Result], images: torch.Tensor, at_once: int, on_smaller: Callable[[int], None]
) -> tuple[list[Result], int]:
    """Run images in parts that fit into memory.

    Parameters
    ----------
    at_once
        number of images in a part; 0: all of them.

    Returns
    -------
    results
        of ``run`` for each part.
    at_once
        that of the parts: for the next images.
    """
    results: list[Result] | None = None
    while results is None:
        size = at_once or len(images)
        results, smaller = run_or_halve(partial(_run_each, run, images, size), size, images.device, on_smaller)
        if results is None:
            at_once = smaller
    return results, at_once


def _run_each(run: Callable[[torch.Tensor], Result], images: torch.Tensor, size: int) -> list[Result]:
    return [run(part) for part in images.split(size)]
