"""The drawn data set: its files are PASCAL VOC, and its boxes are those of the objects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from producer.datasets import shapes

IMAGES = 40
SEED = 3
Box = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "shapes"
    shapes.generate(root, images=IMAGES, seed=SEED)
    return root / "VOC2007"


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def annotation(folder: Path, number: int) -> ElementTree.Element:
    return ElementTree.parse(folder / f"Annotations/{number:06}.xml").getroot()


def named_boxes(folder: Path, number: int) -> list[tuple[str, Box]]:
    """Return the names and ``xmin, ymin, xmax, ymax`` of the XML."""
    found = []
    for element in annotation(folder, number).iter("object"):
        xmin, ymin, xmax, ymax = (
            int(element.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")
        )
        found.append((element.findtext("name", ""), (xmin, ymin, xmax, ymax)))
    return found


def split(folder: Path, name: str) -> list[str]:
    return (folder / f"ImageSets/Main/{name}.txt").read_text().splitlines()


def test_same_seed_gives_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        shapes.generate(tmp_path / name, images=6, seed=seed)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for path, data in contents(tmp_path / "other").items():
        assert (data == contents(tmp_path / "one")[path]) == path.endswith(".txt"), path


def test_layout_and_counts(drawn: Path) -> None:
    ids = [f"{number:06}" for number in range(1, IMAGES + 1)]
    expected = {f"JPEGImages/{i}.jpg" for i in ids} | {f"Annotations/{i}.xml" for i in ids}
    expected |= {f"ImageSets/Main/{name}.txt" for name in ("train", "val", "trainval")}
    assert set(contents(drawn)) == expected


def test_splits_are_disjoint_halves(drawn: Path) -> None:
    train, val, trainval = (split(drawn, name) for name in ("train", "val", "trainval"))
    assert len(train) == len(val) == IMAGES // 2
    assert not set(train) & set(val)
    assert sorted(train + val) == trainval == [f"{number:06}" for number in range(1, IMAGES + 1)]


def test_classes_are_balanced_in_each_split(drawn: Path) -> None:
    assert len(set(shapes.CLASSES)) == 20
    for name in ("train", "val"):
        counts = Counter(label for i in split(drawn, name) for label, _ in named_boxes(drawn, int(i)))
        assert counts == dict.fromkeys(shapes.CLASSES, IMAGES // 20)


@pytest.mark.parametrize("images", [2, 3, 27])
def test_classes_are_nearly_balanced_for_any_number_of_images(images: int) -> None:
    pairs = shapes.deal_classes(images, seed=1)
    assert len(pairs) == images
    for part in shapes.SPLITS.values():
        counts = Counter(name for pair in pairs[part] for name in pair)
        assert max(counts.values()) - min(counts[name] for name in shapes.CLASSES) <= 1


def test_annotation_is_pascal_voc(drawn: Path) -> None:
    for number in range(1, IMAGES + 1):
        root = annotation(drawn, number)
        width, height = (int(root.findtext(f"size/{side}", "")) for side in ("width", "height"))
        with Image.open(drawn / "JPEGImages" / root.findtext("filename", "")) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (width, height))
        assert 256 <= width <= 320
        assert 192 <= height <= 256
        assert [root.findtext(tag) for tag in ("folder", "filename", "size/depth", "segmented")] == [
            "VOC2007",
            f"{number:06}.jpg",
            "3",
            "0",
        ]
        assert root.findtext("source/database")
        for element in root.iter("object"):
            assert [child.tag for child in element] == ["name", "pose", "truncated", "difficult", "bndbox"]
            assert element.findtext("difficult") == element.findtext("truncated") == "0"


def test_boxes_are_the_tight_boxes_of_the_masks(drawn: Path) -> None:
    for number, names in enumerate(shapes.deal_classes(IMAGES, SEED), start=1):
        scene = shapes.draw_scene(names, seed=SEED, number=number)
        expected = []
        for item in scene.objects:
            mask = np.zeros(scene.pixels.shape[:2], bool)
            rows, columns = item.coverage.shape
            mask[item.top : item.top + rows, item.left : item.left + columns] = item.coverage > 0
            ys, xs = np.nonzero(mask)
            expected.append((item.name, (xs.min() + 1, ys.min() + 1, xs.max() + 1, ys.max() + 1)))
        assert named_boxes(drawn, number) == expected


def test_boxes_hold_all_pixels_that_differ_from_the_background(drawn: Path) -> None:
    for number, names in enumerate(shapes.deal_classes(IMAGES, SEED), start=1):
        scene = shapes.draw_scene(names, seed=SEED, number=number)
        ground = shapes.draw_scene([], seed=SEED, number=number)
        differs = (scene.pixels != ground.pixels).any(axis=2)
        for _, (xmin, ymin, xmax, ymax) in named_boxes(drawn, number):
            ys, xs = np.nonzero(differs[ymin - 1 : ymax, xmin - 1 : xmax])
            found = (xs.min() + xmin, ys.min() + ymin, xs.max() + xmin, ys.max() + ymin)
            # A pixel that an object barely touches may keep its value.
            assert np.abs(np.subtract(found, (xmin, ymin, xmax, ymax))).max() <= 1
            differs[ymin - 1 : ymax, xmin - 1 : xmax] = False
        assert not differs.any()


def test_written_picture_shows_the_scene(drawn: Path) -> None:
    for number, names in enumerate(shapes.deal_classes(IMAGES, SEED), start=1):
        scene = shapes.draw_scene(names, seed=SEED, number=number)
        with Image.open(drawn / f"JPEGImages/{number:06}.jpg") as image:
            error = np.abs(np.asarray(image, np.int16) - scene.pixels.astype(np.int16))
        assert error.mean() < 5


def test_boxes_lie_inside_and_apart(drawn: Path) -> None:
    for number in range(1, IMAGES + 1):
        root = annotation(drawn, number)
        width, height = (int(root.findtext(f"size/{side}", "")) for side in ("width", "height"))
        boxes = [box for _, box in named_boxes(drawn, number)]
        assert len(boxes) == 2
        for xmin, ymin, xmax, ymax in boxes:
            assert 1 <= xmin < xmax <= width
            assert 1 <= ymin < ymax <= height
            assert 68 <= max(xmax - xmin, ymax - ymin) + 1 <= 120
        (_, _, left_end, _), (right_start, _, _, _) = boxes
        assert left_end < right_start


def covered_share(name: str) -> float:
    """Return the mean share of an object's box that is covered, over a few angles and sizes."""
    drawn = [shapes.draw_scene([name], seed=0, number=number).objects[0] for number in range(1, 6)]
    return float(np.mean([item.coverage.mean() / 255 for item in drawn]))


