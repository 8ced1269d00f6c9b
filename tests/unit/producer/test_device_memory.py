"""Memory of GPUs as nvidia-smi prints it."""

from __future__ import annotations

import pytest

from producer.service.device_memory import memory_of, parse_memory
from producer.service.devices import Device

LISTING = """\
0, GPU-0a11-7f, 512, 81559
1, GPU-0a22-11, 40000, 81559
2, GPU-0b33-22, [N/A], [N/A]
Failed to initialize NVML
"""


@pytest.mark.parametrize(
    ("visible", "used"),
    [("0", 512), ("1", 40000), ("2", None), ("GPU-0a22-11", 40000), ("GPU-0a1", 512), ("GPU-0a", None),
     ("MIG-3c", None), ("", None)],
)  # fmt: skip
def test_memory_of_a_device(visible: str, used: int | None) -> None:
    expected = None if used is None else (used * 2**20, 81559 * 2**20)
    assert memory_of(Device("cuda:0", visible), parse_memory(LISTING)) == expected
