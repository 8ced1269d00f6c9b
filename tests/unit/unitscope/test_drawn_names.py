"""Names of classes, layers, and data sets are drawn as they are: a dollar sign starts no formula."""

import numpy as np
import pytest

from unitscope.drawing.charts import draw_confusion
from unitscope.drawing.curves import draw_curves
from unitscope.drawing.evolution import LayerBlock, UnitRow, draw_block
from unitscope.drawing.probing import ProbePoint, draw_probes

FORMULA = r"$\frac$"  # of which matplotlib can't make a formula


@pytest.mark.parametrize("name", [FORMULA, "a$b$c"])
def test_names_are_no_formulas(name: str) -> None:
    answers = np.array([[0, 0, 3], [1, 0, 1]])
    pictures = [
        draw_confusion(name, [name, "b"], answers),
        draw_curves(name, {name: {"train": [(1, 0.5, 0.5)]}}),
        draw_probes(name, [ProbePoint("svm", name, 0.5, None, 0.2)]),
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_the_name_of_a_layer_does_not_widen_its_block() -> None:
    def block(layer: str) -> LayerBlock:
        return LayerBlock(layer, [1, 2], [UnitRow(0, ["dead", "dead"], None)])

    short, long = (draw_block(block(name), 40) for name in ("conv1", "features.denseblock4.denselayer16.conv2"))
    assert short.shape == long.shape
    assert (long[:20, -1] == long[-1, -1]).all()  # it ends before the edge
