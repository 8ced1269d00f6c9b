"""A fake CUDA device for tests: the CPU computes, but device tensors are tracked and misuse raises errors.

Inside ``with FakeCuda()``, ``torch.device("cuda")`` can be used without a GPU. As with CUDA, it is an error
to combine tensors of host and device, to convert a device tensor to an array, to pin one, or to pass a CPU
generator.

It also raises ``CudaMisuse`` for race conditions that CUDA doesn't report: reading the result of an asynchronous
copy before it has finished, modifying memory while it is being copied, and using a tensor on a stream that doesn't
wait for the stream that creates it. It records each time the host waits for the device (``waits``), and the bytes
allocated.

It can't reproduce the numerical results of CUDA libraries, nor their speed.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)
STAGED_BYTES = 2**16  # non_blocking copies from unpinned memory up to this size don't wait
FACTORIES = (
    *("empty", "zeros", "ones", "full", "arange", "tensor", "as_tensor", "rand", "randn", "randint", "linspace"),
    *("eye", "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"),
)
NEW = ("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor")
aten = torch.ops.aten
SYNCHRONIZING = {  # the host waits for the result or for its size
    *(aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique, aten._unique2, aten.unique_dim),
    *(aten.unique_consecutive, aten.equal, aten.is_nonzero, aten.bincount),
}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
TRANSFERS = {aten.copy_}
FILLS = {aten.fill_, aten.masked_fill, aten.masked_fill_}  # accept a zero-dimensional CPU tensor


class CudaMisuse(AssertionError):
    """Misuse that gives wrong results on a GPU without an error."""


@dataclass(eq=False)
class _Stream:
    """A queue of work. ``awaited`` holds the copies that finish before any work queued from now on starts."""

    device: torch.device = CUDA
    awaited: set[int] = field(default_factory=set)

    def wait_stream(self, other: _Stream) -> None:
        self.awaited |= other.awaited

    def synchronize(self) -> None:
        _current().finish(self.awaited)

    def record_event(self, event: _Event | None = None) -> _Event:
        event = event or _Event()
        event.record(self)
        return event


DEFAULT = _Stream()


class _Event:
    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self.awaited: set[int] = set()

    def record(self, stream: _Stream | None = None) -> None:
        self.awaited = set((stream or _current().stream).awaited)

    def synchronize(self) -> None:
        _current().waits_for_event()
        _current().finish(self.awaited)


@dataclass
class _Memory:
    """A block of device memory, and the streams that use it."""

    bytes: int
    made_on: _Stream
    copy: int | None = None  # number of the copy that fills it
    used_on: set[int] = field(default_factory=set)  # ids of streams
    recorded_on: set[int] = field(default_factory=set)  # ids of streams, by `record_stream`


@dataclass
class _Copy:
    """A copy from or to pinned host memory that has not finished. ``before`` is the content at its start."""

    host: torch.Tensor
    before: torch.Tensor
    to_device: bool


class _Memories(dict[int, _Memory]):
    """Allocated device memory by storage. It outlives a ``FakeCuda``, as tensors do."""

    bytes = 0

    def add(self, key: int, memory: _Memory) -> None:
        self[key] = memory
        self.bytes += memory.bytes

    def free(self, key: int) -> _Memory:
        memory = self.pop(key)
        self.bytes -= memory.bytes
        return memory


MEMORIES = _Memories()
NUMBERS = count(1)  # numbers of copies
_active: list[FakeCuda] = []


def _current() -> FakeCuda:
    return _active[-1]


class FakeCuda(TorchDispatchMode):
    """The fake device.

    Parameters
    ----------
    limit
        memory in bytes; None for unlimited.
    """

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.memory = MEMORIES
        self.pinned: set[int] = set()
        self.copies: dict[int, _Copy] = {}
        self.stream = DEFAULT
        self.waits: list[str] = []
        self.event_waits = 0
        self.mistakes: list[str] = []
        self.peak = self.held
        self.random = torch.Generator().manual_seed(0).get_state()
        self._patches = ExitStack()

    # --- memory ---

    @property
    def held(self) -> int:
        """Allocated bytes."""
        return self.memory.bytes

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return not _is_meta(tensor) and _key(tensor) in self.memory

    def place(self, tensor: torch.Tensor, copy: int | None = None) -> torch.Tensor:
        """Mark a tensor as being on the device."""
        key = _key(tensor)
        if _is_meta(tensor) or key in self.memory:
            return tensor
        storage = tensor.untyped_storage()
        if self.limit is not None and self.held + storage.nbytes() > self.limit:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {storage.nbytes()} more than {self.held} bytes")
        self.memory.add(key, _Memory(storage.nbytes(), self.stream, copy, {id(self.stream)}))
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._free, key)
        return tensor

    def _free(self, key: int) -> None:
        memory = self.memory.free(key)
        if memory.used_on - memory.recorded_on - {id(memory.made_on)}:
            self.mistakes.append("memory that was used on another stream is freed without record_stream")

    # --- waiting ---

    def waited(self, reason: str) -> None:
        """Record that the host waits for the current stream."""
        frame = sys._getframe(1)
        while frame.f_back and (_is_torch_file(frame.f_code.co_filename) or frame.f_code.co_filename == __file__):
            frame = frame.f_back
        self.waits.append(f"{reason}, {frame.f_code.co_filename}:{frame.f_lineno}")
        self.finish(self.stream.awaited)

    def waits_for_event(self) -> None:
        self.event_waits += 1

    def finish(self, numbers: set[int]) -> None:
        """Finish these copies."""
        for number in numbers:
            copy = self.copies.pop(number, None)
            with torch._C._DisableTorchDispatch():
                if copy is not None and copy.to_device and not torch.equal(copy.host, copy.before):
                    raise CudaMisuse("memory was changed while it was copied to the device")

    def _begin_copy(self, host: torch.Tensor, to_device: bool) -> int:
        number = next(NUMBERS)
        with torch._C._DisableTorchDispatch():
            self.copies[number] = _Copy(host, host.clone(), to_device)
        self.stream.awaited.add(number)
        return number

    def check_copied(self, tensor: torch.Tensor) -> None:
        """Check that no copy to this host tensor, which is about to be read, is unfinished."""
        if any(not copy.to_device and _key(copy.host) == _key(tensor) for copy in self.copies.values()):
            raise CudaMisuse("a number is read while it is still on its way from the device")

    def _check_available(self, tensor: torch.Tensor) -> None:
        memory = self.memory[_key(tensor)]
        memory.used_on.add(id(self.stream))
        if memory.copy in self.copies and memory.copy not in self.stream.awaited:
            raise CudaMisuse("a tensor is used on a stream that doesn't wait for its copy")

    # --- operations ---

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        on_device = [tensor for tensor in given if tensor in self]
        on_host = [tensor for tensor in given if tensor not in self and not _is_meta(tensor)]
        packet = func.overloadpacket
        for tensor in on_host:
            self.check_copied(tensor)
        if not on_device:
            return func(*args, **kwargs)
        for tensor in on_device:
            self._check_available(tensor)
        if on_host:
            self._check_devices(func, args, on_device, on_host)
        generator = kwargs.get("generator")
        if generator is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if packet in SYNCHRONIZING or (packet in INDEXED and _masks(args)):
            self.waited(str(packet))
        found = self._run(func, args, kwargs)
        if packet not in TRANSFERS:
            for tensor in tree_leaves(found):
                if isinstance(tensor, torch.Tensor):
                    self.place(tensor)
        return found

    def _check_devices(
        self, func: Any, args: tuple[Any, ...], on_device: list[torch.Tensor], on_host: list[torch.Tensor]
    ) -> None:
        packet = func.overloadpacket
        if packet in TRANSFERS:
            self.waited("a copy")
        elif (
            packet in INDEXED and args[0] in self and all(not t.dim() or t.dtype != torch.float32 for t in on_host)
        ):
            self.waited("an index on the host")
        elif any(t.dim() for t in on_host) or not (torch.Tag.pointwise in func.tags or packet in FILLS):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"({func}: {[tuple(t.shape) for t in on_device]} and {[tuple(t.shape) for t in on_host]})"
            )

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        with self.device_random_state():
            return func(*args, **kwargs)

    @contextmanager
    def device_random_state(self) -> Iterator[None]:
        """Use the device's random state inside the ``with`` block."""
        host_state = torch.get_rng_state()
        torch.set_rng_state(self.random)
        try:
            yield
        finally:
            self.random = torch.get_rng_state()
            torch.set_rng_state(host_state)

    # --- replacements of PyTorch's functions ---

    def __enter__(self) -> FakeCuda:
        _active.append(self)
        for owner, name, value in self._replacements():
            self._patches.enter_context(patch.object(owner, name, value, create=True))
        super().__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        self._patches.close()
        _active.remove(self)
        if exception[0] is None and self.mistakes:
            raise CudaMisuse("; ".join(sorted(set(self.mistakes))))

    def _replacements(self) -> Iterator[tuple[Any, str, Any]]:
        device = torch.Tensor.device.__get__  # type: ignore[attr-defined]
        yield torch.Tensor, "device", property(lambda tensor: CUDA if tensor in self else device(tensor))
        yield torch.Tensor, "is_cuda", property(lambda tensor: tensor in self)
        yield torch.Tensor, "is_cpu", property(lambda tensor: device(tensor).type == "cpu" and tensor not in self)
        for name, method in (
            ("to", self._to),
            ("cpu", self._cpu),
            ("pin_memory", self._pin_memory),
            ("is_pinned", lambda plain, tensor: _key(tensor) in self.pinned),
            ("numpy", self._numpy),
            ("tolist", self._tolist),
            ("record_stream", lambda plain, tensor, stream: self._record_stream(tensor, stream)),
            ("__deepcopy__", self._deepcopy),
        ):
            yield torch.Tensor, name, _with_original(method, getattr(torch.Tensor, name))
        for name in NEW:
            yield torch.Tensor, name, _with_original(self._new, getattr(torch.Tensor, name))
        for name in FACTORIES:
            yield torch, name, _with_original(self._create, getattr(torch, name))
        yield torch, "autocast", _autocast(torch.autocast)
        yield torch, "manual_seed", _with_original(self._manual_seed, torch.manual_seed)
        yield from ((torch.cuda, name, value) for name, value in self._cuda().items())

    def _cuda(self) -> dict[str, Any]:
        def stream_context(stream: _Stream) -> Any:
            @contextmanager
            def context() -> Iterator[None]:
                before, self.stream = self.stream, stream
                try:
                    yield
                finally:
                    self.stream = before

            return context()

        def set_random(state: torch.Tensor, device: Any = None) -> None:
            torch.Generator().set_state(state)  # validates the state
            self.random = state.clone()

        return {
            "Stream": lambda device=None: _Stream(),
            "Event": _Event,
            "stream": stream_context,
            "current_stream": lambda device=None: self.stream,
            "synchronize": lambda device=None: (self.waits.append("synchronize"), self.finish({*self.copies})),
            "device": lambda device: nullcontext(),
            "is_initialized": lambda: True,
            "is_bf16_supported": lambda including_emulation=True: True,
            "get_device_name": lambda device=None: "fake",
            "get_rng_state": lambda device=None: self.random.clone(),
            "set_rng_state": set_random,
            "empty_cache": lambda: None,
            "memory_allocated": lambda device=None: self.held,
            "memory_reserved": lambda device=None: self.held,
            "max_memory_allocated": lambda device=None: self.peak,
            "max_memory_reserved": lambda device=None: self.peak,
            "reset_peak_memory_stats": lambda device=None: setattr(self, "peak", self.held),
        }

    def _to(self, plain: Callable[..., Any], tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args and isinstance(args[0], torch.Tensor):
            args = (args[0].device, args[0].dtype, *args[1:])
        copy = kwargs.pop("copy", False)
        target, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        if target is not None and target.type not in ("cpu", "cuda"):
            return plain(tensor, target, dtype or tensor.dtype)
        rest = {} if layout is None else {"memory_format": layout}
        moves = target is not None and (target.type == "cuda") != (tensor in self) and not _is_meta(tensor)
        if not moves:
            return plain(tensor, dtype or tensor.dtype, copy=copy, **rest)
        return self._move(plain, tensor, dtype or tensor.dtype, bool(non_blocking), rest)

    def _move(
        self, plain: Callable[..., Any], tensor: torch.Tensor, dtype: torch.dtype, non_blocking: bool, rest: Any
    ) -> torch.Tensor:
        if tensor in self:
            self._check_available(tensor)
            with torch._C._DisableTorchDispatch():
                moved = plain(tensor, dtype, copy=True, **rest)
            if non_blocking:
                self._pin(moved)
                self._begin_copy(moved, to_device=False)
            else:
                self.waited("a copy from the device")
            return moved
        self.check_copied(tensor)
        with torch._C._DisableTorchDispatch():
            moved = plain(tensor, dtype, copy=True, **rest)
        if not non_blocking or (not tensor.is_pinned() and tensor.nbytes > STAGED_BYTES):
            self.waited("a copy to the device")
            return self.place(moved)
        return self.place(moved, self._begin_copy(tensor, to_device=True) if tensor.is_pinned() else None)

    def _cpu(self, plain: Callable[..., Any], tensor: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return tensor.to("cpu") if tensor in self else plain(tensor, **kwargs)

    def _pin(self, tensor: torch.Tensor) -> None:
        key = _key(tensor)
        self.pinned.add(key)
        weakref.finalize(tensor.untyped_storage(), self.pinned.discard, key)

    def _pin_memory(self, plain: Callable[..., Any], tensor: torch.Tensor) -> torch.Tensor:
        if tensor in self:
            raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
        if tensor.is_pinned():
            return tensor
        pinned = tensor.clone()
        self._pin(pinned)
        return pinned

    def _numpy(self, plain: Callable[..., Any], tensor: torch.Tensor, **kwargs: Any) -> np.ndarray:
        if tensor in self:
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
                "memory first."
            )
        self.check_copied(tensor)
        return plain(tensor, **kwargs)  # type: ignore[no-any-return]

    def _tolist(self, plain: Callable[..., Any], tensor: torch.Tensor) -> Any:
        return plain(tensor.cpu())

    def _record_stream(self, tensor: torch.Tensor, stream: _Stream) -> None:
        self.memory[_key(tensor)].recorded_on.add(id(stream))

    def _deepcopy(self, plain: Callable[..., Any], tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
        copied: torch.Tensor = plain(tensor, memo)
        return self.place(copied) if tensor in self else copied

    def _new(self, plain: Callable[..., Any], tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        target = torch.device(kwargs.pop("device", None) or tensor.device)
        if plain.__name__ == "new_tensor" and target.type == "cuda":
            self.waited("a copy to the device")
        made: torch.Tensor = plain(tensor, *args, **kwargs)
        return self.place(made) if target.type == "cuda" else made

    def _create(self, plain: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        if kwargs.get("device") is None or torch.device(kwargs["device"]).type != "cuda":
            return plain(*args, **kwargs)  # type: ignore[no-any-return]
        del kwargs["device"]
        if kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if plain.__name__ in ("tensor", "as_tensor"):
            return plain(*args, **kwargs).to("cuda")  # type: ignore[no-any-return]
        with self.device_random_state() if plain.__name__.startswith("rand") else nullcontext():
            return self.place(plain(*args, **kwargs))

    def _manual_seed(self, plain: Callable[..., Any], seed: int) -> torch.Generator:
        self.random = torch.Generator().manual_seed(seed).get_state()
        return torch.default_generator.manual_seed(seed)


def _with_original(method: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    def replaced(*args: Any, **kwargs: Any) -> Any:
        return method(plain, *args, **kwargs)

    return replaced


def _autocast(plain: Any) -> Any:
    """Return a subclass of ``torch.autocast`` that uses CPU autocast for the device type ``cuda``."""

    class Autocast(plain):  # type: ignore[misc]
        def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    return Autocast


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _is_meta(tensor: torch.Tensor) -> bool:
    return tensor.is_meta


def _masks(args: tuple[Any, ...]) -> bool:
    """Whether an index is a mask, so that the size of the result depends on its values."""
    return any(t.dtype in (torch.bool, torch.uint8) for t in args[1] if isinstance(t, torch.Tensor))


def _is_torch_file(file: str) -> bool:
    return Path(torch.__file__).parent.as_posix() in file
