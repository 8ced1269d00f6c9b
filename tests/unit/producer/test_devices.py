"""Devices that ``--devices`` chooses, by the listing of nvidia-smi and ``CUDA_VISIBLE_DEVICES``."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

import producer.service.devices
from producer.service.devices import (
    CPU,
    Device,
    Visible,
    find_devices,
    parse_devices,
    parse_listing,
    visible_devices,
)
from shared.errors import UsageError

H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"
FOUR = "".join(f"GPU {n}: {H100} (UUID: GPU-{n}c89852c-d268-c3f3-1b07-005d5ae1dc3f)\n" for n in range(4))
ALIKE = f"GPU 0: {H100} (UUID: GPU-5c898500)\nGPU 1: {H100} (UUID: GPU-5c898511)\n"
ONE_LOST = (
    f"GPU 0: {H100} (UUID: GPU-00)\nUnable to determine the device handle for GPU1\nGPU 2: {A100} (UUID: GPU-22)\n"
)
DIVIDED = (
    f"GPU 0: {A100} (UUID: GPU-aa11)\n"
    "  MIG 3g.20gb     Device  0: (UUID: MIG-1111-aaaa)\n"
    "  MIG 1g.5gb+me   Device  1: (UUID: MIG-2222-bbbb)\n"
    f"GPU 1: {A100} (UUID: GPU-bb22)\n"
)
OLD_INSTANCE = f"GPU 0: {A100} (UUID: GPU-aa)\n  MIG 1g.5gb      Device  0: (UUID: MIG-GPU-aa/1/0)\n"


def entries(listing: str, variable: str | None) -> list[str]:
    """Return ``CUDA_VISIBLE_DEVICES`` of each worker."""
    found = visible_devices(parse_listing(listing), variable)
    assert [device.name for device in found.devices] == [f"cuda:{n}" for n in range(len(found.devices))]
    return [device.visible for device in found.devices]


UUID = "GPU-2c89852c-d268-c3f3-1b07-005d5ae1dc3f"


@pytest.mark.parametrize(
    ("listing", "variable", "visible"),
    [
        (FOUR, None, ["0", "1", "2", "3"]),
        (FOUR, "1,3", ["1", "3"]),
        (FOUR, "2,3", ["2", "3"]),
        ("\n".join(FOUR.split("\n")[2:4]).replace("GPU 2", "GPU 0").replace("GPU 3", "GPU 1"), "0,1", ["0", "1"]),
        (FOUR, " 3 , 1", ["3", "1"]),
        (FOUR, "2", ["2"]),
        (FOUR, "", []),
        (FOUR, " ", []),
        (FOUR, "-1", []),
        (FOUR, "NoDevFiles", []),
        (FOUR, "none", []),
        (FOUR, "0,-1,1", ["0"]),  # CUDA stops at the first invalid entry
        (FOUR, "0,7,1", ["0"]),
        (FOUR, "0,,1", ["0"]),
        (FOUR, "7", []),
        (FOUR, "1,1", []),  # CUDA then shows no device
        (FOUR, f"2,{UUID}", []),
        (FOUR, "²", []),  # a digit, but not a number
        (FOUR, UUID, [UUID]),
        (FOUR, "GPU-2c8,GPU-0c", ["GPU-2c8", "GPU-0c"]),
        (FOUR, "GPU-9", []),
        (FOUR, "GPU-", []),  # ambiguous
        (FOUR, UUID.removeprefix("GPU-"), []),
        (ALIKE, "GPU-5c8985", []),
        (ALIKE, "GPU-5c89851", ["GPU-5c89851"]),
        (ONE_LOST, None, ["0", "2"]),
        (ONE_LOST, "2", ["2"]),
        (ONE_LOST, "1", []),
        (DIVIDED, None, ["MIG-1111-aaaa", "MIG-2222-bbbb", "1"]),
        (DIVIDED, "MIG-2222-bbbb", ["MIG-2222-bbbb"]),
        (DIVIDED, "MIG-22,1", ["MIG-22", "1"]),
        (DIVIDED, "MIG-3333", []),
        (DIVIDED, "0", ["0"]),  # CUDA uses its first instance
        (OLD_INSTANCE, None, ["MIG-GPU-aa/1/0"]),
        (OLD_INSTANCE, "MIG-GPU-aa/1/0", ["MIG-GPU-aa/1/0"]),
    ],
)
def test_visible_devices(listing: str, variable: str | None, visible: list[str]) -> None:
    assert entries(listing, variable) == visible


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        (None, ""),
        ("0,2", ""),
        ("", "CUDA_VISIBLE_DEVICES is ''"),
        ("-1", "CUDA_VISIBLE_DEVICES is '-1'"),
        ("0,9", "CUDA_VISIBLE_DEVICES is '0,9', and '9' names no device"),
        ("3,3", "CUDA_VISIBLE_DEVICES is '3,3', which names a device twice"),
    ],
)
def test_remark_says_why_a_device_is_not_visible(variable: str | None, words: str) -> None:
    assert visible_devices(parse_listing(FOUR), variable).remark == words


def test_listings_without_a_gpu() -> None:
    assert parse_listing("No devices were found\n") == []
    assert parse_listing("") == []
    assert parse_listing("  MIG 1g.5gb Device 0: (UUID: MIG-1)\n") == []


def test_cards_and_variables() -> None:
    devices = visible_devices(parse_listing(DIVIDED), "1,MIG-1111").devices
    assert [str(device) for device in devices] == [f"cuda:0 {A100}", f"cuda:1 {A100} MIG 3g.20gb"]
    assert devices[1].environment() == {
        "ANALYZE_DEVICE": "cuda:0",
        "CUDA_VISIBLE_DEVICES": "MIG-1111",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
    assert (CPU.environment()["ANALYZE_DEVICE"], CPU.environment()["CUDA_VISIBLE_DEVICES"]) == ("cpu", "")
    assert str(CPU) == "cpu"


TWO = Visible([Device("cuda:0", "5", H100), Device("cuda:1", "GPU-7", A100)])
NONE = Visible([], "nvidia-smi was not found")


@pytest.mark.parametrize(
    ("text", "visible", "chosen"),
    [
        ("all", TWO, ["5", "GPU-7"]),
        ("cuda:1", TWO, ["GPU-7"]),
        ("cuda:1, cuda:0", TWO, ["GPU-7", "5"]),
        ("cuda:01", TWO, ["GPU-7"]),
        ("cpu,cuda:0", TWO, ["", "5"]),
        ("cpu", NONE, [""]),
        ("all", NONE, [""]),
    ],
)
def test_chosen_devices(text: str, visible: Visible, chosen: list[str]) -> None:
    assert [device.visible for device in parse_devices(text, lambda: visible).devices] == chosen


def test_the_cpu_is_used_with_a_reason() -> None:
    assert parse_devices("all", lambda: NONE).remark == (
        "No CUDA device is visible: nvidia-smi was not found. The CPU is used."
    )
    assert parse_devices("cpu", lambda: NONE).remark == ""
    assert parse_devices("cuda:0", lambda: TWO).remark == ""
    some = Visible(TWO.devices, "CUDA_VISIBLE_DEVICES is '5,GPU-7,9', and '9' names no device")
    assert parse_devices("all", lambda: some).remark == some.remark


@pytest.mark.parametrize(
    ("text", "visible", "words"),
    [
        ("cuda:5", TWO, f"there is no cuda:5. Visible: cuda:0 {H100}, cuda:1 {A100}."),
        ("cpu,cuda:0", NONE, "there is no cuda:0. No CUDA device is visible (nvidia-smi was not found)."),
        ("cuda:0,cuda:00", TWO, "names a device twice"),
        ("cpu,cpu", TWO, "names a device twice"),
        *(
            (text, TWO, "is not cpu, cuda:N or all")
            for text in ("", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:x", "1")
        ),
        *((text, TWO, "is not cpu, cuda:N or all") for text in ("cuda:²", "all,cpu", "cpu,", "CUDA:0", "GPU-5")),
    ],
)
def test_invalid_choices(text: str, visible: Visible, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_devices(text, lambda: visible)
    assert words in str(caught.value)


def test_choosing_the_cpu_does_not_run_nvidia_smi() -> None:
    def look() -> Visible:
        raise AssertionError

    assert parse_devices("cpu", look).devices == [CPU]
    with pytest.raises(UsageError):
        parse_devices("gpu", look)


# --- nvidia-smi itself ---


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of the only nvidia-smi on the PATH; the test writes it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "nvidia-smi"


def write_tool(tool: Path, printed: str, code: int = 0, to: int = 1) -> None:
    cat = shutil.which("cat", path=os.defpath)
    text = f"#!/bin/sh\n[ $1 = -L ] || exit 9\n{cat} >&{to} <<'END'\n{printed}END\nexit {code}\n"
    tool.write_text(text, errors="surrogateescape")
    tool.chmod(0o755)


def test_devices_are_read_from_nvidia_smi(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tool(tool, FOUR)
    assert [device.visible for device in find_devices().devices] == ["0", "1", "2", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [device.visible for device in find_devices().devices] == ["2", "0"]
    write_tool(tool, ONE_LOST, code=15)
    assert [device.visible for device in find_devices().devices] == ["2", "0"]


@pytest.mark.parametrize(
    ("printed", "code", "to", "words"),
    [
        ("No devices were found\n", 6, 1, "nvidia-smi lists none: No devices were found"),
        (
            "\nFailed to initialize NVML: Driver/library version mismatch\n",
            18,
            2,
            "lists none: Failed to initialize",
        ),
        ("", 0, 1, "nvidia-smi lists none: it printed nothing"),
    ],
)
def test_a_tool_that_lists_nothing(tool: Path, printed: str, code: int, to: int, words: str) -> None:
    write_tool(tool, printed, code, to)
    found = find_devices()
    assert not found.devices
    assert words in found.remark


def test_bytes_that_are_not_text_are_replaced(tool: Path) -> None:
    write_tool(tool, "GPU 0: \udcff Card (UUID: GPU-aa)\n")
    assert [device.card for device in find_devices().devices] == ["\ufffd Card"]


@pytest.mark.parametrize("can_be_killed", [True, False])
def test_a_tool_that_hangs(tool: Path, monkeypatch: pytest.MonkeyPatch, can_be_killed: bool) -> None:
    """A process that waits for a driver dies only when the driver answers, so nothing may wait for its end."""
    sleep, started = shutil.which("sleep", path=os.defpath), tool.with_name("pids")
    tool.write_text(f"#!/bin/sh\n{sleep} 1000 &\necho $$ $! > {started}\nwait\n")
    tool.chmod(0o755)
    monkeypatch.setattr(producer.service.devices, "LISTING_SECONDS", 0.5)
    kill = os.killpg
    if not can_be_killed:
        monkeypatch.setattr(os, "killpg", lambda group, number: None)
    before = time.monotonic()
    found = find_devices()
    assert found == Visible([], "nvidia-smi did not answer within 0.5 s, as with a driver that hangs")
    assert time.monotonic() - before < 10
    pids = [int(pid) for pid in started.read_text().split()]
    if can_be_killed:  # the child of the tool, too
        _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10)
        assert alive == []
    else:
        kill(pids[0], signal.SIGKILL)


def test_no_tool(tool: Path) -> None:
    assert find_devices() == NONE
    tool.write_text("#!/nowhere\n")
    assert find_devices().remark  # it can't be run
    tool.chmod(0o755)
    assert find_devices().devices == []
