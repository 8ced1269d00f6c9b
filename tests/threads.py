"""What tests do in threads of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def in_new_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function in a thread that has no event loop, and return what it returns or raise what it raises.

    Playwright leaves the loop of a browser running in the thread of the tests, where ``asyncio.run`` then fails.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments, **options).result()
