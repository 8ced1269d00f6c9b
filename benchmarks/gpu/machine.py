"""Description of the machine: GPU, driver, libraries, memory, cores."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from shared.version import program_version

QUERY = "name,driver_version,memory.total,clocks.max.sm,power.limit"
GIB = 2**30


def why_no_device() -> str | None:
    """Return a sentence that says why no CUDA device can be used, or None if one can."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch.cuda.is_available():
        built = f"was built for CUDA {torch.version.cuda}" if torch.version.cuda else "was built without CUDA"
        hidden = f", and CUDA_VISIBLE_DEVICES is '{visible}'" if visible is not None else ""
        return f"There is no CUDA device: torch {torch.__version__} {built}, {_driver_status()}{hidden}."
    try:
        torch.zeros(1, device="cuda").add_(1).item()
    except RuntimeError as error:
        return f"The CUDA device can't be used: {str(error).splitlines()[0]}."
    return None


def _driver_status() -> str:
    answer = _nvidia_smi("-L")
    if answer is None:
        return "nvidia-smi finds no driver"
    return f"nvidia-smi lists {sum(line.startswith('GPU') for line in answer.splitlines())} devices"


def _nvidia_smi(*arguments: str) -> str | None:
    """Return the output of nvidia-smi, or None if it fails."""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def describe(device: str) -> dict[str, str]:
    """Return the hardware and software properties that affect the results, without host names."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    temporary = tempfile.gettempdir()
    return {
        **(_card() if device != "cpu" else {"device": "CPU"}),
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
        "torchvision, Pillow, Captum": ", ".join(_version(name) for name in ("torchvision", "pillow", "captum")),
        "Python": platform.python_version(),
        "unitscope": program_version(),
        "processor": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}, {torch.get_num_threads()} torch threads",
        "memory": f"{memory:.0f} GiB",
        "temporary files": f"{temporary}, {shutil.disk_usage(temporary).free / GIB:.0f} GiB free",
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
    }


def _card() -> dict[str, str]:
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    return {
        "device": properties.name,
        "compute capability": f"{properties.major}.{properties.minor}, "
        f"{properties.multi_processor_count} multiprocessors",
        "device memory": f"{total / GIB:.1f} GiB, {free / GIB:.1f} GiB free",
        f"nvidia-smi ({QUERY})": (_nvidia_smi(f"--query-gpu={QUERY}", "--format=csv,noheader") or "no answer")
        .replace("\n", "; "),
        "visible devices": str(torch.cuda.device_count()),
    }  # fmt: skip


def _processor() -> str:
    try:
        found = re.search(r"(?m)^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return f"{package}: not installed"
