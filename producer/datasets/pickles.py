"""Pickled arrays from outside. A pickle is a program: here it can make plain values and arrays of bytes only."""

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
    """The reason why a pickle is refused."""


class PickledArray:
    """Stands in for numpy's array while it is unpickled: numpy itself reads nothing of what the pickle says.

    ``values`` is uint8, of any shape; None if the pickle left it out.
    """

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[np.uint8] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _Type) or kind.code not in ("u1", b"u1"):
            raise RefusedPickle("it has an array of something else than bytes (uint8)")
        if not (isinstance(shape, tuple) and all(type(length) is int and length >= 0 for length in shape)):
            raise RefusedPickle("it has an array without a shape")
        if not isinstance(content, bytes) or len(content) != math.prod(shape):
            raise RefusedPickle("it has an array whose content does not fit its shape")
        order: Literal["F", "C"] = "F" if fortran else "C"
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order=order)


class _Type:
    """Stands in for numpy's dtype."""

    __slots__ = ("code",)

    def __init__(self, code: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment: bytes have none."""


class _Unpickler(pickle.Unpickler):
    """Knows the four names that an array's pickle needs. Bound methods, because a pickle can change a function."""

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy", "ndarray"): PickledArray,
            ("numpy", "dtype"): self._type,
            ("_codecs", "encode"): self._encode,
            **{(multiarray, "_reconstruct"): self._array for multiarray in MULTIARRAY},
        }
        if (module, name) not in known:
            raise RefusedPickle(f"it asks for {f'{module}.{name}'[:100]!r}, and may hold plain arrays only")
        return known[module, name]

    def _array(self, kind: object, shape: object, code: object) -> PickledArray:
        if kind is not PickledArray:
            raise RefusedPickle("it has an array of an unknown kind")
        return PickledArray()

    def _type(self, code: object, align: object = False, copy: object = True) -> _Type:
        return _Type(code)

    def _encode(self, text: object, encoding: object) -> bytes:
        """How Python 3 writes bytes in the older protocols."""
        if not isinstance(text, str) or encoding != "latin1":
            raise RefusedPickle("it encodes something else than bytes")
        return text.encode("latin1")


def load_pickle(content: bytes) -> Any:
    """The value of a pickle of plain values and arrays of uint8, of Python 2 or 3.

    Text of Python 2 comes back as bytes, arrays as ``PickledArray``.

    Raises
    ------
    RefusedPickle
        it asks for anything else, or is damaged.
    """
    try:
        _check_memo(content)
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except RefusedPickle:
        raise
    except Exception as error:  # a broken pickle can raise anything
        raise RefusedPickle(f"it is damaged ({error!r:.100})") from error


def _check_memo(content: bytes) -> None:
    """The unpickler makes room for as many values as the highest number says: ten bytes could take all memory."""
    for count, (opcode, number, _) in enumerate(pickletools.genops(content)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (number or 0) > count:
            raise RefusedPickle("it is damaged (it remembers what it does not have)")
