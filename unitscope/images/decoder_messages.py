"""Messages about damaged images by Pillow and libtiff: the first ones of each image are shown, the others counted.

A damaged TIFF can have a warning for each of its 65,536 tags, and libtiff prints an error for each row of a fax to
stderr. Images are decoded by many threads, so that neither Python's warning filters nor stderr can be changed for
one image. Instead, this module is asked for each message whether the thread that causes it decodes an image.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from PIL import _imaging

SHOWN = 3  # messages of an image

_own = threading.local()  # ``count``: messages about the image that this thread decodes; absent if it decodes none


@contextmanager
def few_messages() -> Iterator[None]:
    """Show at most ``SHOWN`` messages about the image that the block decodes, and a last one with their number."""
    _hook_warnings()
    _hook_libtiff()
    _own.count = 0
    try:
        yield
    finally:
        count = _own.count
        del _own.count
        if count > SHOWN:
            warnings.warn(f"{count - SHOWN} more messages about the same image were not shown.", stacklevel=3)


def _is_to_be_shown() -> bool:
    """Count a message, and return whether to show it."""
    count = getattr(_own, "count", None)
    if count is None:  # about something else
        return True
    _own.count = count + 1
    return bool(_own.count <= SHOWN)


# --- warnings of Python ---

_plainly = warnings.showwarning
_show = _plainly  # what shows warnings when nothing decodes images
_lock = threading.Lock()


def _show_few(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if getattr(_own, "shows", False):  # ``_show`` calls the function that it replaced, which is this one
        _plainly(message, category, filename, lineno, file, line)
    elif _is_to_be_shown():
        _own.shows = True
        try:
            _show(message, category, filename, lineno, file, line)
        finally:
            _own.shows = False


def _hook_warnings() -> None:
    """Let ``warnings`` ask this module, also after something else has replaced its function."""
    global _show
    with _lock:
        if warnings.showwarning is not _show_few:
            _show, warnings.showwarning = warnings.showwarning, _show_few


# --- errors of libtiff ---

ErrorHandler = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)  # module, format, va_list


_handlers: list[object] = []  # kept here, since libtiff calls them


def _hook_libtiff() -> None:
    """Let libtiff ask this module. Its error handler is the process's, and is set once, whatever the threads.

    The function is found through the library of Pillow that is linked with libtiff. If it is linked statically, as
    on Windows, libtiff prints all its errors.
    """
    with _lock:
        if not _handlers:
            _handlers.append(_set_libtiff_handler())


def _set_libtiff_handler() -> object:
    try:
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (AttributeError, OSError, TypeError):
        return None
    set_handler.restype = ctypes.c_void_p
    set_handler.argtypes = [ctypes.c_void_p]

    def handle(module: int | None, text: int | None, values: int | None) -> None:
        if print_error and _is_to_be_shown():
            print_error(module, text, values)

    handler = ErrorHandler(handle)
    print_error = None
    before = set_handler(ctypes.cast(handler, ctypes.c_void_p))
    print_error = ErrorHandler(before) if before else None
    return handler
