"""Operations between the pixels and a layer through which a deconvnet can't project.

The backward pass of a deconvnet differs from the gradient in its rectifications, so that each of them must be
known: those that are modules are replaced (``deconvnet.with_rules``). A network can rectify in many other ways:
``F.relu``, ``x.clamp(min=0)``, ``x * (x > 0)``, ``x[x < 0] = 0``. Therefore all operations that a forward pass
executes are traced, and only those listed here may lie between the pixels and the layer: linear ones, poolings,
normalizations, and gates computed from global means (squeeze-and-excitation).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from unitscope.description import UnsupportedOperation
from unitscope.geometry.dependence import runs_as
from unitscope.networks.unallocated import meta_copy
from unitscope.search.search import observe

# All are names of ATen operators, without the underscore of the in-place variants.
LINEAR = frozenset((
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "expand", "permute", "transpose", "t", "squeeze"),
    *("unsqueeze", "slice", "select", "split", "split_with_sizes", "unbind", "narrow", "as_strided", "diagonal"),
    *("alias", "detach", "lift_fresh", "unfold", "flip", "roll", "repeat", "clone", "copy", "_to_copy"),
    *("contiguous", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"),
    *("add", "sub", "rsub", "neg", "positive", "sum", "mean", "cumsum", "cat", "stack", "fill", "zero"),
    *("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d"),
    *("avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"),
    *("upsample_nearest1d", "upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_linear1d"),
    *("upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
    *("im2col", "col2im", "index", "index_select", "index_put", "index_add", "index_copy", "gather", "take"),
    *("scatter", "scatter_add", "slice_scatter", "select_scatter", "masked_fill", "masked_scatter"),
    *("dropout", "tril", "triu"),
))  # fmt: skip
# Their backward pass follows switches or a mask that the forward pass returned, which are constants to it.
SWITCHED = frozenset((
    *("max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d", "fractional_max_pool2d", "max_unpool2d"),
    "native_dropout",
))  # fmt: skip
# Linear, or a normalization, if the arguments at these indices don't depend on the pixels.
WITH_CONSTANTS: Mapping[str, tuple[int, ...]] = {
    "div": (1,),
    "lerp": (2,),
    "where": (0,),
    "grid_sampler_2d": (1,),
    "native_batch_norm": (1, 2),
    "cudnn_batch_norm": (1, 2),
    "miopen_batch_norm": (1, 2),
    "_native_batch_norm_legit": (1, 2),
    "_native_batch_norm_legit_no_training": (1, 2),
    "_batch_norm_no_update": (1, 2),
    "native_group_norm": (1, 2),
    "native_layer_norm": (2, 3),
    "rms_norm": (2,),
    "_fused_rms_norm": (2,),
}
# Linear if at most one of the arguments at these indices depends on the pixels.
PRODUCTS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("mul", "mm", "bmm", "mv", "dot", "matmul", "linear"), (0, 1)),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv", "addcmul"), (1, 2)),
    **dict.fromkeys(("convolution", "_convolution", "conv1d", "conv2d"), (0, 1)),
}
GLOBAL_POOLS = frozenset({"mean", "sum", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d"})
GATES = frozenset({"sigmoid", "hardsigmoid", "softmax", "_softmax", "tanh"})
# Their results don't depend on the values of their arguments.
SHAPES_ONLY = frozenset((
    *("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "randint_like"),
    *("new_empty", "new_empty_strided", "new_zeros", "new_ones", "new_full"),
))  # fmt: skip
# Values leave torch, and the results of what is done with them can't be traced.
ESCAPES = frozenset({torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__})


@dataclass(frozen=True)
class _Origin:
    """How a tensor depends on the pixels.

    Attributes
    ----------
    pooled
        only through means or maxima of whole maps.
    gate
        the last nonlinear operation of a gate, which may only multiply a map.
    unsupported
        the operation through which a deconvnet can't project.
    """

    pooled: bool = False
    gate: UnsupportedOperation | None = None
    unsupported: UnsupportedOperation | None = None


SUPPORTED = _Origin()


def unsupported_operations(
    model: nn.Module, layers: Collection[str], images: torch.Tensor, known: tuple[type[nn.Module], ...]
) -> dict[str, UnsupportedOperation | None]:
    """Find the operation before each layer through which a deconvnet can't project.

    A copy of the network is run on the meta device; if that fails (code that depends on values), the network
    itself is run. The forward pass stops after the last of the layers.

    Parameters
    ----------
    model
        network in evaluation mode.
    layers
        module paths.
    images
        float32 [N, 3, H, W], on the device of the network.
    known
        classes of modules for whose operations there is a rule.

    Returns
    -------
    dict
        By module path; None where all operations are supported. Layers that were not run are missing.
    """
    try:
        return _traced(meta_copy(model).to("meta"), layers, torch.empty_like(images, device="meta"), known)
    except Exception:  # user code can raise anything
        return _traced(model, layers, images, known)


def _traced(
    model: nn.Module, layers: Collection[str], images: torch.Tensor, known: tuple[type[nn.Module], ...]
) -> dict[str, UnsupportedOperation | None]:
    found: dict[str, UnsupportedOperation | None] = {}
    images = images.detach().requires_grad_(True).clone()  # the network may modify its input
    trace = _Trace(model, images, known)

    def observer(path: str) -> Callable[[torch.Tensor], None]:
        def observe_output(output: torch.Tensor) -> None:
            found.setdefault(path, trace.unsupported(output))

        return observe_output

    with torch.inference_mode(False), torch.enable_grad(), trace, _Escapes(trace):
        try:
            observe(model, {path: observer(path) for path in layers}, images)
        finally:
            trace.remove_hooks()
    return found


class _Trace(TorchDispatchMode):
    """Context that follows the pixels through all operations of a forward pass, below modules and autograd.

    Origins are recorded by storage, so that they include what was written through views and in place.
    """

    def __init__(self, model: nn.Module, images: torch.Tensor, known: tuple[type[nn.Module], ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.escape: UnsupportedOperation | None = None
        self._known = known
        # The storages are kept, so that no address is used twice.
        self._origins: dict[int, tuple[torch.UntypedStorage, _Origin]] = {}
        self._running: list[tuple[str, nn.Module]] = [("", model)]
        self._handles: list[RemovableHandle] = []
        for path, module in model.named_modules():
            self._handles.append(module.register_forward_pre_hook(self._entering(path)))
            self._handles.append(module.register_forward_hook(self._left))
        self._record(images, SUPPORTED)

    def _entering(self, path: str) -> Callable[[nn.Module, object], None]:
        return lambda module, inputs: self._running.append((path, module))

    def _left(self, module: nn.Module, inputs: object, output: object) -> None:
        self._running.pop()

    def remove_hooks(self) -> None:
        for handle in self._handles:
            handle.remove()

    def unsupported(self, output: torch.Tensor) -> UnsupportedOperation | None:
        """Return the operation that a deconvnet can't pass on the way from an output to the pixels, if any."""
        origin = self.origin(output) or SUPPORTED
        return self.escape or origin.unsupported or origin.gate

    def running(self, function: str) -> UnsupportedOperation:
        """Describe an operation of the module that is running."""
        path, module = self._running[-1]
        kind = type(module).__name__
        return UnsupportedOperation(module=path or kind, kind=kind, function=function.lstrip("_"))

    def _is_known(self) -> bool:
        """Whether a module for whose operations there is a rule is running."""
        return any(runs_as(module, *self._known) for _, module in self._running)

    def origin(self, value: object) -> _Origin | None:
        """Return the origin of a tensor; None if it doesn't depend on the pixels, or is no tensor."""
        if not isinstance(value, torch.Tensor):
            return None
        return self._origins.get(value.untyped_storage()._cdata, (None, None))[1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func._opname.removesuffix("_") if func.namespace == "aten" else f"{func.namespace}::{func._opname}"
        origins = [origin for value in tree_leaves((args, kwargs)) if (origin := self.origin(value))]
        if origins and name not in SHAPES_ONLY:
            origin = self._after(name, args, kwargs, origins, result)
            if not (torch.is_grad_enabled() or origin.unsupported or self._is_known()):
                origin = _Origin(unsupported=self.running("no_grad"))  # also in an autograd function of the user's
            written = (
                args[number] for number, of in enumerate(func._schema.arguments[: len(args)]) if of.is_write
            )
            for tensor in tree_leaves((result, list(written), kwargs.get("out"))):
                if isinstance(tensor, torch.Tensor) and (_is_continuous(tensor) or name not in SWITCHED):
                    self._record(tensor, origin)
        return result

    def _after(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], origins: Sequence[_Origin], result: Any
    ) -> _Origin:
        """Return the origin of an operation's outputs."""
        joined = _joined(origins)
        if any(origin.unsupported for origin in origins):
            return joined
        if self._is_known():
            return joined
        refused = _Origin(unsupported=self.running(name))
        if name in PRODUCTS:
            return self._product(name, args, joined) or refused
        if name in GATES and joined.pooled:
            return _Origin(pooled=True, gate=self.running(name))
        if name in SWITCHED or (name in LINEAR and all(map(_is_continuous, _tensors(result)))):
            return replace(joined, pooled=True) if name in GLOBAL_POOLS and _is_global(args[0], result) else joined
        constants = WITH_CONSTANTS.get(name)
        if constants and not kwargs.get("rounding_mode"):
            return refused if any(self.origin(value) for value in _at(constants, args)) else joined
        return refused

    def _product(self, name: str, args: Sequence[Any], joined: _Origin) -> _Origin | None:
        """Return the origin of a product: linear, or a map times its gate. None for any other."""
        factors = [origin for value in _at(PRODUCTS[name], args) if (origin := self.origin(value))]
        if len(factors) < 2:
            return joined
        maps = [origin for origin in factors if not origin.pooled]
        gates = [origin for origin in factors if origin.gate]
        return maps[0] if name == "mul" and len(maps) == len(gates) == 1 else None

    def _record(self, tensor: torch.Tensor, origin: _Origin) -> None:
        storage = tensor.untyped_storage()
        before = self._origins.get(storage._cdata)
        whole = tensor.numel() * tensor.element_size() == storage.nbytes()
        self._origins[storage._cdata] = storage, origin if whole or not before else _joined([before[1], origin])


