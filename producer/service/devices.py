"""CUDA devices of this machine, as nvidia-smi lists them.

This module never initializes CUDA, because a process that has done so, if only to count devices, can't be forked.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.errors import UsageError

LISTING = ("nvidia-smi", "-L")
LISTING_SECONDS = 30  # loading the driver is slow where no process keeps it loaded
GPU_LINE = re.compile(r"GPU ([0-9]+): (.+?) \(UUID: (GPU-[^)]+)\)")
INSTANCE_LINE = re.compile(r"\s+(MIG \S+) .*\(UUID: (MIG-[^)]+)\)")
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Device:
    """A worker's device."""

    name: str  # ``cpu`` or ``cuda:N``, the N-th visible device
    visible: str  # CUDA_VISIBLE_DEVICES of the worker's process
    card: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.card}".strip()

    def environment(self) -> dict[str, str]:
        """Return environment variables that make this device the only one a process sees; CUDA reads them once."""
        return {
            "ANALYZE_DEVICE": "cuda:0" if self.visible else "cpu",
            VISIBLE: self.visible,
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # CUDA counts as nvidia-smi does
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # makes cuBLAS deterministic
        }


CPU = Device("cpu", "")


@dataclass(frozen=True)
class ListedDevice:
    """A GPU or MIG instance that nvidia-smi lists."""

    index: str | None  # None for a MIG instance
    card: str
    uuid: str
    divided: bool = False  # divided into MIG instances: a process can use an instance, but not the whole GPU


@dataclass(frozen=True)
class Visible:
    """The visible devices. ``remark`` says why there are none, or why named ones are missing."""

    devices: Sequence[Device]
    remark: str = ""


def find_devices() -> Visible:
    """Find the CUDA devices that are visible in this environment."""
    try:
        printed, errors = _run_listing()
    except FileNotFoundError:
        return Visible([], "nvidia-smi was not found")
    except subprocess.TimeoutExpired:
        return Visible([], f"nvidia-smi did not answer within {LISTING_SECONDS} s, as with a driver that hangs")
    except OSError as error:
        return Visible([], f"nvidia-smi could not be run: {error}")
    listed = parse_listing(printed)
    if not listed:
        output = f"{printed}\n{errors}".split("\n")
        first = next((line.strip() for line in output if line.strip()), "it printed nothing")
        return Visible([], f"nvidia-smi lists none: {first}")
    return visible_devices(listed, os.environ.get(VISIBLE))


def _run_listing() -> tuple[str, str]:
    """Return what ``nvidia-smi -L`` prints to stdout and to stderr.

    Raises
    ------
    subprocess.TimeoutExpired
        it did not answer. It is killed, but not waited for: a process that waits for a driver can't be killed.
    OSError
        it can't be run.
    """
    process = subprocess.Popen(
        LISTING,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=LISTING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def parse_listing(text: str) -> list[ListedDevice]:
    """Parse the output of ``nvidia-smi -L``; each GPU is followed by its MIG instances."""
    listed: list[ListedDevice] = []
    last_gpu = 0  # index in ``listed``
    for line in text.splitlines():
        if match := GPU_LINE.match(line):
            last_gpu = len(listed)
            listed.append(ListedDevice(match[1], match[2], match[3]))
        elif listed and (match := INSTANCE_LINE.match(line)):
            gpu = listed[last_gpu]
            listed[last_gpu] = ListedDevice(gpu.index, gpu.card, gpu.uuid, divided=True)
            listed.append(ListedDevice(None, f"{gpu.card} {match[1]}", match[2]))
    return listed


def visible_devices(listed: Sequence[ListedDevice], variable: str | None) -> Visible:
    """Return the devices that CUDA sees for a value of ``CUDA_VISIBLE_DEVICES``.

    As in CUDA, entries are indices, UUIDs, or unique prefixes of UUIDs, and the first entry that names no device
    ends the list. Without the variable, all devices are visible.
    """
    if variable is None:
        usable = [device for device in listed if not device.divided]
        return Visible([Device(f"cuda:{n}", gpu.index or gpu.uuid, gpu.card) for n, gpu in enumerate(usable)])
    if variable.strip() in ("", "-1"):
        return Visible([], f"{VISIBLE} is '{variable}'")
    devices: list[Device] = []
    used: set[str] = set()
    for entry in (part.strip() for part in variable.split(",")):
        named = _named(listed, entry)
        if named is None:
            return Visible(devices, f"{VISIBLE} is '{variable}', and '{entry}' names no device")
        if named.uuid in used:  # CUDA then shows no device at all
            return Visible([], f"{VISIBLE} is '{variable}', which names a device twice")
        used.add(named.uuid)
        devices.append(Device(f"cuda:{len(devices)}", entry, named.card))
    return Visible(devices)


def _named(listed: Sequence[ListedDevice], entry: str) -> ListedDevice | None:
    if re.fullmatch("[0-9]+", entry):
        matches = [device for device in listed if device.index is not None and int(device.index) == int(entry)]
    elif entry.startswith(("GPU-", "MIG-")):
        matches = [device for device in listed if device.uuid.startswith(entry)]
    else:
        matches = []
    return matches[0] if len(matches) == 1 else None


def parse_devices(text: str, look: Callable[[], Visible] = find_devices) -> Visible:
    """Parse ``--devices``: ``cpu``, a list such as ``cuda:0,cuda:1``, or ``all``.

    ``all`` means the visible devices, or the CPU if there are none; ``remark`` then says why. ``look`` finds the
    visible devices.

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
            raise UsageError(reason=f"--devices {text}: there is no {name}. {_describe(visible)}")
    return Visible([known[name] for name in names])


def _name(text: str) -> str:
    """Validate and normalize a device's name, ``cpu`` or ``cuda:N``."""
    if text == CPU.name:
        return text
    if cuda := re.fullmatch("cuda:([0-9]+)", text):
        return f"cuda:{int(cuda[1])}"
    raise UsageError(reason=f"--devices '{text}' is not cpu, cuda:N or all.")


def _describe(visible: Visible) -> str:
    remark = f" ({visible.remark})" if visible.remark else ""
    if not visible.devices:
        return f"No CUDA device is visible{remark}."
    return f"Visible: {', '.join(map(str, visible.devices))}{remark}."
