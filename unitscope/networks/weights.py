"""Reading and writing of weights. Files may be hostile: only tensors are loaded, and no pickled code is run."""

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

LARGEST_FILE = 32 * 2**30  # bytes; torchvision's largest file has 2.5 GB
LONGEST_NAME = 200  # characters of a tensor's name in a message


def read_weights(path: Path) -> Weights:
    """Read tensors by name from a ``.safetensors`` file, or from a ``.pth`` file with ``weights_only=True``.

    A ``.pth`` file may contain the state_dict itself, or a dictionary with the state_dict under ``state_dict`` or
    ``model``. The prefix ``module.`` of DataParallel is removed.

    Raises
    ------
    NoSuchFile
        ``path`` is not a file.
    WeightsNotReadable
        the file is too large, damaged, compressed, or contains anything but tensors.
    """
    if not path.is_file():
        raise NoSuchFile(path=path)
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise WeightsNotReadable(path=path, reason=f"its {size} bytes exceed the limit of {LARGEST_FILE}")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsNotReadable(path=path, reason=error) from error
    if _is_compressed(path):
        raise WeightsNotReadable(path=path, reason="it is a compressed archive, which torch.save never writes")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler can raise anything on an invalid file
        # Torch's message is left out: it advises to load the file unsafely.
        raise WeightsNotReadable(
            path=path, reason=f"it is damaged, or contains more than tensors ({type(error).__name__})"
        ) from error
    for name in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    if not _are_tensors(loaded):
        raise WeightsNotReadable(path=path, reason="it contains no dictionary of tensors")
    weights = {name.removeprefix("module."): tensor for name, tensor in loaded.items()}
    if len(weights) < len(loaded):
        reason = "it contains a tensor twice, with and without the prefix 'module.'"
        raise WeightsNotReadable(path=path, reason=reason)
    return weights


def _is_compressed(path: Path) -> bool:
    """Whether a file is a zip archive with compressed members: ``torch.load`` has no limit on their size."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # the format before PyTorch 1.6, or not a weights file


def _unsupported_kind(tensor: torch.Tensor) -> str | None:
    """Name the property for which a parameter can't be copied from a tensor; None if it can."""
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
    """Load ``weights`` into ``model`` in place.

    Parameters
    ----------
    weights
        tensors with the names and shapes of the model's ``state_dict``, all finite.
    network, path
        name of the network and of the file, for error messages.

    Raises
    ------
    WeightsDontFit
        a name is missing or unexpected, a shape differs, or a tensor's type is not supported.
    WeightsNotReadable
        a value is not finite.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    shapes = [
        f"{name} is {list(weights[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    unsupported = [
        f"{name[:LONGEST_NAME]} is a {kind} tensor"
        for name, tensor in weights.items()
        if (kind := _unsupported_kind(tensor))
    ]
    reasons = [*unsupported[:3]]
    if missing:
        reasons.append(f"{len(missing)} tensors are missing (first: {missing[0]})")
    if unexpected:
        reasons.append(f"{len(unexpected)} tensors are unexpected (first: {unexpected[0][:LONGEST_NAME]})")
    reasons += shapes[:3]
    if reasons:
        raise WeightsDontFit(path=path, network=network, reason="; ".join(reasons))
    for name, tensor in weights.items():
        try:
            # Before the check: a float64 can overflow to infinity, and isfinite doesn't support 8-bit floats.
            converted = tensor.to(expected[name].dtype)
        except (RuntimeError, NotImplementedError) as error:  # types such as torch.bits8
            reason = f"{name} is of type {tensor.dtype}, which can't be converted to numbers"
            raise WeightsDontFit(path=path, network=network, reason=reason) from error
        if not torch.isfinite(converted).all():
            bad = converted[~torch.isfinite(converted)][0].item()
            raise WeightsNotReadable(path=path, reason=f"tensor {name} contains {bad}, which is not finite")
    model.load_state_dict(weights)


def load_pretrained(model: nn.Module, weights: Weights, network: str, path: Path | str) -> list[str]:
    """Load ``weights`` as ``load_weights`` does, except for a head with another number of classes.

    The head is the last ``nn.Linear`` in module order. If the shape of one of its tensors differs in ``weights``,
    the whole head keeps its initial values.

    Returns
    -------
    Names of the tensors that were not loaded.

    Raises
    ------
    WeightsDontFit
        a name is missing or unexpected, a shape outside of the head differs, or a tensor's type is not supported.
    WeightsNotReadable
        a value is not finite.
    """
    current = model.state_dict()
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    head = {name for path in linear[-1:] for name in current if name.rpartition(".")[0] == path}
    given = [name for name in current if name in head and name in weights]  # load_weights reports missing ones
    skipped = given if any(weights[name].shape != current[name].shape for name in given) else []
    load_weights(model, {**weights, **{name: current[name] for name in skipped}}, network, path)
    return skipped


def weights_writer(weights: Weights) -> Callable[[IO[bytes]], object]:
    """Return a function that writes ``weights`` to an open binary file as safetensors, sorted by name."""
    ordered: Weights = {}
    taken: set[int] = set()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        # safetensors refuses tensors that share memory.
        if tensor.untyped_storage().data_ptr() in taken or tensor.untyped_storage().nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        taken.add(tensor.untyped_storage().data_ptr())
        ordered[name] = tensor
    return lambda file: file.write(safetensors.torch.save(ordered))
