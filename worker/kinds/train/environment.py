"""The environment of a training run, stored with its result to reproduce it and to explain differences."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import torch

from shared.version import program_version
from unitscope.training.loop import Trainer
from unitscope.training.optimizers import is_fused


def environment(device: torch.device, trainer: Trainer) -> dict[str, Any]:
    """Return the device, number of threads, form of the computations, and versions of the libraries."""
    cuda = device.type == "cuda"
    return {
        "unitscope": program_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "pillow": version("pillow"),
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
        "device_kind": device.type,
        "threads": torch.get_num_threads(),
        "optimizer_step": "fused" if is_fused(trainer.optimizer) else "for each weight tensor",
        "precision": "bfloat16 where it is safe" if trainer.mixed else "float32",
        "first_layer_filter_rms": trainer.bounds[0][1] if trainer.bounds else None,
    }