def test_masks_have_the_areas_of_their_shapes() -> None:
    shares = {shape: covered_share(f"plain-{shape}") for shape in shapes.SHAPES}
    assert shares["circle"] == pytest.approx(np.pi / 4, abs=0.02)
    assert shares["square"] > shares["circle"] - 0.1
    assert 0.35 < shares["triangle"] < 0.52
    assert 0.3 < shares["star"] < 0.5
    assert 0.4 < shares["cross"] < 0.6


def test_progress_counts_the_images(tmp_path: Path) -> None:
    seen: list[int] = []
    shapes.generate(tmp_path / "deep/er/shapes", images=3, progress=seen.append)
    assert seen == [1, 2, 3]


def test_full_folder_or_file_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "shapes/mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    for taken in (kept.parent, kept):
        with pytest.raises(FileExistsError, match="not an empty folder"):
            shapes.generate(taken, images=2)
    assert contents(tmp_path) == {"shapes/mine.txt": b"mine"}


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    root.mkdir()
    shapes.generate(root, images=2)
    assert len(contents(root)) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "shapes"

    def interrupt(written: int) -> None:
        assert not root.exists()
        if written == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shapes.generate(root, images=4, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    shapes.generate(root, images=4)
    assert len(split(root / "VOC2007", "trainval")) == 4


@pytest.mark.parametrize(("images", "seed"), [(1, 0), (2, -1)])
def test_numbers_that_are_too_small_are_refused(tmp_path: Path, images: int, seed: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        shapes.generate(tmp_path / "shapes", images=images, seed=seed)
    assert list(tmp_path.iterdir()) == []
