"""Observation of the outputs of modules during a forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

Place = tuple[str, int]  # module path, and the number of its run in a forward pass, from 1


@contextmanager
def observed(model: nn.Module, paths: Iterable[str], see: Callable[[Place, Any], None]) -> Iterator[None]:
    """Call ``see`` with the place and the output of each run of modules, during one forward pass.

    An output that is kept has to be copied: a module that follows, such as an in-place ReLU, may overwrite it.
    """
    runs: Counter[str] = Counter()

    def hook_for(path: str) -> Callable[[nn.Module, object, Any], None]:
        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            runs[path] += 1
            see((path, runs[path]), output)

        return hook

    handles = [model.get_submodule(path).register_forward_hook(hook_for(path)) for path in sorted(set(paths))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
