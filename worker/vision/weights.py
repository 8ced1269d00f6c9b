"""Weights from files that may be hostile: tensors only, never a pickle that runs code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from shared.errors import NoSuchFile, WeightsDontFit, WeightsNotReadable

Weights = dict[str, torch.Tensor]


def read_weights(path: Path) -> Weights:
    """Tensors by name from a ``.safetensors`` file, or from a ``.pth`` file with ``weights_only=True``.

    A ``.pth`` file may hold the state_dict itself or have it under ``state_dict`` or ``model``; the prefix
    ``module.`` of DataParallel is taken off.

    Raises
    ------
    NoSuchFile, WeightsNotReadable
    """
    if not path.is_file():
        raise NoSuchFile(path=path)
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsNotReadable(path=path, reason=error) from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises all sorts of things on a file that isn't what it says
        # Not torch's words: they advise to read the file unsafely.
        raise WeightsNotReadable(
            path=path, reason=f"it is damaged, or holds other things ({type(error).__name__})"
        ) from error
    for name in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    if not _are_tensors(loaded):
        raise WeightsNotReadable(path=path, reason="it holds no dictionary of tensors")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def _are_tensors(loaded: Any) -> bool:
    return (
        isinstance(loaded, dict)
        and bool(loaded)
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in loaded.items())
    )


def load_weights(model: nn.Module, weights: Weights, network: str, path: Path | str) -> None:
    """Put ``weights`` into ``model``: every name and shape must fit, every value be finite.

    Raises
    ------
    WeightsDontFit
    WeightsNotReadable
        a value is not finite.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in weights]
    foreign = [name for name in weights if name not in expected]
    shapes = [
        f"{name} is {list(weights[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    reasons = [
        *([f"{len(missing)} tensors are missing (the first: {missing[0]})"] if missing else []),
        *([f"{len(foreign)} tensors are foreign (the first: {foreign[0]})"] if foreign else []),
        *shapes[:3],
    ]
    if reasons:
        raise WeightsDontFit(path=path, network=network, reason="; ".join(reasons))
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = tensor[~torch.isfinite(tensor)][0].item()
            raise WeightsNotReadable(path=path, reason=f"tensor {name} holds {bad}, which is not finite")
    model.load_state_dict(weights)


def weights_writer(weights: Weights) -> Callable[[IO[bytes]], object]:
    """What writes ``weights`` to an open file as safetensors, with names in a fixed order."""
    ordered = {name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}
    return lambda file: file.write(safetensors.torch.save(ordered))
