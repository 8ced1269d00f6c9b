"""Safe reader of untrusted pickles: they can only create plain values and arrays of bytes."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before numpy 2, and since


class RefusedPickle(Exception):
    """Reason for refusing a pickle."""


class PickledArray:
    """Substitute for numpy's array during unpickling, so that no pickled data reaches numpy's own code.

    ``values`` is uint8, of any shape; None if the pickle has no state for the array.
    """

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[np.uint8] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _Type) or kind.code not in ("u1", b"u1"):
            raise RefusedPickle("it has an array whose type is not uint8")
        if not (isinstance(shape, tuple) and all(type(length) is int and length >= 0 for length in shape)):
            raise RefusedPickle("it has an array without a shape")
        if not isinstance(content, bytes) or len(content) != math.prod(shape):
            raise RefusedPickle("it has an array whose content does not fit its shape")
        order: Literal["F", "C"] = "F" if fortran else "C"
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order=order)


class _Type:
    """Substitute for numpy's dtype."""

    __slots__ = ("code",)

    def __init__(self, code: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and alignment, which don't matter for bytes."""


class _Unpickler(pickle.Unpickler):
    """Unpickler that accepts only the names that an array's pickle needs.

    They map to bound methods, because a pickle can modify the attributes of a function.
    """

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy", "ndarray"): PickledArray,
            ("numpy", "dtype"): self._type,
            ("_codecs", "encode"): self._encode,
            **{(multiarray, "_reconstruct"): self._array for multiarray in MULTIARRAY},
        }
        if (module, name) not in known:
            raise RefusedPickle(f"it uses {f'{module}.{name}'[:100]!r}; only plain values and arrays are allowed")
        return known[module, name]

    def _array(self, kind: object, shape: object, code: object) -> PickledArray:
        if kind is not PickledArray:
            raise RefusedPickle("it has an array of an unknown kind")
        return PickledArray()

    def _type(self, code: object, align: object = False, copy: object = True) -> _Type:
        return _Type(code)

    def _encode(self, text: object, encoding: object) -> bytes:
        """Decode bytes as Python 3 writes them in older protocols."""
        if not isinstance(text, str) or encoding != "latin1":
            raise RefusedPickle("it calls _codecs.encode for something other than bytes")
        return text.encode("latin1")


def load_pickle(content: bytes) -> Any:
    """Load a pickle of plain values and uint8 arrays, written by Python 2 or 3.

    Text from Python 2 is returned as bytes, arrays as ``PickledArray``.

    Raises
    ------
    RefusedPickle
        The pickle uses anything else, or is damaged.
    """
    try:
        _check_memo(content)
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except RefusedPickle:
        raise
    except Exception as error:  # a broken pickle can raise anything
        raise RefusedPickle(f"it is damaged ({error!r:.100})") from error


def _check_memo(content: bytes) -> None:
    """Refuse memo indices that are too high: the unpickler allocates memory for the highest one."""
    for count, (opcode, number, _) in enumerate(pickletools.genops(content)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (number or 0) > count:
            raise RefusedPickle("it is damaged (a memo index is too high)")
