"""Forms of the outputs of all modules of a network, found by running it on the meta device.

Which dimension of a map or of tokens are the channels is decided by two rules, neither of which depends on the
values of weights or images. Channels are the dimension that doesn't change with the size of the images. Where no
dimension changes, or the network takes images of one size only, they are the dimension that the operations before
gave to the channels (``channels.ChannelTracker``). An output for which neither rule decides has no form.

The grid of tokens is that of the latest maps before them with as many places, or with up to ``MOST_BEFORE`` fewer:
the other tokens then precede those of the grid, as class tokens and registers do.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import BaseTorchFunctionMode, TorchFunctionMode

from unitscope.layers.channels import ChannelTracker
from unitscope.layers.forms import LayerForm
from unitscope.layers.outputs import first_tensor
from unitscope.networks.unallocated import meta_copy

MOST_BEFORE = 16  # tokens before those of the grid
RECENT = 16  # outputs that are kept, to find that of the network

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Output:
    """The first tensor that a module returned, when it ran for the first time."""

    shape: Shape  # with the batch
    real: bool  # whether it has real numbers
    channels: int | None  # their dimension, by the operations before; None if unknown or not followed


@dataclass
class Run:
    """The outputs of the modules in a forward pass, in the order in which they returned.

    Attributes
    ----------
    returned
        of all runs: module paths, modules, and shapes with the batch.
    outputs
        by module path: those of the first run.
    result
        the network's output.
    last
        module whose output is that of the network, a leaf if possible; None if there is none.
    """

    returned: list[tuple[str, nn.Module, Shape]] = field(default_factory=list)
    outputs: dict[str, Output] = field(default_factory=dict)
    result: Any = None
    last: str | None = None


@dataclass(frozen=True)
class Inspection:
    """Forms by module path, and the reasons for those modules that have none."""

    forms: dict[str, LayerForm]
    reasons: dict[str, str]
    run: Run


def inspect(model: nn.Module, image_size: int) -> Inspection:
    """Run copies of a network on black images, and return the forms of the outputs of its modules.

    Raises
    ------
    ValueError
        the network can't be run; the message is the reason.
    """
    run, device = _first_run(model, image_size)
    several, larger = Run(), Run()
    for other, images, size in ((several, 2, image_size), (larger, 1, 2 * image_size)):
        try:
            _run(model, device, images, size, other, BaseTorchFunctionMode())  # only the shapes are used
        except Exception:  # noqa: S112 - the outputs before the failure are known
            continue
    return _inspection(run, several, larger)


def run_blank(model: nn.Module, image_size: int) -> Run:
    """Run a black image through a copy of a network; raises as ``inspect``."""
    return _first_run(model, image_size)[0]


def _first_run(model: nn.Module, image_size: int) -> tuple[Run, torch.device]:
    """Run one image on the meta device, or on the network's own device if that fails (code that depends on
    values)."""
    failed: Exception | None = None
    for device in (torch.device("meta"), _device(model)):
        run = Run()
        try:
            _run(model, device, 1, image_size, run, ChannelTracker())
        except Exception as error:  # user code can raise anything
            failed = error
        else:
            return run, device
    raise ValueError((str(failed).splitlines() or [type(failed).__name__])[0]) from failed


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _run(
    model: nn.Module, device: torch.device, images: int, size: int, run: Run, mode: TorchFunctionMode
) -> None:
    """Run a copy of a network, and record the outputs of its modules in ``run``, also if the run fails.

    The channels' dimensions are recorded if ``mode`` is a ``ChannelTracker``. Any other mode takes less time, and
    the network runs the same code: some of torch's modules run other code without a mode.
    """
    copied = meta_copy(model).to("meta") if device.type == "meta" else copy.deepcopy(model)
    tracker = mode if isinstance(mode, ChannelTracker) else None
    tensors: deque[tuple[str, torch.Tensor]] = deque(maxlen=RECENT)

    def hook_for(path: str) -> Any:
        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            main = first_tensor(output)
            if main is None:
                return
            tensors.append((path, main))
            run.returned.append((path, module, tuple(main.shape)))
            channels = tracker.dimension(main) if tracker else None
            run.outputs.setdefault(path, Output(tuple(main.shape), main.is_floating_point(), channels))

        return hook

    for path, module in copied.eval().named_modules():
        if path:
            module.register_forward_hook(hook_for(path))
    with torch.inference_mode(), mode:
        run.result = copied(torch.zeros(images, 3, size, size, device=device))
    main = first_tensor(run.result)
    if main is not None:
        same = [path for path, output in tensors if _is_same(output, main)]
        leaves = [path for path in same if not any(copied.get_submodule(path).children())]
        # The last leaf: it may have changed the output of another in place.
        run.last = leaves[-1] if leaves else next(iter(same), None)


def _is_same(output: torch.Tensor, result: torch.Tensor) -> bool:
    """Whether a network's result is the output of a module, perhaps without its dimensions of length 1."""
    if output is result:
        return True
    storages = (tensor.untyped_storage()._cdata for tensor in (output, result))
    return output.numel() == result.numel() and len(set(storages)) == 1


