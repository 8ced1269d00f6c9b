"""A plain PyTorch loop that finds the top images of every unit, as the peer of the search."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from unitscope.data.images import MEAN, STD


def plain_search(
    model: nn.Module, layer: str, folder: Path, size: int, batch: int, top: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the ``top`` largest maxima of each unit and the indices of their images in the folder: [top, units]
    each.

    Runs the whole network in float32 with a forward hook on the layer.
    """
    # Pillow resizes the images, as in unitscope: resized as tensors, pixels differ by one, which can change the
    # result.
    steps = [v2.Resize((size, size)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    loader = DataLoader(ImageFolder(str(folder), v2.Compose(steps)), batch, num_workers=2)
    seen: list[torch.Tensor] = []
    # Take the maximum in the hook, since the ReLU after the layer overwrites its output in place.
    hook = model.get_submodule(layer).register_forward_hook(lambda m, i, maps: seen.append(maps.amax((2, 3))))
    values, numbers, count = torch.empty(0), torch.empty(0, dtype=torch.int64), 0
    with torch.inference_mode():
        for images, _ in loader:
            model(images.to(device))
            maxima = seen.pop().cpu()
            indices = torch.arange(count, count + len(maxima))[:, None].expand_as(maxima)
            count += len(maxima)
            values = torch.cat([values.view(-1, maxima.shape[1]), maxima])
            numbers = torch.cat([numbers.view(-1, maxima.shape[1]), indices])
            values, order = values.topk(min(top, len(values)), dim=0)
            numbers = numbers.gather(0, order)
    hook.remove()
    return values, numbers
