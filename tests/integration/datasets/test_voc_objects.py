"""Objects of VOC data sets: each valid object becomes a row, each invalid one a separate problem."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from producer.datasets.voc import VOC_CLASSES, read_voc
from tests.integration.datasets.helpers import (
    GOOD,
    HEIGHT,
    WIDTH,
    Voc,
    an_object,
    box_of,
    encoded,
    noise,
    problems_of,
    source_of,
)
from unitscope.data.images import read_image

# --- objects and boxes ---


@pytest.mark.parametrize("count", [1, 2, 5])
def test_objects_are_read_in_their_order(voc: Voc, count: int) -> None:
    names = VOC_CLASSES[:count]
    voc.add("good", *(an_object(name, (1 + i, 1, 5 + i, 5)) for i, name in enumerate(names)))
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    assert [(i.object_number, i.class_name, i.class_index, i.box) for i in dataset.images] == [
        (number, name, number - 1, (number - 1, 0, number + 4, 5)) for number, name in enumerate(names, start=1)
    ]
    assert not dataset.problems


def test_difficult_objects_are_left_out_unless_requested(voc: Voc) -> None:
    marks = ["<difficult>1</difficult>", "<difficult>0</difficult>", "<difficult> 1 </difficult>", ""]
    voc.add("good", *(an_object(more=mark) for mark in marks))
    voc.split("train", "good")
    assert [image.object_number for image in read_voc(voc.root).images] == [2, 4]
    assert [image.object_number for image in read_voc(voc.root, difficult=True).images] == [1, 2, 3, 4]


@pytest.mark.parametrize("box", [(3, 5, 10, 12), (1, 1, 1, 1), (1, 1, 18, 18), (24, 18, 24, 18), (7, 1, 24, 18)])
def test_boxes_start_at_one_and_include_their_last_row_and_column(voc: Voc, box: tuple[int, ...]) -> None:
    xmin, ymin, xmax, ymax = box
    voc.add("good", an_object(box=(xmin, ymin, xmax, ymax)))
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    cut = read_image(source_of(dataset, dataset.images[0]), ymax - ymin + 1)
    assert np.array_equal(cut, noise()[ymin - 1 : ymax, xmin - 1 : xmax])


@pytest.mark.parametrize("size", [1, 5, 7, 16, 64])
def test_resized_crops_contain_no_pixels_from_outside_of_the_box(voc: Voc, size: int) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[4:11, 6:19] = (250, 10, 60)
    voc.add("good", an_object(box=(7, 5, 19, 11)), content=encoded(pixels))
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    cut = read_image(source_of(dataset, dataset.images[0]), size)
    assert cut.shape == (size, size, 3)
    assert (cut == (250, 10, 60)).all()


def test_fractions_in_boxes_are_rounded(voc: Voc) -> None:
    voc.add("good", an_object(box=("1.2", "2.9", "10.4", "11.6")))
    voc.split("train", "good")
    assert [image.box for image in read_voc(voc.root).images] == [(0, 2, 10, 12)]


def test_boxes_refer_to_stored_pixels_regardless_of_the_exif_orientation(voc: Voc) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    voc.add("good", an_object(box=(1, 1, 10, 10)), content=encoded(noise(), exif=turned))
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    assert (dataset.images[0].width, dataset.images[0].height) == (WIDTH, HEIGHT)
    assert np.array_equal(read_image(source_of(dataset, dataset.images[0]), 10), noise()[:10, :10])


def test_whole_images_have_no_box_and_the_class_of_their_largest_object(voc: Voc) -> None:
    voc.add("good", an_object("cat", (1, 1, 3, 3)), an_object("dog", (1, 1, 9, 9)), an_object("cow", (1, 1, 4, 4)))
    voc.split("train", "good")
    dataset = read_voc(voc.root, whole=True)
    assert [(i.object_number, i.class_name, i.box) for i in dataset.images] == [(0, "dog", None)]


def test_largest_object_is_chosen_among_usable_ones(voc: Voc) -> None:
    voc.add("good", an_object("cat", (1, 1, 3, 3)), an_object("dog", (1, 1, 999, 999)))
    voc.split("train", "good")
    dataset = read_voc(voc.root, whole=True)
    assert [image.class_name for image in dataset.images] == ["cat"]
    assert problems_of(dataset) == [(voc.path("good.png"), 2, "box outside the image")]


def test_rows_have_the_file_its_size_and_its_hash(voc: Voc) -> None:
    voc.split("train", "good")
    image = read_voc(voc.root).images[0]
    assert (image.path, image.width, image.height) == (voc.path("good.png"), WIDTH, HEIGHT)
    assert image.sha256 == hashlib.sha256(GOOD).hexdigest()


def test_progress_ends_at_the_number_of_files(voc: Voc) -> None:
    for number in range(5):
        voc.add(f"n{number}", an_object())
    voc.split("train", *(f"n{number}" for number in range(5)))
    seen: list[tuple[int, int]] = []
    read_voc(voc.root, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 5) for done in range(1, 6)]


# --- invalid objects ---


OUTSIDE, NO_AREA, NO_BOX = "box outside the image", "box without area", "invalid box"
BAD_BOXES: dict[str, tuple[str, str]] = {
    "right of the image": (box_of(1, 1, WIDTH + 2, 5), OUTSIDE),
    "below the image": (box_of(1, 1, 5, HEIGHT + 2), OUTSIDE),
    "left of the image": (box_of(-1, 1, 5, 5), OUTSIDE),
    "above the image": (box_of(1, -1, 5, 5), OUTSIDE),
    "negative": (box_of(-5, -5, 5, 5), OUTSIDE),
    "all negative": (box_of(-9, -9, -1, -1), OUTSIDE),
    "far outside": (box_of(1, 1, 999_999_999, 5), OUTSIDE),
    "inverted": (box_of(9, 1, 5, 5), NO_AREA),
    "upside down": (box_of(1, 9, 5, 5), NO_AREA),
    "empty": (box_of(5, 5, 4, 4), NO_AREA),
    "not a number": (box_of("nan", 1, 5, 5), NO_BOX),
    "infinite": (box_of(1, 1, "inf", 5), NO_BOX),
    "minus infinite": (box_of("-Infinity", 1, 5, 5), NO_BOX),
    "too large for a float": (box_of(1, 1, "1e400", 5), NO_BOX),
    "huge": (box_of(1, 1, "1e300", 5), NO_BOX),
    "of many digits": (box_of(1, 1, "9" * 10_000, 5), NO_BOX),
    "words": (box_of("one", "two", "three", "four"), NO_BOX),
    "hexadecimal": (box_of("0x1", 1, 5, 5), NO_BOX),
    "without values": (box_of("", "", "", ""), NO_BOX),
    "of markup": (box_of("<a>1</a>", 1, 5, 5), NO_BOX),
    "a side twice": (
        "<bndbox><xmin>1</xmin><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>",
        NO_BOX,
    ),
    "a side missing": ("<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax></bndbox>", NO_BOX),
    "missing": ("", NO_BOX),
    "text": ("<bndbox>1 1 5 5</bndbox>", NO_BOX),
    "two boxes": (box_of(1, 1, 5, 5) * 2, NO_BOX),
}


@pytest.mark.parametrize("name", BAD_BOXES)
def test_invalid_box_is_a_problem_of_its_object_only(voc: Voc, name: str) -> None:
    box, reason = BAD_BOXES[name]
    voc.add("good", f"<object><name>cat</name>{box}</object>", an_object("dog"))
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    assert [(image.object_number, image.class_name) for image in dataset.images] == [(2, "dog")]
    assert problems_of(dataset) == [(voc.path("good.png"), 1, reason)]


NAMELESS = {
    "unknown": "<object><name>unicorn</name>{}</object>",
    "another in capitals": "<object><name>UNICORN</name>{}</object>",
    "no name": "<object>{}</object>",
    "an empty name": "<object><name/>{}</object>",
    "two names": "<object><name>dog</name><name>cat</name>{}</object>",
    "a name of markup": "<object><name><b>dog</b></name>{}</object>",
    "a long name": "<object><name>" + "dog" * 50_000 + "</name>{}</object>",
    "text": "<object>dog</object>",
    "nothing": "<object/>",
}


@pytest.mark.parametrize("name", NAMELESS)
def test_unknown_class_is_a_problem_of_its_object_only(voc: Voc, name: str) -> None:
    voc.add("good", NAMELESS[name].format(box_of(1, 1, 5, 5)), an_object("dog"))
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    assert [(image.object_number, image.class_name) for image in dataset.images] == [(2, "dog")]
    assert problems_of(dataset) == [(voc.path("good.png"), 1, "unknown class")]
    assert len(dataset.problems[0].detail) <= 200


def test_the_case_of_vocs_own_classes_does_not_matter(voc: Voc) -> None:
    voc.add("good", an_object("DOG"), an_object("cat"))
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    assert [image.class_name for image in dataset.images] == ["dog", "cat"]
    assert dataset.notes == ["Names in another case were taken for VOC's classes: DOG (1)."]
    assert [image.class_name for image in read_voc(voc.root, classes=("cat", "dog")).images] == ["cat"]


def test_classes_can_be_given(voc: Voc) -> None:
    voc.add("good", an_object("unicorn"), an_object("dog"))
    voc.split("train", "good")
    dataset = read_voc(voc.root, classes=("yeti", "unicorn"))
    assert [(image.class_name, image.class_index) for image in dataset.images] == [("unicorn", 1)]
    assert dataset.class_names == ["yeti", "unicorn"]


def test_image_without_objects_gives_no_row_and_no_problem(voc: Voc) -> None:
    voc.add("good")
    voc.split("train", "good")
    for whole in (False, True):
        dataset = read_voc(voc.root, whole=whole)
        assert not dataset.images
        assert not dataset.problems
