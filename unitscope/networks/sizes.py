"""Sizes of images that a network can't process, and those that it can, found by trying."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from unitscope.description import input_defaults
from unitscope.errors import UnsupportedSize
from unitscope.networks.unallocated import meta_copy


def unsupported_size(network: str, size: int, runs: Callable[[int], bool], reason: str) -> UnsupportedSize:
    """Return the error for images that are too small or too large for a network.

    Parameters
    ----------
    network, size
        name of the network, and the height and width that it can't process, in pixels.
    runs
        whether the network can process images of a size.
    reason
        torch's message, given where no size is known that works.
    """
    usual = input_defaults(network).size
    if not runs(usual):
        return UnsupportedSize(network=network, size=size, reason=reason)
    if size > usual or not runs(2 * usual):
        return UnsupportedSize(network=network, size=size, reason=f"it is made for images of {usual} pixels")
    smallest = _smallest(runs, fails=size, works=usual)
    return UnsupportedSize(network=network, size=size, reason=f"the smallest size that works is {smallest}")


def _smallest(runs: Callable[[int], bool], fails: int, works: int) -> int:
    """Return the smallest size that works, by bisection."""
    while works - fails > 1:
        middle = (fails + works) // 2
        if runs(middle):
            works = middle
        else:
            fails = middle
    return works


def runs_on_meta(model: nn.Module) -> Callable[[int], bool]:
    """Return a function that tells whether a network can process images of a size, without computing anything."""
    blank = meta_copy(model).eval()

    def runs(size: int) -> bool:
        try:
            with torch.inference_mode():
                blank(torch.empty(1, 3, size, size, device="meta"))
        except Exception:  # a user's code can raise anything
            return False
        return True

    return runs
