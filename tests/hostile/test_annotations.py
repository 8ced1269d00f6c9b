"""Annotation files of VOC data sets: a broken one is a problem, never a crash."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from producer.datasets.voc import read_voc
from shared.catalogue import register
from shared.database import Database
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
