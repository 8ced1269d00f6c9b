"""Annotation files of VOC data sets: a broken one is a problem, never a crash."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from producer.datasets.voc import read_voc
from shared.database.catalogue import register
from shared.database.connection import Database
from shared.errors import NoDatasetThere
from tests.integration.datasets.helpers import GOOD, Voc, an_annotation, an_object, nested, only_problem, stems

LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
BROKEN_ANNOTATIONS: dict[str, str | bytes] = {
    "nothing": b"",
    "no XML": b"not xml at all",
    "binary": bytes(range(256)),
    "cut off": an_annotation("good.png", an_object())[:-20],
    "two roots": "<annotation/><annotation/>",
    "another root": "<html><annotation/></html>",
    "text for a root": "<annotation>text</annotation>",
    "empty root": "<annotation/>",
    "unescaped": "<annotation><filename>a & b</filename></annotation>",
    "billion laughs": LAUGHS + "<annotation><filename>&i;</filename></annotation>",
    "file as entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<annotation><filename>&x;</filename></annotation>",
    "parameter entity": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/"> %x;]><annotation/>',
    "another encoding than it says": b'<?xml version="1.0" encoding="utf-16"?><annotation/>',
    "unknown encoding": b'<?xml version="1.0" encoding="nonsense"?><annotation/>',
    "encoding that is no text": b'<?xml version="1.0" encoding="hex"?><annotation/>',
    "bytes that are not UTF-8": b"<annotation><filename>\xff\xfe</filename></annotation>",
    "huge": "<annotation>" + " " * 2**21 + "</annotation>",
    "file name of markup": f"<annotation><filename>{nested(3)}</filename></annotation>",
    "deep file name": f"<annotation><filename>{nested(50_000)}</filename></annotation>",
    "two file names": "<annotation><filename>good.png</filename><filename>good.png</filename></annotation>",
    "another namespace": '<x:annotation xmlns:x="urn:x"/>',
}


@pytest.mark.parametrize("name", BROKEN_ANNOTATIONS)
def test_broken_annotation_is_a_problem(voc: Voc, name: str) -> None:
    voc.annotation("bad", BROKEN_ANNOTATIONS[name])
    voc.image("bad.jpg", GOOD)
    problem = only_problem(read_voc(voc.root))
    assert (problem.path, problem.object_number) == ("VOC2007/Annotations/bad.xml", 0)
    assert problem.reason in ("broken annotation", "path outside the data set")
    assert problem.detail


@pytest.mark.parametrize("where", ["", "difficult", "name", "bndbox", "part"])
def test_deep_nesting_is_no_crash(voc: Voc, where: str) -> None:
    inner = f"<{where}>{nested(50_000)}</{where}>" if where else nested(50_000)
    voc.annotation("bad", f"<annotation><object>{inner}</object></annotation>")
    voc.image("bad.jpg", GOOD)
    found = read_voc(voc.root)
    assert stems(found) == ["good"]
    assert {problem.object_number for problem in found.problems} <= {0, 1}


def test_missing_annotation_is_a_problem(voc: Voc) -> None:
    problem = only_problem(read_voc(voc.root))
    assert (problem.path, problem.reason) == ("VOC2007/Annotations/bad.xml", "missing annotation")


def test_annotation_that_is_no_file_is_a_problem(voc: Voc) -> None:
    (voc.year / "Annotations" / "bad.xml").mkdir()
    (voc.year / "Annotations" / "loop.xml").symlink_to("loop.xml")
    (voc.year / "Annotations" / "device.xml").symlink_to("/dev/zero")
    os.mkfifo(voc.year / "Annotations" / "pipe.xml")
    voc.split("train", "good", "bad", "loop", "device", "pipe")
    found = read_voc(voc.root)
    assert stems(found) == ["good"]
    assert [problem.reason for problem in found.problems] == ["missing annotation"] * 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "utf-8-sig"])
def test_annotation_in_a_declared_encoding_is_read(voc: Voc, encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?>' + an_annotation("grün.png", an_object())
    voc.image("grün.png")
    voc.annotation("bad", text.encode(encoding))
    assert stems(read_voc(voc.root)) == ["grün", "good"]


def test_annotation_without_file_name_means_its_own(voc: Voc) -> None:
    voc.image("bad.jpg", GOOD)
    voc.annotation("bad", f"<annotation>{an_object()}</annotation>")
    assert stems(read_voc(voc.root)) == ["bad", "good"]


def test_two_annotations_of_one_image_give_no_row_twice(voc: Voc, database: Database) -> None:
    voc.annotation("bad", an_annotation("good.png", an_object(), an_object("cat")))
    found = read_voc(voc.root)
    rows = Counter((image.path, image.object_number) for image in found.images)
    assert max(rows.values()) == 1
    assert len(found.problems) == 1
    register(database, "twice", found)


# --- what lies elsewhere, or can not be read ---


def test_annotation_that_is_a_link_is_followed(voc: Voc, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.xml").write_text(an_annotation("bad.jpg", an_object()))
    (voc.year / "Annotations" / "bad.xml").symlink_to(tmp_path / "elsewhere.xml")
    voc.image("bad.jpg", GOOD)
    found = read_voc(voc.root)
    assert (stems(found), found.problems) == (["bad", "good"], [])


def test_annotation_that_is_a_link_to_no_annotation_tells_nothing_of_it(voc: Voc, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret: 1234")
    (voc.year / "Annotations" / "bad.xml").symlink_to(tmp_path / "secret.txt")
    problem = only_problem(read_voc(voc.root))
    assert problem.reason == "broken annotation"
    assert "secret" not in problem.detail
    assert "1234" not in problem.detail


def test_annotation_without_the_right_to_read_it_is_a_problem(voc: Voc) -> None:
    voc.annotation("bad", an_annotation("good.png", an_object()))
    (voc.year / "Annotations" / "bad.xml").chmod(0)
    for folder in (voc.root.parent, *voc.root.parents):
        if folder.owner() == voc.root.owner() and str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    with as_nobody():
        problem = only_problem(read_voc(voc.root))
    assert problem.reason == "missing annotation"


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_annotation_of_a_hundred_megabytes_is_not_read(voc: Voc) -> None:
    with (voc.year / "Annotations" / "bad.xml").open("wb") as file:
        file.truncate(100 * 2**20)
    assert only_problem(read_voc(voc.root)).detail == "104857600 bytes are too many"


def test_split_list_that_is_huge_is_refused_and_one_that_is_linked_is_read(voc: Voc, tmp_path: Path) -> None:
    file = voc.year / "ImageSets" / "Main" / "train.txt"
    with file.open("wb") as opened:
        opened.truncate(100 * 2**20)
    with pytest.raises(NoDatasetThere, match="64 MB"):
        read_voc(voc.root)
    file.rename(tmp_path / "train.txt")
    file.symlink_to(tmp_path / "train.txt")
    with pytest.raises(NoDatasetThere, match="64 MB"):
        read_voc(voc.root)
    (tmp_path / "train.txt").write_text("good\n../../../etc/passwd\n/etc/passwd\n")
    found = read_voc(voc.root)
    assert stems(found) == ["good"]
    assert [problem.reason for problem in found.problems] == ["bad image id"] * 2


ENCODINGS = {
    "latin-1 that says UTF-8": an_annotation("gr\xfcn.png", an_object()).encode("latin-1"),
    "UTF-16 without a mark": an_annotation("good.png", an_object()).encode("utf-16-le"),
    "UTF-16 that says UTF-8": '<?xml version="1.0" encoding="utf-8"?>'.encode("utf-16-be")
    + an_annotation("good.png", an_object()).encode("utf-16-be"),
    "UTF-8 that says UTF-16": b'<?xml version="1.0" encoding="utf-16"?>' + b"<annotation/>",
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_annotation_in_another_encoding_than_it_says_is_no_crash(voc: Voc, name: str) -> None:
    voc.annotation("bad", ENCODINGS[name])
    found = read_voc(voc.root)
    assert {"good"} == set(stems(found))
    assert len(found.problems) <= 1


BOXES = [
    *(("nan", 1, 5, 5), ("inf", 1, 5, 5), (1, "-inf", 5, 5), (1, 1, "1e999", 5), (1, 1, 10**30, 5), (-5, 1, 5, 5)),
    *(
        (9, 9, 2, 2),
        ("", 1, 5, 5),
        ("x", 1, 5, 5),
        ("1 2", 1, 5, 5),
        ("0x5", 1, 5, 5),
        (1, 1, 1e9, 5),
        (0, 0, 0, 0),
    ),
]


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_box_that_is_none_is_a_problem(voc: Voc, box: tuple[object, object, object, object]) -> None:
    voc.add("bad", an_object(box=box))
    problem = only_problem(read_voc(voc.root))
    assert problem.object_number == 1
    assert problem.reason in ("invalid box", "box without area", "box outside the image")
