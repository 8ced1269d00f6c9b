"""The CUDA devices of this machine, as the driver's own tool lists them.

Nothing here asks CUDA itself: a process that has done so, if only whether there is a device, can't be forked any
more.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.errors import UsageError

LISTING = ("nvidia-smi", "-L")
LISTING_SECONDS = 30  # the driver takes its time where nothing keeps it loaded
GPU_LINE = re.compile(r"GPU ([0-9]+): (.+?) \(UUID: (GPU-[^)]+)\)")
INSTANCE_LINE = re.compile(r"\s+(MIG \S+) .*\(UUID: (MIG-[^)]+)\)")
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Device:
    """Where a worker computes: ``cpu`` or ``cuda:N``, the N-th visible device. ``visible`` is the
    ``CUDA_VISIBLE_DEVICES`` of its process."""

    name: str
    visible: str
    card: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.card}".strip()

    def environment(self) -> dict[str, str]:
        """Variables of its process, which sees this device and no other. They are read when CUDA starts."""
        return {
            "ANALYZE_DEVICE": "cuda:0" if self.visible else "cpu",
            VISIBLE: self.visible,
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # CUDA counts as nvidia-smi does
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS can give other bits the next time
        }


CPU = Device("cpu", "")


@dataclass(frozen=True)
class Listed:
    """What nvidia-smi lists: a GPU, or a MIG instance of one, which has no index."""

    index: str | None
    card: str
    uuid: str
    divided: bool = False  # into instances: a process can use one of them, and not the whole


@dataclass(frozen=True)
class Visible:
    """The visible devices; ``remark`` says why there are none, or not all that were named."""

    devices: Sequence[Device]
    remark: str = ""


def find_devices() -> Visible:
    """The devices that are visible in this environment."""
    try:
        done = subprocess.run(LISTING, capture_output=True, text=True, timeout=LISTING_SECONDS, check=False)
    except FileNotFoundError:
        return Visible([], "nvidia-smi was not found")
    except (OSError, subprocess.SubprocessError) as error:
        return Visible([], f"nvidia-smi could not be run: {error}")
    listed = parse_listing(done.stdout)
    if not listed:
        said = f"{done.stdout}\n{done.stderr}".split("\n")
        first = next((line.strip() for line in said if line.strip()), "it printed nothing")
        return Visible([], f"nvidia-smi lists none: {first}")
    return visible_devices(listed, os.environ.get(VISIBLE))


def parse_listing(text: str) -> list[Listed]:
    """What the output of ``nvidia-smi -L`` lists, each GPU followed by its MIG instances."""
    found: list[Listed] = []
    whole = 0  # place of the last GPU
    for line in text.splitlines():
        if gpu := GPU_LINE.match(line):
            whole = len(found)
            found.append(Listed(gpu[1], gpu[2], gpu[3]))
        elif found and (instance := INSTANCE_LINE.match(line)):
            gpu_listed = found[whole]
            found[whole] = Listed(gpu_listed.index, gpu_listed.card, gpu_listed.uuid, divided=True)
            found.append(Listed(None, f"{gpu_listed.card} {instance[1]}", instance[2]))
    return found


def visible_devices(listed: Sequence[Listed], variable: str | None) -> Visible:
    """What CUDA makes of ``CUDA_VISIBLE_DEVICES``: indices, UUIDs or unique beginnings of UUIDs, in their order,
    up to the first that names no device. Without the variable everything is visible."""
    if variable is None:
        everything = [one for one in listed if not one.divided]
        return Visible([Device(f"cuda:{n}", one.index or one.uuid, one.card) for n, one in enumerate(everything)])
    if variable.strip() in ("", "-1"):
        return Visible([], f"{VISIBLE} is '{variable}'")
    devices: list[Device] = []
    used: set[str] = set()
    for entry in (part.strip() for part in variable.split(",")):
        named = _named(listed, entry)
        if named is None:
            return Visible(devices, f"{VISIBLE} is '{variable}', and '{entry}' names no device")
        if named.uuid in used:  # CUDA shows none at all then
            return Visible([], f"{VISIBLE} is '{variable}', which names a device twice")
        used.add(named.uuid)
        devices.append(Device(f"cuda:{len(devices)}", entry, named.card))
    return Visible(devices)


def _named(listed: Sequence[Listed], entry: str) -> Listed | None:
    if re.fullmatch("[0-9]+", entry):
        fits = [one for one in listed if one.index is not None and int(one.index) == int(entry)]
    elif entry.startswith(("GPU-", "MIG-")):
        fits = [one for one in listed if one.uuid.startswith(entry)]
    else:
        fits = []
    return fits[0] if len(fits) == 1 else None


def parse_devices(text: str, look: Callable[[], Visible] = find_devices) -> Visible:
    """The devices that ``--devices`` names: ``cpu``, ``cuda:0,cuda:1``, or ``all``: the visible ones, or the CPU
    where there are none. ``remark`` is what a person has to know about it.

    Raises
    ------
    UsageError
    """
    if text == "all":
        visible = look()
        if visible.devices:
            return visible
        return Visible([CPU], f"No CUDA device is visible: {visible.remark}. The CPU is used.")
    names = [_name(part.strip()) for part in text.split(",")]
    if len(set(names)) != len(names):
        raise UsageError(reason=f"--devices {text} names a device twice.")
    if names == [CPU.name]:
        return Visible([CPU])
    visible = look()
    known = {device.name: device for device in [CPU, *visible.devices]}
    for name in names:
        if name not in known:
            raise UsageError(reason=f"--devices {text}: there is no {name}. {_said_of(visible)}")
    return Visible([known[name] for name in names])


def _name(text: str) -> str:
    """``cpu`` or ``cuda:N``."""
    if text == CPU.name:
        return text
    if cuda := re.fullmatch("cuda:([0-9]+)", text):
        return f"cuda:{int(cuda[1])}"
    raise UsageError(reason=f"--devices '{text}' is not cpu, cuda:N or all.")


def _said_of(visible: Visible) -> str:
    why = f" ({visible.remark})" if visible.remark else ""
    if not visible.devices:
        return f"No CUDA device is visible{why}."
    return f"Visible: {', '.join(map(str, visible.devices))}{why}."