class _Escapes(TorchFunctionMode):
    """Context that notices values which leave torch, as arrays or lists: they can't be traced any further."""

    def __init__(self, trace: _Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in ESCAPES and self.trace.origin(args[0]):
            self.trace.escape = self.trace.running(func.__name__)
        return func(*args, **(kwargs or {}))


def _joined(origins: Sequence[_Origin]) -> _Origin:
    """Return the origin of a linear combination. A gate that is added to a map is no gate."""
    unsupported = [origin.unsupported for origin in origins if origin.unsupported]
    gates = [origin.gate for origin in origins if origin.gate]
    if not unsupported and 0 < len(gates) < len(origins):
        unsupported = gates
    return _Origin(
        pooled=all(origin.pooled for origin in origins),
        gate=gates[0] if gates else None,
        unsupported=unsupported[0] if unsupported else None,
    )


def _at(numbers: Sequence[int], args: Sequence[Any]) -> list[Any]:
    return [args[number] for number in numbers if number < len(args)]


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _is_continuous(tensor: torch.Tensor) -> bool:
    """Whether a tensor has real numbers, rather than integers or truth values."""
    return tensor.is_floating_point() or tensor.is_complex()


def _is_global(before: Any, after: Any) -> bool:
    """Whether a pooling of maps [..., H, W] leaves one value of each map."""
    if not isinstance(before, torch.Tensor) or before.dim() < 4:
        return False
    return all(tensor.numel() == before.shape[:-2].numel() for tensor in _tensors(after))
