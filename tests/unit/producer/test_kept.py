"""Values in memory up to a number of bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.kept import Kept


def test_a_value_is_made_once() -> None:
    kept: Kept[str, bytes] = Kept(10, len)
    made: list[str] = []

    def make() -> bytes:
        made.append("x")
        return b"123"

    assert [kept.get("a", make) for _ in range(3)] == [b"123"] * 3
    assert made == ["x"]


def test_the_one_used_longest_ago_makes_room() -> None:
    kept: Kept[str, bytes] = Kept(10, len)
    for key in ("a", "b"):
        kept.get(key, lambda: b"12345")
    kept.get("a", lambda: b"other")
    kept.get("c", lambda: b"12345")
    assert kept.bytes == 10
    assert kept.get("a", lambda: b"new") == b"12345"
    assert kept.get("b", lambda: b"new") == b"new"


def test_a_value_that_is_too_large_is_not_kept_and_drives_none_out() -> None:
    kept: Kept[str, bytes] = Kept(10, len)
    kept.get("a", lambda: b"12345")
    assert kept.get("b", lambda: b"x" * 11) == b"x" * 11
    assert kept.get("b", lambda: b"y") == b"y"
    assert kept.get("a", lambda: b"new") == b"12345"


def test_an_error_is_not_kept() -> None:
    kept: Kept[str, bytes] = Kept(10, len)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: bytes(1 // 0))
    assert kept.get("a", lambda: b"1") == b"1"


def test_threads_that_make_the_same_value_count_it_once() -> None:
    kept: Kept[int, bytes] = Kept(1000, len)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: kept.get(number % 3, lambda: b"1234"), range(300)))
    assert kept.bytes == 12
    assert kept.find(2) == b"1234"
    assert kept.find(3) is None
