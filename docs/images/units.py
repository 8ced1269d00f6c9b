"""python docs/images/units.py: draw the picture of the README from what `make demo` left in ./demo."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HOME = Path(os.environ.get("ANALYZE_HOME", "demo"))
PICTURE = Path(__file__).with_name("units.png")
UNITS = """
    SELECT u.unit, u.patches_path, u.projections_path, min(t.class_name) AS class_name
    FROM units AS u JOIN top_activations AS t ON t.job_id = u.job_id AND t.layer = u.layer AND t.unit = u.unit
    WHERE u.job_id = (SELECT max(id) FROM jobs WHERE kind = 'top9') AND u.layer = 'conv5'
    GROUP BY u.unit, u.patches_path, u.projections_path
    HAVING count(*) = 9 AND count(DISTINCT t.class_name) = 1 ORDER BY max(t.activation) DESC
"""  # units whose nine images show one class
ROWS, COLUMNS = 2, 2
MOSAIC, GAP, CAPTION = 206, 8, 24  # pixels


def mosaic(path: str) -> Image.Image:
    """Read one file of the artifact store."""
    picture = Image.open(HOME / "store" / path).convert("RGB")
    return picture.resize((MOSAIC, MOSAIC), Image.Resampling.LANCZOS)


command = [sys.executable, "-m", "producer", "--home", str(HOME), "query", UNITS, "--json"]
units = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
strongest = {unit["class_name"]: unit for unit in reversed(units)}  # of each class
chosen = sorted(strongest.values(), key=units.index)[: ROWS * COLUMNS]

width, height = 2 * MOSAIC + GAP, MOSAIC + CAPTION + GAP
canvas = Image.new("RGB", (COLUMNS * (width + GAP) - GAP, ROWS * height - GAP), "white")
draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
for number, unit in enumerate(chosen):
    left, top = number % COLUMNS * (width + GAP), number // COLUMNS * height
    draw.text((left, top + 3), f"conv5, unit {unit['unit']}: {unit['class_name']}", "black", font)
    canvas.paste(mosaic(unit["projections_path"]), (left, top + CAPTION))
    canvas.paste(mosaic(unit["patches_path"]), (left + MOSAIC + GAP // 2, top + CAPTION))
canvas.quantize(128).save(PICTURE, optimize=True)
