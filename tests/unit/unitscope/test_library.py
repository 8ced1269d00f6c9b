"""The script of the documentation, which uses the library alone."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

from producer.datasets.shapes import generate

SCRIPT = Path(__file__).parents[3] / "docs" / "library.py"
WITHOUT = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__'); print(*sorted(sys.modules))"


def test_a_model_a_layer_and_a_folder_give_rows_and_pictures(tmp_path: Path) -> None:
    generate(tmp_path / "shapes", images=40)
    torch.manual_seed(0)
    weights = torchvision.models.alexnet().state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    command = [
        sys.executable,
        "-c",
        WITHOUT,
        SCRIPT,
        tmp_path / "shapes",
        tmp_path / "result",
        tmp_path / "weights.pth",
    ]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert not {"celery", "redis", "sqlalchemy", "shared.database.connection"} & set(ran.stdout.split())

    with open(tmp_path / "result" / "top9.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    units = {int(row["unit"]) for row in rows}
    assert units
    for unit in units:
        of_unit = [float(row["activation"]) for row in rows if int(row["unit"]) == unit]
        assert len(of_unit) == 9
        assert of_unit == sorted(of_unit, reverse=True)
        picture = np.asarray(Image.open(tmp_path / "result" / f"unit{unit}.png"))
        projections, patches = np.split(picture, 2, axis=1)
        assert projections.std() > 1
        assert patches.std() > 1
