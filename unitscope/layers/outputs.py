"""Outputs of modules, read as maps [N, units, rows, columns], whatever their form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from unitscope.layers.forms import LayerForm


def first_tensor(output: Any) -> torch.Tensor | None:
    """Return a module's output, or the first tensor of several: attention also returns its weights. None if there
    is none."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    for part in output if isinstance(output, (tuple, list)) else ():
        if (found := first_tensor(part)) is not None:
            return found
    return None


def as_maps(output: torch.Tensor, form: LayerForm | None) -> torch.Tensor:
    """Return a view of an output as maps [N, units, rows, columns]; ``LayerForm.at`` returns positions in it.

    Parameters
    ----------
    output
        a module's output.
    form
        its form; None for maps [N, units, rows, columns], of which only the number of dimensions is checked.

    Raises
    ------
    ValueError
        the output has another form.
    """
    if form is None:
        if output.dim() != 4:
            raise ValueError(f"the output has the shape {_shape(output)}, which are no maps [N, C, H, W]")
        return output
    if output.dim() != form.dimensions or output.shape[-1 if form.channels_last else 1] != form.units:
        raise ValueError(
            f"the output has the shape {_shape(output)}, not that of {form.units} units ({form.title})"
        )
    if form.kind == "vectors":
        return output[:, :, None, None]
    if form.kind == "tokens":
        return (output.transpose(1, 2) if form.channels_last else output)[:, :, None, :]
    return output.permute(0, 3, 1, 2) if form.channels_last else output


def _shape(output: torch.Tensor) -> str:
    return " x ".join(map(str, output.shape))
