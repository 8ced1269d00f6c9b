"""Networks of many kinds, and what a plain loop knows about the outputs of their layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

IMAGES = 7


class Shared(nn.Module):
    """A network that runs one ReLU module three times, and others as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.hidden, self.head = nn.Linear(8, 10), nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        x = self.relu(self.second(x))
        return self.head(F.relu(self.hidden(x.mean((2, 3)))))


class Pair(nn.Module):
    """A module with several outputs: maps, their mean, and a name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 9, 3)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        maps = self.conv(x)
        return {"name": "pair", "maps": maps, "means": maps.mean((2, 3))}


class Several(nn.Module):
    """A network with several outputs, of which one module has several as well."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pair = nn.Conv2d(3, 6, 5, stride=3), Pair()
        self.one, self.two = nn.Linear(9, 5), nn.Linear(9, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.pair(self.stem(x).clamp(min=0))
        return self.one(found["means"]), self.two(found["means"])


@dataclass(frozen=True)
class Case:
    """A network, the size of its images, and dimensions of some outputs: ``nchw``, ``nhwc``, ``ntc`` or ``nc``.

    ``grid`` are the columns of the tokens' grid, and the number of tokens before it.
    """

    make: Callable[[], nn.Module]
    size: int
    layers: dict[str, str]
    grid: tuple[int, int] = (1, 0)


def _large_images() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=224, patch_size=16, num_layers=4, num_heads=3, hidden_dim=96, mlp_dim=192, num_classes=20
    )


def _vit() -> nn.Module:
    model = torchvision.models.VisionTransformer(
        image_size=64, patch_size=16, num_layers=4, num_heads=12, hidden_dim=768, mlp_dim=3072, num_classes=20
    )
    nn.init.normal_(model.heads.head.weight, std=0.02)  # type: ignore[union-attr, arg-type]
    return model


def _named(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, weights=None, num_classes=20, **options)


CASES = {
    "vit": Case(_vit, 64, {
        "conv_proj": "nchw",
        "encoder.dropout": "ntc",
        "encoder.layers.encoder_layer_1.self_attention": "ntc",
        "encoder.layers.encoder_layer_2.mlp.1": "ntc",
        "encoder.layers.encoder_layer_3.mlp": "ntc",
        "encoder": "ntc",
        "heads.head": "nc",
    }, grid=(4, 1)),
    "vit of 224 pixels": Case(_large_images, 224, {
        "encoder.layers.encoder_layer_3.mlp": "ntc",
        "heads.head": "nc",
    }, grid=(14, 1)),
    "convnext": Case(_named("convnext_tiny"), 64, {
        "features.0.1": "nchw",
        "features.1.0.block.2": "nhwc",
        "features.1.0.block.4": "nhwc",
        "features.1.0.block.5": "nhwc",
        "features.3.1": "nchw",
        "avgpool": "nchw",
        "classifier.2": "nc",
    }),
    "efficientnet": Case(_named("efficientnet_b0"), 64, {
        "features.0.2": "nchw",
        "features.2.0.block.2.fc1": "nchw",
        "features.4.1": "nchw",
        "classifier.1": "nc",
    }),
    "mobilenet": Case(_named("mobilenet_v3_small"), 64, {
        "features.0.2": "nchw",
        "features.4": "nchw",
        "classifier.1": "nc",
        "classifier.3": "nc",
    }),
    "inception": Case(_named("inception_v3", aux_logits=False, init_weights=False), 96, {
        "Conv2d_1a_3x3": "nchw",
        "Mixed_5b": "nchw",
        "Mixed_6a.branch3x3dbl_3.bn": "nchw",
        "fc": "nc",
    }),
    "swin": Case(_named("swin_t"), 64, {
        "features.0.0": "nchw",
        "features.0": "nhwc",
        "features.1.0.attn": "nhwc",
        "features.1.1.mlp.1": "nhwc",
        "features.3.1": "nhwc",
        "permute": "nchw",
        "head": "nc",
    }),
    "shared": Case(Shared, 32, {"first": "nchw", "second": "nchw", "relu": "nchw", "hidden": "nc", "head": "nc"}),
    "several": Case(Several, 32, {"stem": "nchw", "pair": "nchw", "pair.conv": "nchw", "one": "nc", "two": "nc"}),
}  # fmt: skip


def made(case: Case) -> nn.Module:
    torch.manual_seed(5)
    return case.make().eval()


def pixels(case: Case, images: int = IMAGES) -> torch.Tensor:
    """Return random images of blocks, uint8 [N, 3, H, W]: noise alone looks the same to all units."""
    generator = torch.Generator().manual_seed(8)
    blocks = torch.rand(images, 3, 4, 4, generator=generator)
    smooth = F.interpolate(blocks, case.size, mode="nearest")
    noise = torch.rand(images, 3, case.size, case.size, generator=generator)
    return ((0.7 * smooth + 0.3 * noise) * 255).to(torch.uint8)
