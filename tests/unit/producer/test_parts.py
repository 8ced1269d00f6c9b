"""Parts of images: files of boxes, which may be hostile, and VOC's annotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from producer.datasets.voc.annotations import parse_annotation
from producer.datasets.voc.parts import annotated_parts
from producer.kinds.correspondence.boxes_file import FileBox, read_boxes
from shared.database.datasets import Dataset, Image
from shared.errors import UsageError

HEADING = "image,part,left,top,right,bottom"
EXPECTED = [
    FileBox("line 2", "a/b.jpg", None, "left eye", (1, 2.5, 30, 40)),
    FileBox("line 3", "c.jpg", 2, "nose", (-3, 0, 5, 6)),
]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "boxes"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_and_json_files_are_read(tmp_path: Path) -> None:
    table = "\ufeffPart, Image,left,top,right,bottom,object\r\n left eye ,a/b.jpg,1,2.5,30,40,\r\n" + (
        '"nose",c.jpg,-3,0,5,6,2\r\n'
    )
    assert read_boxes(written(tmp_path, table)) == EXPECTED
    entries = [
        {"image": "a/b.jpg", "part": "left eye", "left": 1, "top": 2.5, "right": 30, "bottom": 40},
        {"image": "c.jpg", "object": 2, "part": "nose", "left": -3, "top": 0, "right": 5, "bottom": 6},
    ]
    found = read_boxes(written(tmp_path, "\n" + json.dumps(entries)))
    assert [box.where for box in found] == ["entry 1", "entry 2"]
    for box, expected in zip(found, EXPECTED, strict=True):
        assert vars(box) | {"where": ""} == vars(expected) | {"where": ""}


def entry(**changes: object) -> str:
    box = {"image": "a.jpg", "part": "eye", "left": 0, "top": 0, "right": 5, "bottom": 5}
    return json.dumps([box | changes])


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "lacks the columns image"),
    "heading only": (HEADING + "\n", "has no boxes"),
    "no boxes": ("[]", "has no boxes"),
    "columns": ("image,part,left,top\n", "right, bottom"),
    "column twice": (HEADING + ",left\n", "names a column twice"),
    "short row": (HEADING + "\na.jpg,eye,1,2,3\n", "line 2: it has no bottom"),
    "no number": (HEADING + "\na.jpg,eye,1,2,3,x\n", "'x', which is not a number"),
    "nan": (HEADING + "\na.jpg,eye,1,2,nan,4\n", "not the side of a box"),
    "infinite": (entry(right=1e400), "not the side of a box"),
    "huge": (entry(right=10**400), "which is not a number"),
    "no area": (HEADING + "\na.jpg,eye,3,2,3,4\n", "line 2: the box 3, 2, 3, 4 has no area"),
    "quote": (HEADING + '\n"a.jpg,eye,1,2,3,4\n', "line"),
    "latin-1": (HEADING.encode() + b"\n\xe9.jpg,eye,1,2,3,4\n", "not UTF-8"),
    "nul": (HEADING + "\na\0.jpg,eye,1,2,3,4\n", "printable"),
    "not json": ("[{", "is not JSON"),
    "deep json": ("[" * 100_000, "is not JSON"),
    "object": ('{"image": "a.jpg"}', "is not a list"),
    "numbers": ("[1, 2]", "entry 1: it has no image"),
    "true": (entry(left=True), "left is not a number"),
    "list": (entry(left=[1]), "left is not a number"),
    "name": (entry(part="  "), "part must be a text"),
    "long name": (entry(part="x" * 101), "1 to 100 printable"),
    "control": (entry(part="a\u001b[31m"), "printable"),
    "number as name": (entry(image=5), "image must be a text"),
    "object number": (entry(object=-1), "object must be the number"),
    "object text": (HEADING + ",object\na.jpg,eye,1,2,3,4,x\n", "object must be the number"),
    "too many": (HEADING + "\n" + "a,e,1,2,3,4\n" * 100_001, "more than 100,000"),
    "too large": (b"x" * (10 * 2**20 + 1), "larger than 10 MB"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(case: str, tmp_path: Path) -> None:
    content, says = HOSTILE[case]
    with pytest.raises(UsageError, match=says) as error:
        read_boxes(written(tmp_path, content))
    assert len(str(error.value)) < 600
    assert str(error.value).isprintable()


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(UsageError, match="there is no file"):
            read_boxes(path)


# --- annotations ---

BOX = "<bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
PART = f"<part><name>{{}}</name>{BOX}</part>"
OBJECT = f"<object><name>person</name>{BOX.format(1)}{{}}</object>"


def annotation(*objects: str) -> bytes:
    """Return an annotation whose objects have these parts."""
    listed = "".join(OBJECT.format(parts) for parts in objects)
    return f"<annotation><filename>1.jpg</filename>{listed}</annotation>".encode()


def test_parts_are_parsed() -> None:
    parts = PART.format("head", 1) + PART.format(" hand ", 3)
    found = parse_annotation(annotation(parts, "", PART.format("x", "y")))
    assert [[(part.name, part.corners) for part in item.parts] for item in found.objects] == [
        [("head", (1, 2, 9, 8)), ("hand", (3, 2, 9, 8))],
        [],
        [("x", None)],
    ]
    assert [item.corners for item in found.objects] == [(1, 2, 9, 8)] * 3
    odd = parse_annotation(annotation("<part>text</part><part/>", "<part><name><b/></name></part>"))
    assert [[part.name for part in item.parts] for item in odd.objects] == [[], [""]]


def image(number: int, path: str = "VOC2007/JPEGImages/1.jpg") -> Image:
    return Image(id=number + 1, path=path, object_number=number, width=30, height=30)


def dataset(root: Path, **options: object) -> Dataset:
    return Dataset(name="voc", kind="voc", root=str(root), options=options)


@pytest.mark.parametrize("place", ["VOC2007/Annotations/1.xml", "VOC2007/JPEGImages/1.xml"])
def test_parts_belong_to_their_object(place: str, tmp_path: Path) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_bytes(annotation(PART.format("head", 3), PART.format("foot", "x") + PART.format("hand", 3)))
    images = [image(1), image(2), image(0), image(1, "VOC2007/JPEGImages/2.jpg")]
    found, unusable = annotated_parts(dataset(tmp_path), images)
    box = (2, 1, 9, 8)  # from 0, right and bottom exclusive
    assert [(part.image, part.part, part.box) for part in found] == [
        (images[0], "head", box),
        (images[1], "hand", box),
        (images[2], "head", box),
        (images[2], "hand", box),
    ]
    assert [(part.image, part.part, part.reason) for part in unusable] == [
        (images[1], "foot", "its box can't be read"),
        (images[2], "foot", "its box can't be read"),
        (images[3], "", "missing annotation: VOC2007/JPEGImages/2.xml"),
    ]
    (from_0, *_), _ = annotated_parts(dataset(tmp_path, boxes="from-0"), images[:1])
    assert from_0.box == (3, 2, 9, 8)


def test_data_sets_without_annotations_or_with_turned_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no annotations of parts"):
        annotated_parts(dataset(tmp_path), [image(1)])
    with pytest.raises(UsageError, match="turned"):
        annotated_parts(dataset(tmp_path, orientation="exif", turned_images=3), [image(1)])
