"""Write rows and pictures of AlexNet's third convolution.

Usage: python docs/library.py IMAGES RESULT [WEIGHTS.pth]
"""

import sys
from pathlib import Path

import unitscope as us

images, result, *weights = map(Path, sys.argv[1:])
network = us.load_network("alexnet", *weights, size=96)
found = us.top9(network, "conv3", images, units=range(8))
result.mkdir(parents=True, exist_ok=True)
found.to_csv(result / "top9.csv")
for unit in {row["unit"] for row in found.rows()}:
    found.picture(unit).save(result / f"unit{unit}.png")
