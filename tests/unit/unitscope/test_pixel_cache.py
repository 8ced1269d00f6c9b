"""Pixel cache: images are correct or absent, despite damaged files, full disks and other processes."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from unitscope.data.pixel_cache import PixelCache, open_cache
from unitscope.images.pixel_files import NAME, PixelFile, file_name, pixel_files, record_bytes

SIZE = 37  # a record is neither a power of two nor a whole number of pages
RECORD = 4 + SIZE * SIZE * 3
COUNT = 20
FINGERPRINT, OTHER, THIRD = "ab" * 32, "cd" * 32, "ef" * 32
PLENTY = 2**30


def picture(number: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)


def opened(folder: Path, fingerprint: str = FINGERPRINT, count: int = COUNT, limit: int = PLENTY) -> PixelCache:
    cache = open_cache(folder, fingerprint, count, SIZE, limit)
    assert cache is not None
    return cache


def filled(folder: Path, fingerprint: str = FINGERPRINT) -> PixelCache:
    cache = opened(folder, fingerprint)
    for number in range(COUNT):
        cache.store(number, picture(number))
    return cache


def assert_full(cache: PixelCache) -> None:
    pixels, present = cache.gather(range(COUNT))
    assert present.all()
    for number in range(COUNT):
        np.testing.assert_array_equal(pixels[number], picture(number))


# --- records ---


def test_stored_images_are_present_and_others_absent(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    for number in (0, 7, COUNT - 1):
        cache.store(number, picture(number))
    positions = [COUNT - 1, 3, 0, 7, 7, -1, COUNT]
    for _ in range(2):
        pixels, present = cache.gather(positions)
        assert (pixels.shape, pixels.dtype) == ((7, SIZE, SIZE, 3), np.uint8)
        assert present.tolist() == [True, False, True, True, True, False, False]
        for place in np.flatnonzero(present):
            np.testing.assert_array_equal(pixels[place], picture(positions[place]))
    np.testing.assert_array_equal(opened(tmp_path).gather([7])[0][0], picture(7))


def test_no_positions_give_no_pixels(tmp_path: Path) -> None:
    pixels, present = opened(tmp_path).gather([])
    assert (pixels.shape, present.shape) == ((0, SIZE, SIZE, 3), (0,))


@pytest.mark.parametrize("position", [-1, COUNT, 10**9])
def test_an_image_without_a_record_is_not_stored(tmp_path: Path, position: int) -> None:
    cache = opened(tmp_path)
    cache.store(position, picture(1))
    assert cache.file.stat().st_size == COUNT * RECORD
    assert not cache.gather(range(COUNT))[1].any()


def test_a_black_image_is_stored_like_any_other(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.store(2, np.zeros((SIZE, SIZE, 3), np.uint8))
    pixels, present = cache.gather([2, 3])
    assert present.tolist() == [True, False]
    assert not pixels[0].any()


def test_an_image_whose_checksum_is_zero_is_stored_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlib.crc32", lambda data: 0)
    cache = opened(tmp_path)
    cache.store(2, picture(2))
    assert cache.gather([1, 2])[1].tolist() == [False, True]


def test_pixels_of_any_memory_format_are_stored(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.store(0, picture(0)[:, ::-1])
    np.testing.assert_array_equal(cache.gather([0])[0][0], picture(0)[:, ::-1])


@pytest.mark.parametrize("offset", [0, 3, 4, RECORD // 2, RECORD - 1])
def test_a_partly_written_record_is_absent_and_can_be_stored_again(tmp_path: Path, offset: int) -> None:
    file = filled(tmp_path).file
    content = bytearray(file.read_bytes())
    content[5 * RECORD + offset] ^= 0x10
    file.write_bytes(content)
    cache = opened(tmp_path)
    expected = [number != 5 for number in range(COUNT)]
    assert cache.gather(range(COUNT))[1].tolist() == expected
    cache.store(5, picture(5))
    assert_full(cache)


def test_a_checksum_is_verified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    cache = opened(tmp_path)
    assert_full(cache)
    monkeypatch.delattr("zlib.crc32")
    assert_full(cache)


def test_records_beyond_the_end_of_a_truncated_file_are_absent(tmp_path: Path) -> None:
    """With a memory map, reading them would raise SIGBUS."""
    cache = filled(tmp_path)
    os.truncate(cache.file, 10 * RECORD + 1)
    assert cache.gather(range(COUNT))[1].tolist() == [number < 10 for number in range(COUNT)]


def test_after_a_read_error_images_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = filled(tmp_path)

    def fail(*arguments: object) -> int:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "preadv", fail)
    for _ in range(3):
        assert not cache.gather(range(COUNT))[1].any()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# --- a full disk ---


@pytest.mark.parametrize("short", [True, False])
def test_a_full_disk_stops_writing_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, short: bool
) -> None:
    cache, write, calls = opened(tmp_path), os.pwrite, []

    def fill_up(descriptor: int, record: bytes, offset: int) -> int:
        calls.append(offset)
        if len(calls) <= 3:
            return write(descriptor, record, offset)
        if short:
            return write(descriptor, record[:100], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", fill_up)
    for number in range(COUNT):
        cache.store(number, picture(number))
    assert len(calls) == 4
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no more images are stored in the pixel cache" in caplog.text
    assert cache.gather(range(COUNT))[1].tolist() == [number < 3 for number in range(COUNT)]


# --- concurrency ---


def fill(folder: Path, numbers: list[int], barrier: multiprocessing.synchronize.Barrier) -> None:
    barrier.wait(60)
    cache = opened(folder)
    for _ in range(20):
        for number in numbers:
            cache.store(number, picture(number))
            pixels, present = cache.gather([number])
            assert not present[0] or (pixels[0] == picture(number)).all()
    assert_full(cache)


def test_two_processes_write_one_file_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    orders = [list(range(COUNT)), list(range(COUNT))[::-1]]
    folder = tmp_path / "cache"
    processes = [context.Process(target=fill, args=(folder, order, barrier)) for order in orders]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert_full(opened(folder))
    assert [path.name for path in folder.iterdir()] == [file_name(FINGERPRINT, SIZE)]


def test_a_file_can_be_used_after_it_is_unlinked(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.file.unlink()
    cache.store(4, picture(4))
    assert_full(cache)
    assert not opened(tmp_path).gather(range(COUNT))[1].any()


# --- opening ---


def test_folder_and_file_are_private_and_the_file_has_its_full_length(tmp_path: Path) -> None:
    cache = opened(tmp_path / "home" / "cache")
    assert stat.S_IMODE(cache.file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(cache.file.stat().st_mode) == 0o600
    assert cache.file.name == f"{FINGERPRINT}-{SIZE}.pixels"
    assert cache.file.stat().st_size == COUNT * RECORD == COUNT * record_bytes(SIZE)
    assert cache.file.stat().st_blocks * 512 < RECORD  # sparse


@pytest.mark.parametrize("length", [1, COUNT * RECORD - 1, COUNT * RECORD + 1])
def test_a_file_of_another_length_is_replaced_not_truncated(tmp_path: Path, length: int) -> None:
    file = filled(tmp_path).file
    with file.open("r+b") as other:
        other.truncate(length)
        cache = opened(tmp_path)
        assert not cache.gather(range(COUNT))[1].any()
        assert file.stat().st_size == COUNT * RECORD
        assert os.fstat(other.fileno()).st_size == length


def test_an_empty_file_of_another_process_is_used(tmp_path: Path) -> None:
    file = tmp_path / file_name(FINGERPRINT, SIZE)
    file.touch(0o600)
    inode = file.stat().st_ino
    assert opened(tmp_path).file.stat().st_ino == inode
    assert file.stat().st_size == COUNT * RECORD


def test_opening_updates_the_time_of_last_use(tmp_path: Path) -> None:
    file = filled(tmp_path).file
    os.utime(file, (1, 1))
    opened(tmp_path)
    assert file.stat().st_mtime > 1e9


def test_a_deleted_cache_closes_its_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        opened(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("obstacle", ["a file for a folder", "a folder for a file", "length refused"])
def test_without_a_file_there_is_no_cache_and_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, obstacle: str
) -> None:
    folder = tmp_path / "cache"
    if obstacle == "a file for a folder":
        folder.touch()
    elif obstacle == "a folder for a file":
        (folder / file_name(FINGERPRINT, SIZE)).mkdir(parents=True)
    else:

        def fail(*arguments: object) -> None:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

        monkeypatch.setattr(os, "ftruncate", fail)
    before = len(os.listdir("/proc/self/fd"))
    assert open_cache(folder, FINGERPRINT, COUNT, SIZE, PLENTY) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert len(os.listdir("/proc/self/fd")) == before


# --- the limit ---


def allocated(folder: Path) -> int:
    return sum(file.allocated for file in pixel_files(folder))


def test_a_data_set_that_is_larger_than_the_limit_is_not_cached(tmp_path: Path) -> None:
    length = COUNT * RECORD
    folder = tmp_path / "cache"
    assert open_cache(folder, FINGERPRINT, COUNT, SIZE, length - 1) is None
    assert open_cache(folder, FINGERPRINT, COUNT, SIZE, 0) is None
    assert not folder.exists()
    assert open_cache(folder, FINGERPRINT, COUNT, SIZE, length) is not None


def test_the_least_recently_used_file_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for fingerprint, used in ((FINGERPRINT, 200), (OTHER, 100)):
        os.utime(filled(tmp_path, fingerprint).file, (used, used))
    own = COUNT * RECORD
    opened(tmp_path, THIRD, limit=own + allocated(tmp_path))
    assert [file.fingerprint for file in pixel_files(tmp_path)] == [OTHER, FINGERPRINT, THIRD]
    opened(tmp_path, THIRD, limit=own + allocated(tmp_path) - 1)
    assert [file.fingerprint for file in pixel_files(tmp_path)] == [FINGERPRINT, THIRD]
    assert file_name(OTHER, SIZE) in caplog.text
    opened(tmp_path, THIRD, limit=own)
    assert [file.fingerprint for file in pixel_files(tmp_path)] == [THIRD]


def test_the_opened_file_and_foreign_files_are_not_removed(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "notes.txt").write_bytes(bytes(10**6))
    (tmp_path / f"{OTHER}-0.pixels").write_bytes(bytes(10**6))
    assert_full(opened(tmp_path, limit=COUNT * RECORD))
    assert len(list(tmp_path.iterdir())) == 3


# --- listing ---


def test_files_are_listed_by_name(tmp_path: Path) -> None:
    assert pixel_files(tmp_path / "nowhere") == []
    filled(tmp_path)
    for name in (
        f"{OTHER}.pixels",
        f"{OTHER}-x.pixels",
        "x-3.pixels",
        f"{OTHER}-3.pixels~",
        f"{OTHER[1:]}-3.pixels",
    ):
        (tmp_path / name).touch()
    (file,) = pixel_files(tmp_path)
    assert (file.fingerprint, file.size, file.images) == (FINGERPRINT, SIZE, COUNT)
    assert file.bytes == COUNT * RECORD
    assert file.share == 1
    assert NAME.fullmatch(file_name(OTHER, 4096))


def test_the_share_is_that_of_the_allocated_blocks() -> None:
    def share(length: int, taken: int) -> float:
        return PixelFile(Path("x"), FINGERPRINT, SIZE, length, taken, 0.0).share

    assert (share(1000, 500), share(1000, 4096), share(1000, 0), share(0, 0)) == (0.5, 1, 0, 0)
