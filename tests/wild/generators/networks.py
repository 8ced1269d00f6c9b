"""Weights of torchvision's networks in the form in which they are published."""

from __future__ import annotations

import re
from collections import OrderedDict

import torch
from torch import nn
from torchvision import models

CLASSES = 4
AUXILIARY = ("googlenet", "inception_v3")


def published_network(name: str) -> nn.Module:
    """Build a network as torchvision does to load its published weights: with auxiliary heads."""
    options = {"aux_logits": True, "init_weights": False} if name in AUXILIARY else {}
    torch.manual_seed(0)
    model: nn.Module = models.get_model(name, weights=None, num_classes=CLASSES, **options)
    return model.eval()


def as_published(name: str, model: nn.Module) -> OrderedDict[str, torch.Tensor]:
    """Return a network's weights with the names and versions of its published file.

    DenseNets' files are older than ``num_batches_tracked`` and the present names of dense layers; those of vision
    transformers are older than the class of their MLPs.
    """
    state: OrderedDict[str, torch.Tensor] = model.state_dict()
    if name.startswith("densenet"):
        old = {
            re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in state.items()
        }
        return OrderedDict((key, value) for key, value in old.items() if "num_batches_tracked" not in key)
    if name.startswith("vit"):
        renamed = [(key.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"), key) for key in state]
        old_state = OrderedDict((new, state[key]) for new, key in renamed)
        vars(old_state)["_metadata"] = {**vars(state)["_metadata"]}
        for path in list(vars(state)["_metadata"]):
            if path.endswith(".mlp"):
                vars(old_state)["_metadata"][path] = {"version": 1}
        return old_state
    return state
