"""The vision code from a script or a notebook, without database and queue: a model, a layer, a folder of images.

    python docs/library.py IMAGES RESULT [WEIGHTS.pth]

leaves in RESULT the rows, top9.csv, and for each unit a picture: projections left, image patches right.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision

from unitscope.data.images import ImageSource, batches, read_image
from unitscope.drawing.pictures import png
from unitscope.drawing.unit_pictures import mosaics, unit_picture
from unitscope.geometry.receptive_fields import trace
from unitscope.projection.choice import projector_for
from unitscope.projection.requests import Requests
from unitscope.search.search import search

LAYER, UNITS, SIZE = "features.6", range(8), 96

images, result, *weights = (Path(argument) for argument in sys.argv[1:])
model = torchvision.models.alexnet().eval()
if weights:
    model.load_state_dict(torch.load(weights[0], weights_only=True))

sources = [ImageSource(number, file) for number, file in enumerate(sorted(images.rglob("*.jpg")))]
top = search(model, {LAYER: UNITS}, batches(sources, 32, SIZE))[LAYER].top

geometry = next(layer.geometry for layer in trace(model, SIZE).layers if layer.path == LAYER)
projector = projector_for(model, LAYER, SIZE)
result.mkdir(parents=True, exist_ok=True)
with open(result / "top9.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["unit", "rank", "activation", "image", "row", "col"])
    for place, unit in enumerate(UNITS):
        live = top.image[place] >= 0
        if not live.any():
            continue
        image, row, col, activation = (a[place][live] for a in (top.image, top.row, top.col, top.activation))
        pixels = [read_image(sources[number], SIZE) for number in image]
        wanted = Requests(np.full(len(image), unit), np.arange(len(image)), image, row, col)
        drawn = {
            rank: unit_picture(
                pixels[rank], projection, geometry.window(row[rank], col[rank]), activation[rank], activation[0]
            )
            for rank, projection in projector.project(pixels, wanted)
        }
        patches, projections = mosaics([drawn[rank] for rank in sorted(drawn)], top=9)
        (result / f"unit{unit}.png").write_bytes(png(np.hstack([projections, patches])))
        for rank in sorted(drawn):
            name = sources[image[rank]].path.name
            rows.writerow([unit, rank + 1, activation[rank], name, row[rank], col[rank]])
