"""Files of weights as training programs leave them: wrapped, with prefixes, beside other objects."""

from __future__ import annotations

import argparse
import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torchvision
from torch import nn

NETWORK, CLASSES, SIZE = "shufflenet_v2_x0_5", 10, 64  # 1.5 MB, with batch normalization

Tensors = Mapping[str, torch.Tensor]


def network(classes: int = CLASSES) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = torchvision.models.get_model(NETWORK, weights=None, num_classes=classes)
    return model.eval()


def with_prefix(prefix: str, tensors: Tensors) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _averaged(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Weights of torch's AveragedModel, with values that differ from the trained ones."""
    return {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _counted(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Weights of a network whose operations were counted with thop."""
    return {**tensors, "total_ops": torch.zeros(1), "conv1.total_params": torch.zeros(1)}


# Contents of files of torch.save from which the same weights are taken, and words of what is said.
TAKEN: dict[str, tuple[Callable[[Tensors], Any], tuple[str, ...]]] = {
    "state_dict": (lambda t: t, ()),
    "pytorch/examples": (
        lambda t: {"epoch": 3, "state_dict": t, "best_acc1": torch.tensor(71.2), "optimizer": {"state": {}}},
        ("'state_dict'",),
    ),
    "torchvision/references": (
        lambda t: {"model": t, "model_ema": _averaged(t), "args": argparse.Namespace(lr=0.1)},
        ("under 'model'", "not taken: those under 'model_ema'"),
    ),
    "timm": (lambda t: {"state_dict": t, "state_dict_ema": _averaged(t)}, ("'state_dict_ema'",)),
    "averages first": (lambda t: {"ema": _averaged(t), "net": t}, ("under 'net'", "those under 'ema'")),
    "only averages": (lambda t: {"model_ema": t}, ("under 'model_ema'",)),
    "kuangliu": (lambda t: {"net": with_prefix("module.", t), "acc": 92.1}, ("'net'", "'module.'")),
    "model_state_dict": (lambda t: {"model_state_dict": t, "loss": np.float64(0.1)}, ("'model_state_dict'",)),
    **{
        key: (lambda t, key=key: {key: t, "epoch": 1}, (f"'{key}'",))
        for key in ("weights", "params", "network", "model_state")
    },
    "three deep": (lambda t: {"a": {"b": {"c": t}}}, ("'a.b.c'",)),
    "with an optimizer": (
        lambda t: {"model": t, "optimizer": {"state": {"0": {"exp_avg": torch.ones(3)}}}},
        ("'model'",),
    ),
    "lightning": (
        lambda t: {"state_dict": {**with_prefix("model.", t), "criterion.weight": torch.ones(9)}, "loops": {}},
        ("'model.'", "left out (1): 'criterion.weight'"),
    ),
    "compiled": (lambda t: with_prefix("_orig_mod.", t), ("'_orig_mod.'",)),
    "compiled and parallel": (lambda t: with_prefix("module._orig_mod.", t), ("'_orig_mod.', 'module.'",)),
    "parallel and compiled": (lambda t: with_prefix("_orig_mod.module.", t), ("'_orig_mod.', 'module.'",)),
    "parallel in part": (
        lambda t: {name.replace("stage2.", "stage2.module."): tensor for name, tensor in t.items()},
        ("'module.'",),
    ),
    "lightning, parallel": (lambda t: {"state_dict": with_prefix("model.module.", t)}, ("'module.', 'model.'",)),
    "averaged model": (
        lambda t: {**with_prefix("module.", t), "n_averaged": torch.tensor(5)},
        ("'n_averaged'",),
    ),
    "backbone": (lambda t: with_prefix("backbone.", t), ("'backbone.'",)),
    "attribute": (lambda t: with_prefix("encoder.shuffle.", t), ("'encoder.shuffle.'",)),
    "counted with thop": (_counted, ("'total_ops', 'conv1.total_params'",)),
    "without num_batches_tracked": (
        lambda t: {name: tensor for name, tensor in t.items() if "num_batches" not in name},
        (),
    ),
    "parameters": (
        lambda t: {name: nn.Parameter(x) if x.is_floating_point() else x for name, x in t.items()},
        (),
    ),
    "channels last": (
        lambda t: {
            name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
            for name, tensor in t.items()
        },
        (),
    ),
}


def scripted(path: Path) -> None:
    torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 3, SIZE, SIZE)), str(path))


def _other_head(model: nn.Module) -> Tensors:
    changed: Any = copy.deepcopy(model)
    changed.fc = nn.Sequential(nn.Dropout(), nn.Linear(1024, CLASSES))
    return dict(changed.state_dict())


class HidingMethods:
    """Pickled as an OrderedDict with attributes that hide its methods, and nonsense for versions of modules."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors

    def __reduce__(self) -> Any:
        state = {"items": 1, "get": 2, "keys": 3, "_metadata": {"": {"version": "x"}, "conv1": 5, 7: {}}}
        return OrderedDict, (), state, None, iter(self.tensors.items())


def _contains_itself(tensors: Tensors) -> Any:
    content: dict[str, Any] = {"epoch": 1}
    content["self"] = content
    return content


# Contents of files of torch.save that are refused, and words of the message.
REFUSED: dict[str, tuple[Callable[[nn.Module], Any], tuple[str, ...]]] = {
    "a whole model": (lambda m: m, ("ShuffleNetV2, not a state_dict", "torch.save(model.state_dict()")),
    "a whole model in a dictionary": (
        lambda m: {"model": m, "epoch": 1},
        ("'model' is of class torchvision.models.shufflenetv2.ShuffleNetV2", "torch.save(model.state_dict()"),
    ),
    "NumPy's arrays": (
        lambda m: {name: tensor.numpy() for name, tensor in m.state_dict().items()},
        ("'conv1.0.weight' is of class numpy", "torch.from_numpy"),
    ),
    "another head": (lambda m: _other_head(m), ("2 tensors are missing (first: fc.weight)", "fc.1.weight")),
    "seven classes": (
        lambda m: network(classes=7).state_dict(),
        ("for 7 classes, not 10", "fc.weight is [7, 1024], not [10, 1024]", "--classes"),
    ),
    "two networks": (
        lambda m: {"teacher": m.state_dict(), "student": copy.deepcopy(m.state_dict())},
        ("several sets", "under 'teacher', under 'student'"),
    ),
    "two encoders": (
        lambda m: {
            "state_dict": with_prefix("module.encoder_q.", m.state_dict())
            | with_prefix("module.encoder_k.", _averaged(m.state_dict()))
        },
        ("several sets", "'encoder_q.'", "'encoder_k.'"),
    ),
    "itself": (lambda m: _contains_itself({}), ("no dictionary of tensors",)),
    "head elsewhere": (  # OpenMMLab
        lambda m: {
            "meta": {},
            "state_dict": {("head." if "fc" in k else "backbone.") + k: v for k, v in m.state_dict().items()},
        },
        ("2 tensors are missing (first: fc.weight)", "2 tensors are unexpected (first: head.fc.weight)"),
    ),
    "no backbone": (
        lambda m: {name: tensor for name, tensor in m.state_dict().items() if "fc" in name},
        ("are missing (first: conv1.0.weight)",),
    ),
}


# Bytes of files that are something else, and words of the message.
FOREIGN = {
    "lfs.safetensors": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "git lfs pull"),
    "lfs.pth": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "git lfs pull"),
    "page.pth": (b"<!DOCTYPE html><html></html>", "web page"),
    "keras.h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras"),
    "weights.pth.gz": (b"\x1f\x8b" + bytes(100), "gzip"),
}


def save_safetensors(tensors: Tensors, path: Path) -> None:
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(contiguous, path, metadata={"format": "pt"})
