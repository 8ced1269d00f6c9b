"""Memory of the GPUs, from nvidia-smi. Does not initialize CUDA. MIG instances and the CPU have no values."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from producer.service.devices import Device

QUERY = ("nvidia-smi", "--query-gpu=index,uuid,memory.used,memory.total", "--format=csv,noheader,nounits")
QUERY_SECONDS = 10


def device_memory() -> dict[str, tuple[int, int]]:
    """Return the used and the total memory in bytes of each GPU, by its index and by its UUID."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_memory(done.stdout)


def parse_memory(text: str) -> dict[str, tuple[int, int]]:
    """Parse lines such as ``0, GPU-0a11, 512, 81559`` (MiB); lines with other values, such as N/A, are skipped."""
    found: dict[str, tuple[int, int]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 4 and fields[2].isdecimal() and fields[3].isdecimal():
            memory = (int(fields[2]) * 2**20, int(fields[3]) * 2**20)
            found |= {fields[0]: memory, fields[1]: memory}
    return found


def memory_of(device: Device, memory: Mapping[str, tuple[int, int]]) -> tuple[int, int] | None:
    """Return the used and the total memory of a worker's device, named by its index or by its UUID's start."""
    if not device.visible:
        return None
    if device.visible in memory:
        return memory[device.visible]
    names = [name for name in memory if device.visible.startswith("GPU-") and name.startswith(device.visible)]
    return memory[names[0]] if len(names) == 1 else None
