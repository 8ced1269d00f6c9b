"""Networks that compute in low precision."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from unitscope.arithmetic import tf32_precision
from unitscope.errors import ScreeningNotPossible
from unitscope.vocabulary import Screen

# Half the distance of adjacent numbers, relative to them: the error of rounding a result once.
ROUNDING: dict[Screen, float] = {"bfloat16": 2.0**-9, "tf32": 2.0**-12}


@contextmanager
def low_precision(
    model: nn.Module, precision: Screen, device: torch.device
) -> Iterator[tuple[nn.Module, torch.dtype]]:
    """Provide a network that computes in low precision within the context, and the type of its weights.

    bfloat16 is computed by a copy of the network, in its memory format, except for contrast normalization, which
    has no bfloat16 on a CPU; TF32 by the network itself.

    Raises
    ------
    ScreeningNotPossible
        the device has no TF32, or an operation of the network has no bfloat16.
    """
    if precision == "tf32":
        if device.type != "cuda":
            raise ScreeningNotPossible(precision=precision, reason=f"the device '{device}' is not a GPU")
        with tf32_precision():
            yield model, torch.float32
        return
    half = copy.deepcopy(model).to(torch.bfloat16)
    for module in half.modules():
        if isinstance(module, nn.LocalResponseNorm):
            module.register_forward_pre_hook(lambda module, inputs: inputs[0].float())
            module.register_forward_hook(lambda module, inputs, output: output.bfloat16())
    try:
        yield half, torch.bfloat16
    except RuntimeError as error:
        if "dtype" in str(error) or "BFloat16" in str(error):
            raise ScreeningNotPossible(precision=precision, reason=error) from error
        raise


def computes_natively(precision: Screen, device: torch.device) -> bool:
    """Whether a device has instructions for a precision; without them it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    supported = [getattr(torch.cpu, f"_is_{name}_supported", bool) for name in ("amx_tile", "avx512_bf16")]
    return precision == "bfloat16" and any(support() for support in supported)
