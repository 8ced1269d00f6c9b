"""Weights from files that may be hostile: tensors only, never a pickle that runs code."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from unitscope.errors import NoSuchFile, WeightsDontFit, WeightsNotReadable

Weights = dict[str, torch.Tensor]

LARGEST_FILE = 32 * 2**30  # bytes; the largest of torchvision has 2.5 GB
LONGEST_NAME = 200  # characters that a message repeats


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
    if path.stat().st_size > LARGEST_FILE:
        raise WeightsNotReadable(path=path, reason=f"{path.stat().st_size} bytes are too many")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsNotReadable(path=path, reason=error) from error
    if _is_compressed(path):
        raise WeightsNotReadable(path=path, reason="its parts are compressed, which torch.save never does")
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
    weights = {name.removeprefix("module."): tensor for name, tensor in loaded.items()}
    if len(weights) < len(loaded):
        raise WeightsNotReadable(path=path, reason="it has tensors both with and without the prefix 'module.'")
    return weights


def _is_compressed(path: Path) -> bool:
    """torch.load would unpack it without a limit."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # of the format before PyTorch 1.6, or none at all


def _odd_kind(tensor: torch.Tensor) -> str | None:
    """What makes a tensor none that a network's parameter can be filled from."""
    kinds = {
        "sparse": tensor.layout is not torch.strided,
        "complex": tensor.is_complex(),
        "quantized": tensor.is_quantized,
        "meta": tensor.is_meta,
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


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
    odd = [
        f"{name[:LONGEST_NAME]} is a {kind} tensor"
        for name, tensor in weights.items()
        if (kind := _odd_kind(tensor))
    ]
    reasons = [
        *odd[:3],
        *([f"{len(missing)} tensors are missing (the first: {missing[0]})"] if missing else []),
        *([f"{len(foreign)} tensors are foreign (the first: {foreign[0][:LONGEST_NAME]})"] if foreign else []),
        *shapes[:3],
    ]
    if reasons:
        raise WeightsDontFit(path=path, network=network, reason="; ".join(reasons))
    for name, tensor in weights.items():
        try:
            found = tensor.to(expected[name].dtype)  # a double may overflow, and 8 bits have no isfinite
        except (RuntimeError, NotImplementedError) as error:  # of bare bits, that are no numbers
            reason = f"{name} is of type {tensor.dtype}, which is none of numbers"
            raise WeightsDontFit(path=path, network=network, reason=reason) from error
        if not torch.isfinite(found).all():
            bad = found[~torch.isfinite(found)][0].item()
            raise WeightsNotReadable(path=path, reason=f"tensor {name} holds {bad}, which is not finite")
    model.load_state_dict(weights)


def load_pretrained(model: nn.Module, weights: Weights, network: str, path: Path | str) -> list[str]:
    """Put ``weights`` into ``model`` as ``load_weights`` does, but for another number of classes.

    The last ``nn.Linear`` in the order of the modules is the head: if a tensor of it has another shape in
    ``weights``, the whole head stays as it was initialised.

    Returns
    -------
    The names of the tensors that were left as they were.

    Raises
    ------
    WeightsDontFit
    WeightsNotReadable
        a value is not finite.
    """
    own = model.state_dict()
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    head = {name for path in linear[-1:] for name in own if name.rpartition(".")[0] == path}
    given = [name for name in own if name in head and name in weights]  # a missing one is still missed
    left = given if any(weights[name].shape != own[name].shape for name in given) else []
    load_weights(model, {**weights, **{name: own[name] for name in left}}, network, path)
    return left


def weights_writer(weights: Weights) -> Callable[[IO[bytes]], object]:
    """What writes ``weights`` to an open file as safetensors, with names in a fixed order."""
    ordered: Weights = {}
    taken: set[int] = set()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        # safetensors writes nothing that shares its memory with another tensor.
        if tensor.untyped_storage().data_ptr() in taken or tensor.untyped_storage().nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        taken.add(tensor.untyped_storage().data_ptr())
        ordered[name] = tensor
    return lambda file: file.write(safetensors.torch.save(ordered))
