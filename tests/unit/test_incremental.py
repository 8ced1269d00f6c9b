"""Occluded images whose maps are recomputed where they change, against whole ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from worker.vision import networks
from worker.vision.incremental import Incremental, batches_of_places
from worker.vision.initialising import initialise
from worker.vision.search import observe

SQUARE = 16


def whole(
    model: nn.Module,
    watched: str,
    images: torch.Tensor,
    filled: torch.Tensor,
    corners: torch.Tensor,
    units: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every occluded image by itself, through the whole network."""
    occluded = images.clone()
    for number, (row, col) in enumerate(corners.tolist()):
        part = (number, slice(None), slice(row, row + SQUARE), slice(col, col + SQUARE))
        occluded[part] = filled[part]
    sums: list[torch.Tensor] = []

    def note(maps: torch.Tensor) -> None:
        sums.append(maps[torch.arange(len(maps)), units].clamp(min=0).sum((1, 2)))

    observe(model, {watched: note}, occluded)
    return sums[0], model(occluded)


@pytest.mark.parametrize(
    ("name", "size", "watched"),
    [
        ("zfnet", 95, "features.10"),
        ("zfnet-paper", 96, "features.4"),
        ("vgg11_bn", 64, "features.8"),
        ("resnet18", 96, "layer2.0.conv2"),
    ],
)
@torch.inference_mode()
def test_what_the_square_reaches_is_all_that_changes(name: str, size: int, watched: str) -> None:
    torch.manual_seed(0)
    model = networks.build(name, 5, size).eval().to(memory_format=torch.channels_last)
    initialise(model, "he")
    images, filled = (torch.rand(2, 3, size, size).to(memory_format=torch.channels_last) for _ in range(2))
    units = torch.tensor([1, 3])
    firsts = [0, 9, 40, size - SQUARE]  # the last square touches the border
    engine = Incremental(model, watched, (size, size), (SQUARE, SQUARE), firsts, firsts)
    counted, of_whole = engine.multiplications()
    assert counted < of_whole
    clear = engine.clear(images)
    torch.testing.assert_close(clear.outputs, model(images))
    for of, places in batches_of_places(2, len(firsts), len(firsts), at_once=7):
        sums, outputs = engine.run(clear, filled, of, places, units)
        corners = torch.tensor(firsts)[places]
        expected_sums, expected = whole(model, watched, images[of], filled[of], corners, units[of])
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
        torch.testing.assert_close(sums.float(), expected_sums, rtol=1e-4, atol=1e-5 * float(expected_sums.max()))


def test_a_map_that_is_overwritten_while_others_read_it_is_refused() -> None:
    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            self.relu(x)
            return self.second(x)

    with pytest.raises(ValueError, match="relu overwrites a map that is read elsewhere"):
        Incremental(Overwriting().eval(), "second", (32, 32), (8, 8), [0], [0])
