"""Write rows and pictures of AlexNet's third convolution.

Usage: python docs/library.py IMAGES FOLDER [WEIGHTS.pth]
"""

import sys
from pathlib import Path

import unitscope as us

images, folder, *weights = map(Path, sys.argv[1:])
network = us.load_network("alexnet", *weights, size=96)
result = us.top9(network, "conv3", images, units=range(8))
folder.mkdir(parents=True, exist_ok=True)
result.to_csv(folder / "top9.csv")
for unit in {row["unit"] for row in result.rows()}:
    result.picture(unit).save(folder / f"unit{unit}.png")
