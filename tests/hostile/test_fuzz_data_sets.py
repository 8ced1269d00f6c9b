"""Fuzz tests: annotations, split lists and images of arbitrary bytes don't cause a crash."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from producer.datasets.voc import VOC_CLASSES, read_voc
from tests.hostile.fuzzing import examples
from tests.integration.datasets.helpers import (
    GOOD,
    HEIGHT,
    WIDTH,
    Voc,
    an_annotation,
    an_object,
    encoded,
    grey_ramp,
    nested,
    noise,
)
from unitscope.images.decoding import LARGEST_IMAGE, BrokenImage, decode

TAGS = st.sampled_from(
    [
        "annotation",
        "object",
        "name",
        "bndbox",
        "xmin",
        "ymin",
        "xmax",
        "ymax",
        "filename",
        "difficult",
        "size",
        "x",
    ]
)
TEXTS = st.one_of(
    st.sampled_from(
        ["dog", "good.png", "1", "5", "-1", "nan", "1e999", "", "../x", "[/x]", "<![CDATA[x]]>", "&lt;"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<&"), max_size=8),
)


def element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda tag, mark, inner: f"<{tag}{mark}>{''.join(inner)}</{tag}>",
        TAGS,
        st.sampled_from(["", "", "", ' a="1"', ' xmlns="urn:x"']),
        st.lists(children, max_size=5),
    )


TREES = st.recursive(TEXTS, element, max_leaves=25)
ANNOTATIONS = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda trees: f"<annotation>{''.join(trees)}</annotation>".encode(), st.lists(TREES, max_size=6)),
    st.builds(
        lambda name, body: (
            f'<?xml version="1.0" encoding="{name}"?><annotation>'.encode() + body + b"</annotation>"
        ),
        st.sampled_from(
            ["utf-8", "utf-16", "latin-1", "utf-7", "idna", "punycode", "hex", "undefined", "cp037", "x"]
        ),
        st.binary(max_size=60),
    ),
    st.builds(
        lambda start, cut, end: start[:cut].encode() + end,
        st.just(an_annotation("good.png", an_object(), an_object("cat"))),
        st.integers(0, 300),
        st.binary(max_size=20),
    ),
)


@examples(250)
@given(content=ANNOTATIONS)
@example(content=f"<annotation><object><difficult>{nested(5000)}</difficult></object></annotation>".encode())
@example(content=b"<annotation><object><name>dog</name></object>\x00</annotation>")
def test_random_annotations_do_not_crash(voc: Voc, content: bytes) -> None:
    voc.annotation("good", content)
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    for image in dataset.images:
        left, top, right, bottom = image.box or (0, 0, 0, 0)
        assert 0 <= left < right <= WIDTH
        assert 0 <= top < bottom <= HEIGHT
        assert image.class_name in VOC_CLASSES
        assert image.path == voc.path("good.png")
    assert all(problem.reason for problem in dataset.problems)


@examples(150)
@given(content=st.binary(max_size=200))
def test_random_split_lists_do_not_crash(voc: Voc, content: bytes) -> None:
    (voc.year / "ImageSets" / "Main" / "train.txt").write_bytes(content)
    dataset = read_voc(voc.root)
    assert all(image.splits == ("train",) for image in dataset.images)
    assert all(problem.reason for problem in dataset.problems)


@examples(150)
@given(place=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255), cut=st.integers(0, 40))
def test_changed_image_files_do_not_crash(voc: Voc, place: int, value: int, cut: int) -> None:
    content = bytearray(GOOD)
    content[place] = value
    voc.image("good.png", bytes(content[: len(content) - cut]))
    voc.split("train", "good")
    dataset = read_voc(voc.root)
    assert len(dataset.images) + len(dataset.problems) == 1


IMAGES = {
    "PNG": GOOD,
    "JPEG": encoded(noise(), "JPEG"),
    "progressive JPEG": encoded(noise(), "JPEG", progressive=True),
    "GIF": encoded(Image.fromarray(noise()), "GIF", save_all=True, append_images=[Image.new("RGB", (24, 18))]),
    "WebP": encoded(noise(), "WEBP"),
    "BMP": encoded(noise(), "BMP"),
    "TIFF": encoded(noise(), "TIFF", compression="tiff_lzw"),
    "PPM": encoded(noise(), "PPM"),
    "16 bits": encoded(grey_ramp(16)),
    "MPO": encoded(noise(), "MPO", save_all=True, append_images=[Image.new("RGB", (24, 18))]),
}


def read_or_refused(content: bytes) -> None:
    try:
        image = decode(content)
    except BrokenImage:
        return
    assert image.mode == "RGB"
    assert image.width * image.height <= LARGEST_IMAGE


@pytest.mark.parametrize("name", IMAGES)
def test_image_truncated_at_any_percentage_is_read_or_refused(name: str) -> None:
    content = IMAGES[name]
    for percent in range(100):
        read_or_refused(content[: len(content) * percent // 100])


@examples(300)
@given(
    name=st.sampled_from(sorted(IMAGES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    cut=st.floats(0, 0.2),
)
def test_random_changes_of_an_image_file_do_not_crash(
    name: str, changes: list[tuple[float, int]], cut: float
) -> None:
    content = bytearray(IMAGES[name])
    for place, value in changes:
        # Change mostly the beginning, where the headers are.
        content[int(place**3 * len(content))] = value
    read_or_refused(bytes(content[: len(content) - int(cut * len(content))]))
