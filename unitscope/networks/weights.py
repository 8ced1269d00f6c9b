"""Loading and writing of weights: tensors with the names and shapes of a network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO

import safetensors.torch
import torch
from torch import nn

from unitscope.errors import OtherClasses, WeightsAmbiguous, WeightsDontFit, WeightsNotFinite
from unitscope.networks.checkpoints import LARGEST_FILE, LONGEST_NAME, Weights, read_checkpoint

__all__ = ["LARGEST_FILE", "Weights", "load_pretrained", "load_weights", "read_weights", "weights_writer"]


def read_weights(path: Path) -> Weights:
    """Read the tensors of a file that contains one dictionary of tensors, which may be nested in others.

    Raises
    ------
    NoSuchFile
        ``path`` is not a file.
    WeightsNotReadable
        see ``read_checkpoint``.
    WeightsAmbiguous
        the file contains several dictionaries of tensors; ``names.fit`` chooses the one that fits a network.
    """
    state_dicts = read_checkpoint(path).state_dicts
    if len(state_dicts) > 1:
        choices = ", ".join(f"'{key[:LONGEST_NAME]}'" for key in list(state_dicts)[:3])
        raise WeightsAmbiguous(path=path, network="a network", choices=choices)
    return next(iter(state_dicts.values())).tensors


def _unsupported_kind(tensor: torch.Tensor) -> str | None:
    """Name the property for which a parameter can't be copied from a tensor; None if it can."""
    kinds = {
        "nested": tensor.is_nested,
        "sparse": tensor.layout is not torch.strided,
        "complex": tensor.is_complex(),
        "quantized": tensor.is_quantized,
        "meta": tensor.is_meta,
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def _check_kinds(weights: Weights, network: str, path: Path | str) -> None:
    unsupported = [
        f"{name[:LONGEST_NAME]} is a {kind} tensor"
        for name, tensor in weights.items()
        if (kind := _unsupported_kind(tensor))
    ]
    if unsupported:
        raise WeightsDontFit(path=path, network=network, reason="; ".join(unsupported[:3]))


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
    OtherClasses
        only the last layer's number of outputs differs.
    WeightsDontFit
        a name is missing or unexpected, a shape differs, or a tensor's type is not supported.
    WeightsNotFinite
        a value is not finite.
    """
    _check_kinds(weights, network, path)  # first, since a nested tensor has no shape
    expected = model.state_dict()
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    shapes = [
        f"{name} is {list(weights[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    reasons = []
    if missing:
        reasons.append(f"{_tensors(len(missing))} missing (first: {missing[0]})")
    if unexpected:
        reasons.append(f"{_tensors(len(unexpected))} unexpected (first: {unexpected[0][:LONGEST_NAME]})")
    if shapes and not reasons and (classes := _other_classes(model, weights)):
        found, needed = classes
        raise OtherClasses(path=path, network=network, found=found, needed=needed, shapes="; ".join(shapes))
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
            dtype = str(converted.dtype).removeprefix("torch.")
            raise WeightsNotFinite(path=path, tensor=name, value=bad, dtype=dtype)
    state: Weights = OrderedDict(weights)
    # The names and shapes are those of the modules' present versions; some modules need to be told so.
    vars(state)["_metadata"] = vars(expected)["_metadata"]
    model.load_state_dict(state)


def _other_classes(model: nn.Module, weights: Weights) -> tuple[int, int] | None:
    """Return the number of outputs of the head in ``weights`` and in the model, if nothing else differs."""
    path = _resized_head(model, weights)
    if path is None or not isinstance(model.get_submodule(path), (nn.Linear, nn.Conv2d)):
        return None
    numbers = {
        (len(weights[name]), len(tensor))
        for name, tensor in model.state_dict().items()
        if name.rpartition(".")[0] == path
    }
    return numbers.pop() if len(numbers) == 1 else None


def _resized_head(model: nn.Module, weights: Weights) -> str | None:
    """Return the path of the head of which ``weights`` has another number of outputs; None if more differs.

    It is the only module whose tensors have other shapes, and only their first dimension differs: another layer
    with more outputs would have a successor with more inputs. It need not be the last in the order of modules.
    """
    paths = set()
    for name, tensor in model.state_dict().items():
        given = weights[name].shape if name in weights else tensor.shape
        if given != tensor.shape:
            if given[1:] != tensor.shape[1:] or not given:
                return None
            paths.add(name.rpartition(".")[0])
    return paths.pop() if len(paths) == 1 else None


def _tensors(count: int) -> str:
    return f"{count} tensors are" if count > 1 else "1 tensor is"


def load_pretrained(
    model: nn.Module, weights: Weights, network: str, path: Path | str, *, headless: bool = False
) -> list[str]:
    """Load ``weights`` as ``load_weights`` does, except for a head with another number of classes.

    The head is the ``nn.Linear`` of which alone ``weights`` has another number of outputs, or else the last one in
    module order. If the shape of one of its tensors differs in ``weights``, the whole head keeps its initial
    values. With ``headless``, so does one of which ``weights`` has no tensor.

    Returns
    -------
    Names of the tensors that were not loaded.

    Raises
    ------
    WeightsDontFit
        a name is missing or unexpected, a shape outside of the head differs, or a tensor's type is not supported.
    WeightsNotFinite
        a value is not finite.
    """
    _check_kinds(weights, network, path)
    current = model.state_dict()
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    resized = _resized_head(model, weights)
    head_path = resized if resized in linear else next(reversed(linear), None)
    head = {name for name in current if name.rpartition(".")[0] == head_path}
    given = [name for name in current if name in head and name in weights]  # load_weights reports missing ones
    skipped = given if any(weights[name].shape != current[name].shape for name in given) else []
    if headless and not given:
        skipped = [name for name in current if name in head]
    try:
        load_weights(model, {**weights, **{name: current[name] for name in skipped}}, network, path)
    except OtherClasses as error:  # the number of classes is that of the data set
        reason = f"{error.details['shapes']}; its last layer is not linear, and only a linear one is replaced"
        raise WeightsDontFit(path=path, network=network, reason=reason) from error
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