def _inspection(run: Run, several: Run, larger: Run) -> Inspection:
    forms: dict[str, LayerForm] = {}
    reasons: dict[str, str] = {}
    for path, output in run.outputs.items():
        form = _form(output, several.outputs.get(path), larger.outputs.get(path), list(forms.values()))
        if isinstance(form, LayerForm):
            forms[path] = form
        else:
            reasons[path] = form
    return Inspection(forms, reasons, run)


def _form(
    output: Output, several: Output | None, larger: Output | None, before: Sequence[LayerForm]
) -> LayerForm | str:
    """Return the form of an output, or why it has none.

    Parameters
    ----------
    output
        of one image.
    several, larger
        of two images, and of a larger image; None if the network can't process them.
    before
        forms of the outputs before it.
    """
    shape = output.shape
    described = "its output has the shape " + " x ".join(map(str, shape))
    if not output.real:
        return "its output has no real numbers"
    if len(shape) not in (2, 3, 4) or 0 in shape:
        return f"{described}, which are no maps, vectors or tokens"
    if shape[0] != 1 or (several is not None and several.shape != (2, *shape[1:])):
        return f"{described} for one image: its first dimension is not the number of images"
    if len(shape) == 2:
        return LayerForm(kind="vectors", units=shape[1])
    channels = _channels(output, larger)
    if channels is None:
        return f"{described}, and it is not known which dimension are the channels"
    last = channels == len(shape) - 1
    if len(shape) == 4:
        rows, columns = shape[1:3] if last else shape[2:]
        return LayerForm(kind="maps", units=shape[channels], channels_last=last, rows=rows, columns=columns)
    tokens = shape[1 if last else 2]
    in_larger = larger.shape[1 if last else 2] if larger and len(larger.shape) == len(shape) else None
    grid = _grid_of_tokens(tokens, in_larger, before)
    units = shape[channels]
    if grid is None:
        return LayerForm(kind="tokens", units=units, channels_last=last, before=tokens)
    rows, columns, others = grid
    return LayerForm(kind="tokens", units=units, channels_last=last, rows=rows, columns=columns, before=others)


def _channels(output: Output, larger: Output | None) -> int | None:
    """Return the dimension of the channels of maps or tokens; None if no rule decides: see the module's
    docstring."""
    dimensions = range(1, len(output.shape))
    if larger is not None and len(larger.shape) == len(output.shape):
        same = [number for number in dimensions if larger.shape[number] == output.shape[number]]
        if len(same) == 1:
            return same[0] if same[0] in (1, dimensions[-1]) else None
        if len(same) < len(dimensions):  # none or several could be the channels
            return output.channels if output.channels in same else None
    return output.channels if output.channels in (1, dimensions[-1]) else None


def _grid_of_tokens(
    tokens: int, in_larger: int | None, before: Sequence[LayerForm]
) -> tuple[int, int, int] | None:
    """Return rows and columns of the grid of patches, and the number of tokens before them; None if there is no
    grid.

    Without maps, the grid is the square of the tokens whose number grows with the area of the image, ``in_larger``
    being the number in an image of twice the size.
    """
    for form in reversed(before):
        if form.kind == "maps" and form.rows and form.columns:
            others = tokens - form.rows * form.columns
            if 0 <= others <= MOST_BEFORE and form.rows * form.columns > 1:
                return form.rows, form.columns, others
    if in_larger is None or in_larger <= tokens or (in_larger - tokens) % 3:
        return None
    patches = (in_larger - tokens) // 3
    side = math.isqrt(patches)
    others = tokens - patches
    return (side, side, others) if side * side == patches and 0 <= others <= MOST_BEFORE else None
