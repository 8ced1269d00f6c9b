"""VOC as annotation tools leave it: all images and objects are read, or counted with the reason."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from producer.datasets.voc import VOC_CLASSES, read_voc
from shared.database.catalogue import FoundDataset
from shared.errors import NotADataset
from tests.integration.cli.helpers import Home
from tests.wild.generators.voc import HEIGHT, WIDTH, annotation, beside, devkit, picture, plain, thing, write

IDS = ["000001", "000002", "000003", "000004"]
LINES = "\n".join(IDS)


def said(found: FoundDataset) -> str:
    return " ".join(found.notes)


def splits(found: FoundDataset) -> dict[str, int]:
    return dict(Counter(split for image in found.images for split in image.splits))


def reasons(found: FoundDataset) -> list[str]:
    return [problem.reason for problem in found.problems]


# --- ids and lists ---

ODD_IDS = [
    *(
        "WhatsApp Image 2023-01-01 at 10",
        "photo 2",
        "photo 1",
        "photo",
        "图片_0001",
        "a" * 110,
        "IMG(3)",
        "x+y",
        "fünf",
    ),
    *("-dash", "a,b", "photo.v2", "no 0", "50% off", "a'b"),
]


def test_ids_may_be_any_names(tmp_path: Path) -> None:
    found = read_voc(devkit(tmp_path, plain(ODD_IDS)))
    assert {Path(image.path).stem for image in found.images} == set(ODD_IDS)
    assert not found.problems


LISTS: dict[str, str | bytes] = {
    "CRLF": "\r\n".join(IDS) + "\r\n\r\n   \r\n",
    "trailing blanks": " \t\n".join(IDS),
    "BOM": b"\xef\xbb\xbf" + LINES.encode(),
    "UTF-16": LINES.encode("utf-16"),
    "UTF-16, big endian": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "extension": "".join(f"{i}.jpg\n" for i in IDS),
    "upper-case extension": "".join(f"{i}.JPG\n" for i in IDS),
    "annotations": "".join(f"{i}.xml\n" for i in IDS),
    "paths": "".join(f"/home/someone/VOC2012/JPEGImages/{i}.jpg\n" for i in IDS),
    "paths on Windows": "".join(f"C:\\data\\{i}.jpg\r\n" for i in IDS),
    "relative paths": "".join(f"./JPEGImages/{i}.png\n" for i in IDS),
    "old Macintosh": "\r".join(IDS),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_read_however_they_are_written(tmp_path: Path, name: str) -> None:
    found = read_voc(devkit(tmp_path, plain(IDS), {"train": LISTS[name]}))
    assert (splits(found), found.problems) == ({"train": 4}, [])


LABELLED = "000001  1\n000002 -1\n000003  0\n000004  1\n"


@pytest.mark.parametrize(
    ("lists", "given", "expected", "note"),
    [
        ({"train": LINES, "cat_train": LABELLED}, None, {"train": 4}, "--split cat_train"),
        ({"train": LINES, "cat_train": LABELLED}, ("cat_train",), {"cat_train": 2}, ""),
        ({"cat_train": LABELLED, "dog_val": LABELLED}, None, {"train": 4, "val": 4}, "only lists per class"),
        ({"train": LABELLED}, None, {"train": 2}, ""),
        ({"my_train": LINES}, None, {"my_train": 4}, "my_train"),
        ({"train": LINES, "my_train": "000001"}, None, {"train": 4}, "--split my_train"),
        ({"train": "000001", "val": ""}, None, {"train": 1}, "3 annotations are in no list"),
        ({"train": LINES, "mein Plan": LINES}, None, {"train": 4}, "mein Plan"),
    ],
)
def test_lists_that_are_read(
    tmp_path: Path, lists: dict[str, str], given: tuple[str, ...] | None, expected: dict[str, int], note: str
) -> None:
    found = read_voc(devkit(tmp_path, plain(IDS), lists), splits=given)
    assert (splits(found), found.problems) == (expected, [])
    assert note in said(found)


def test_an_empty_list_is_an_empty_split_and_the_lists_are_named(tmp_path: Path) -> None:
    root = devkit(tmp_path, plain(IDS), {"train": LINES, "val": "", "my_train": LINES})
    found = read_voc(root)
    assert found.options["splits"] == ["train", "val"]
    assert "1 split has no usable image: val." in said(found)
    with pytest.raises(NotADataset, match=r"split list test\.txt\. It has: my_train, train, val"):
        read_voc(root, splits=("test",))


@pytest.mark.parametrize("sub", ["Segmentation", "Layout", "Action", "main", ""])
def test_lists_of_other_folders(tmp_path: Path, sub: str) -> None:
    numbered = "".join(f"{i} 2\n" for i in IDS) if sub in ("Layout", "Action") else LINES
    found = read_voc(devkit(tmp_path, plain(IDS), {"train": numbered}, sub=sub))
    assert (splits(found), found.problems) == ({"train": 4}, [])


def test_each_line_that_leads_to_nothing_is_counted(tmp_path: Path) -> None:
    lines = ["000001", "000009", "../000002", "000003 1", "nowhere/000009.jpg", "\ufffd"]
    found = read_voc(devkit(tmp_path, plain(IDS), {"train": "\n".join(lines)}))
    assert Counter(reasons(found)) == {"missing annotation": 2, "bad image id": 3}
    assert splits(found) == {"train": 1}


# --- layouts ---


def no_lists(root: Path) -> None:
    devkit(root, plain(IDS), {})


def without_year(root: Path) -> None:
    (devkit(root, plain(IDS)) / "VOCdevkit" / "VOC2012").rename(root / "mine")


def images_and_annotations(root: Path) -> None:
    beside(root / "images", *IDS, annotations=root / "annotations")


def side_by_side(root: Path) -> None:
    beside(root, *IDS)


def in_subfolders(root: Path) -> None:
    beside(root / "a", *IDS[:2])
    beside(root / "b", *IDS[2:])


def roboflow(root: Path) -> None:
    for split, names in (("train", IDS[:2]), ("valid", IDS[2:3]), ("test", IDS[3:])):
        beside(root / split, *(f"{name}_jpg.rf.0123456789abcdef" for name in names))
    write(root / "README.dataset.txt", b"Roboflow")


def split_folders_inside(root: Path) -> None:
    for split, names in (("train", IDS[:2]), ("val", IDS[2:])):
        beside(root / "images" / split, *names, annotations=root / "annotations" / split)


def both_inside_splits(root: Path) -> None:
    for split, names in (("Train", IDS[:2]), ("Test", IDS[2:])):
        beside(root / split / "images", *names, annotations=root / split / "Annotations")


def wrapped(root: Path) -> None:
    devkit(root / "archive" / "data", plain(IDS))
    write(root / "archive" / "__MACOSX" / "._a.xml", b"x")


def test_several_data_sets_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        devkit(tmp_path / name, plain(IDS))
    with pytest.raises(NotADataset, match=r"give one of one/VOCdevkit, two/VOCdevkit"):
        read_voc(tmp_path)


HASHED = {"all": 4}
LAYOUTS = [
    (no_lists, HASHED), (without_year, {"train": 4}), (images_and_annotations, HASHED), (side_by_side, HASHED),
    (in_subfolders, HASHED), (roboflow, {"train": 2, "val": 1, "test": 1}), (wrapped, {"train": 4}),
    (split_folders_inside, {"train": 2, "val": 2}), (both_inside_splits, {"train": 2, "test": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), LAYOUTS)
def test_layouts(tmp_path: Path, make: object, expected: dict[str, int]) -> None:
    assert callable(make)
    make(tmp_path)
    found = read_voc(tmp_path)
    counts = splits(found)
    if expected == HASHED:
        assert "a hash of the path" in said(found)
        assert counts.pop("train", 0) + counts.pop("val", 0) == 4
    assert (counts, found.problems) == (expected, [])
    assert all((Path(found.root) / image.path).is_file() for image in found.images)


def test_an_empty_split_is_noted(tmp_path: Path) -> None:
    side_by_side(tmp_path)
    for name in IDS[1:]:
        (tmp_path / f"{name}.xml").unlink()
        (tmp_path / f"{name}.jpg").unlink()
    found = read_voc(tmp_path)
    (empty,) = {"train", "val"} - set(splits(found))
    assert f"Split {empty} is empty" in said(found)


def test_any_year(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2024"):
        devkit(tmp_path, plain([f"in{year}"]), year=year)
    assert read_voc(tmp_path).options["years"] == ["2007", "2024"]
    assert read_voc(tmp_path, years=("2024",)).options["years"] == ["2024"]


def test_images_without_annotation_are_counted(tmp_path: Path) -> None:
    roboflow(tmp_path)
    picture(tmp_path / "train" / "background.jpg")
    found = read_voc(tmp_path)
    assert [(p.path, p.reason) for p in found.problems] == [("train/background.jpg", "missing annotation")]
    assert read_voc(tmp_path, splits=("val",)).options["splits"] == ["val"]


def test_links_are_followed_and_loops_are_noticed(tmp_path: Path) -> None:
    side_by_side(tmp_path / "disk")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "up").symlink_to(tmp_path / "disk")
    found = read_voc(tmp_path / "data")
    assert len(found.images) == 4
    assert "lead back" in said(found)


# --- names of images ---

FILENAMES: dict[str, tuple[str | None, str]] = {  # what the annotation of 000001 says, and the image
    "no extension": ("000001", "000001.jpg"),
    "another extension": ("000001.jpg", "000001.png"),
    "upper case": ("000001.jpg", "000001.JPG"),
    "renamed": ("IMG_20190101.jpg", "000001.jpg"),
    "Windows path": ("C:\\Users\\someone\\images\\000001.jpg", "000001.jpg"),
    "POSIX path": ("/home/someone/images/000001.jpg", "000001.jpg"),
    "relative path": ("images/000001.jpg", "000001.jpg"),
    "missing": (None, "000001.jpeg"),
    "empty": ("", "000001.jpg"),
    "blanks": (" 000001.jpg ", "000001.jpg"),
    "in a subfolder": ("000001.jpg", "sub/000001.jpg"),
    "decomposed": ("fu\u0308nf.jpg", "fünf.jpg"),
    "of a copied annotation": ("000002.jpg", "000001.jpg"),
    "leads out": ("../../../000001.jpg", "000001.jpg"),
}


@pytest.mark.parametrize("name", FILENAMES)
def test_the_image_of_an_annotation_is_found(tmp_path: Path, name: str) -> None:
    stated, image = FILENAMES[name]
    items = {"000001": annotation(stated, thing()), **plain(["000002"])}
    found = read_voc(devkit(tmp_path, items, images={"000001": image}))
    assert [i.path for i in found.images] == [f"VOC2012/JPEGImages/{n}" for n in (image, "000002.jpg")]
    assert not found.problems
    as_stated = stated in (None, "") or Path(image).name == stated.strip()
    assert ("another file name" in said(found)) == (not as_stated)


# --- boxes ---


def boxes_of(found: FoundDataset) -> list[object]:
    return [image.box for image in found.images]


def test_boxes_from_0_are_recognised(tmp_path: Path) -> None:
    stated = [(0, 0, 20, 15), (0, 5, 20, 15), (20, 15, WIDTH - 1, HEIGHT - 1), (0, 0, WIDTH, HEIGHT)]
    items = {str(n): annotation(f"{n}.jpg", thing(box=box)) for n, box in enumerate(stated)}
    root = devkit(tmp_path, items)
    found = read_voc(root)
    assert (boxes_of(found), found.options["boxes"]) == (stated, "from-0")
    assert "from 0" in said(found)
    one_less = [(max(left - 1, 0), max(top - 1, 0), right, bottom) for left, top, right, bottom in stated]
    assert boxes_of(read_voc(root, boxes="from-1")) == one_less


def test_boxes_from_1_stay_and_one_pixel_over_the_edge_is_clipped(tmp_path: Path) -> None:
    stated = [(1, 1, 20, 15), (1, 5, WIDTH, HEIGHT), (0, 5, 20, 15), (5, 5, WIDTH + 1, HEIGHT)]
    wrong = [(20, 15, 10, 10), (-3, 4, 20, 15), (5, 5, WIDTH + 2, 9), (WIDTH + 1, 3, WIDTH + 1, 9)]
    items = {str(n): annotation(f"{n}.jpg", thing(box=box)) for n, box in enumerate(stated + wrong)}
    found = read_voc(devkit(tmp_path, items))
    assert boxes_of(found) == [(0, 0, 20, 15), (0, 4, WIDTH, HEIGHT), (0, 4, 20, 15), (4, 4, WIDTH, HEIGHT)]
    assert reasons(found) == ["box without area", *["box outside the image"] * 3]
    assert "2 boxes were one pixel over the edge" in said(found)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("frame", ["stored", "shown", "no size"])
def test_boxes_are_turned_with_photographs(tmp_path: Path, orientation: int, frame: str) -> None:
    photograph = picture(tmp_path / "a.png", orientation)
    with Image.open(photograph) as image:
        stored, shown = image.convert("RGB"), ImageOps.exif_transpose(image).convert("RGB")
    size = {"stored": stored.size, "shown": shown.size, "no size": None}[frame]
    write(tmp_path / "a.xml", annotation("a.png", thing(box=(3, 5, 12, 20)), size=size))
    (found,) = read_voc(tmp_path, upright=True).images
    assert (found.width, found.height) == shown.size
    # A size that is the same turned, or missing, doesn't tell: the box is as today's tools show the photograph.
    is_stored = frame == "stored" and stored.size != shown.size
    cut = stored.crop((2, 4, 12, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    cut.info["exif"] = exif.tobytes()
    expected = ImageOps.exif_transpose(cut) if is_stored else shown.crop((2, 4, 12, 20))
    np.testing.assert_array_equal(np.asarray(shown.crop(found.box)), np.asarray(expected))
    (lying,) = read_voc(tmp_path).images
    assert (lying.box, lying.width) == ((2, 4, 12, 20), WIDTH)


def test_boxes_of_a_turned_photograph_that_is_used_as_stored_are_noted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 6)
    write(tmp_path / "a.xml", annotation("a.png", thing(box=(3, 5, 12, 20)), size=(HEIGHT, WIDTH)))
    assert "boxes may be in the wrong place: a.png" in said(read_voc(tmp_path))
    assert "boxes may be in the wrong place" not in said(read_voc(tmp_path, upright=True))


def test_photographs_whose_size_does_not_tell_follow_the_others(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 6)
    picture(tmp_path / "b.png", 3)
    for name in "ab":
        write(tmp_path / f"{name}.xml", annotation(f"{name}.png", thing(box=(3, 5, 12, 20))))
    boxes = boxes_of(read_voc(tmp_path, upright=True))
    assert boxes == [(HEIGHT - 20, 2, HEIGHT - 4, 12), (WIDTH - 12, HEIGHT - 20, WIDTH - 2, HEIGHT - 4)]


# From public reports of other programs.
ODD_OBJECTS = {
    "corners in another order": (
        "<object><name>cat</name><bndbox><ymax>20</ymax><xmin>5</xmin><xmax>30</xmax><ymin>7</ymin></bndbox></object>",
        (4, 6, 30, 20),
        "",
    ),
    "fractions of the size": (
        thing(box=(0.1, 0.25, 0.5, 0.75)),
        None,
        "fractions of the image's size, not pixels",
    ),
    "exponents": (thing(box=("1e0", "2.0e0", "3e1", "2e1")), (0, 1, 30, 20), ""),
    "decimal commas": (thing(box=("1,5", "2,5", "30,1", "20,2")), None, "not four numbers"),
    "polygon only": ("<object><name>cat</name><polygon><x1>1</x1></polygon></object>", None, "not four numbers"),
    "polygon and box": (thing(box=(5, 7, 30, 20), more="<polygon><x1>1</x1></polygon>"), (4, 6, 30, 20), ""),
    "parts": (thing(box=(5, 7, 30, 20), more=thing("head").replace("object", "part")), (4, 6, 30, 20), ""),
}


@pytest.mark.parametrize("name", ODD_OBJECTS)
def test_objects_as_tools_write_them(tmp_path: Path, name: str) -> None:
    written, box, detail = ODD_OBJECTS[name]
    found = read_voc(devkit(tmp_path, plain(["1"], written, thing("dog"))))
    assert boxes_of(found) == [*([box] if box else []), (4, 4, 20, 20)]
    assert [problem.detail for problem in found.problems] == ([detail] if detail else [])


def test_images_that_were_resized_after_annotating_are_noted(tmp_path: Path) -> None:
    items = plain(["1"]) | {"2": annotation("2.jpg", thing(), size=(4 * WIDTH, 4 * HEIGHT))}
    found = read_voc(devkit(tmp_path, items))
    assert "1 image has another size than the annotation states" in said(found)
    assert f"2.jpg ({WIDTH} x {HEIGHT}, not {4 * WIDTH} x {4 * HEIGHT})" in said(found)


# --- classes ---


@pytest.mark.parametrize(
    ("names", "given", "classes", "used", "note"),
    [
        (["helmet", "head"], None, ["head", "helmet"], 2, "None of VOC's twenty classes"),
        (["helmet", "cat"], None, VOC_CLASSES, 1, "helmet (1)"),
        (["helmet", "cat"], "auto", ["cat", "helmet"], 2, ""),
        (["helmet", "head"], ("head", "vest"), ["head", "vest"], 1, "helmet (1)"),
        (["  helmet\n", "helmet"], None, ["helmet"], 2, ""),
        (["fu\u0308nf", "fünf"], None, ["fünf"], 2, ""),
        (["Helmet", "helmet"], None, ["Helmet", "helmet"], 2, "differ in their case"),
        (["Cat", "dog"], None, VOC_CLASSES, 2, "Cat (1)"),
    ],
)
def test_classes(
    tmp_path: Path, names: list[str], given: str | tuple[str, ...] | None, classes: list[str], used: int, note: str
) -> None:
    found = read_voc(devkit(tmp_path, plain(["1"], *map(thing, names))), classes=given)
    assert (found.class_names, len(found.images)) == (classes, used)
    assert note in said(found)
    assert reasons(found) == ["unknown class"] * (len(names) - used)


# --- encodings ---

CHINESE = "<folder>帽子</folder>"
ENCODINGS = {
    "gb2312": annotation(
        "1.jpg", thing(), head='<?xml version="1.0" encoding="gb2312"?>', more=CHINESE, encoding="gbk"
    ),
    "big5": annotation("1.jpg", thing("帽"), head='<?xml version="1.0" encoding="Big5"?>', encoding="big5"),
    "shift_jis": annotation(
        "1.jpg", thing("犬"), head="<?xml version='1.0' encoding='Shift_JIS'?>", encoding="cp932"
    ),
    "euc-kr": annotation("1.jpg", thing("개"), head='<?xml version="1.0" encoding="EUC-KR"?>', encoding="euc_kr"),
    "undeclared gbk": annotation("1.jpg", thing(), more=CHINESE, encoding="gbk"),
    "utf-16": annotation("1.jpg", thing("犬"), head='<?xml version="1.0" encoding="UTF-16"?>', encoding="utf-16"),
    "windows-1252": annotation(
        "1.jpg", thing("é"), head='<?xml version="1.0" encoding="windows-1252"?>', encoding="cp1252"
    ),
    "blank line first": annotation("1.jpg", thing(), head='\n <?xml version="1.0" encoding="utf-8"?>\n'),
    "BOM": annotation("1.jpg", thing(), encoding="utf-8-sig"),
    "DOCTYPE": annotation("1.jpg", thing(), head='<?xml version="1.0"?><!DOCTYPE annotation>'),
    "attributes": annotation("1.jpg", thing('x</name><name lang="en">cat').replace("<name>x</name>", "")),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings(tmp_path: Path, name: str) -> None:
    found = read_voc(devkit(tmp_path, {"1": ENCODINGS[name]}))
    assert (len(found.images), found.problems) == (1, [])
    assert found.images[0].class_name in ("cat", "帽", "犬", "개", "é")


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (annotation("帽子.jpg", thing(), encoding="gbk"), "save the file as UTF-8"),
        (
            b'<?xml version="1.0" encoding="gbk"?><annotation>\xff\xff</annotation>',
            "not in the encoding it declares",
        ),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><annotation><filename>&x;</filename></annotation>', "entities"),
    ],
)
def test_what_is_refused_says_why(tmp_path: Path, content: bytes, detail: str) -> None:
    (problem,) = read_voc(devkit(tmp_path, {"1": content})).problems
    assert problem.reason == "broken annotation"
    assert detail in problem.detail


# --- the command line ---


def test_commands_say_what_was_assumed_and_updates_read_in_the_same_way(fresh: Home, tmp_path: Path) -> None:
    root = devkit(tmp_path, plain(IDS, thing("helmet", (0, 0, 9, 9))))
    said = fresh("dataset", "add", "voc", "--root", root).stderr
    assert "helmet" in said
    assert "--boxes from-1" in said
    shown = json.loads(fresh("dataset", "show", "voc", "--json").stdout)
    assert (shown["images"], list(shown["classes"])) == (4, ["helmet"])
    assert shown["options"]["chosen"] == {"classes": "auto", "boxes": "from-0", "orientation": "exif"}
    devkit(tmp_path, plain(["5"], thing("cat", (1, 1, 9, 9))), {"train": f"{LINES}\n5"})
    fresh("dataset", "update", "voc")
    shown = json.loads(fresh("dataset", "show", "voc", "--json").stdout)
    assert (shown["images"], list(shown["classes"])) == (5, ["cat", "helmet"])
    notes = " ".join(shown["notes"])  # what was recognised before is still said
    assert "The classes are the names in the annotations: cat, helmet." in notes
    assert "Boxes count from 0" in notes
    other = fresh("dataset", "add", "voc", "--root", root, "--boxes", "from-1", code=2).stderr
    assert "with other options, remove it first: `analyze dataset rm voc`" in " ".join(other.split())

    names = tmp_path / "classes.txt"
    names.write_text("helmet\nvest\n", encoding="utf-8-sig")
    fresh("dataset", "add", "voc", "--root", root, "--name", "mine", "--classes", names, "--boxes", "from-1")
    shown = json.loads(fresh("dataset", "show", "mine", "--json").stdout)
    assert (list(shown["classes"]), shown["options"]["chosen"]["boxes"]) == (
        ["helmet", "vest"],
        "from-1",
    )
    refused = fresh("dataset", "add", "voc", "--root", root, "--name", "no", "--classes", "vest", code=2).stderr
    assert "helmet (4)" in " ".join(refused.split())
    assert "unknown class: 5" in " ".join(refused.split())
