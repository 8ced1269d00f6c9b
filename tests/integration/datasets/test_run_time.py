"""Reading of images by workers: order, batches, and skipping of images that have changed since registration."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from producer.datasets.folder import read_folder
from tests.integration.datasets.helpers import encoded, source_of, write_folder
from unitscope.data.images import ImageSource, Skipped, UnreadableImage, batches, read_image
from unitscope.errors import ImageChanged, ImageUnavailable


@pytest.fixture
def ten(tmp_path: Path) -> list[ImageSource]:
    """Ten images of a registered folder; the first pixel of each is its number."""
    for number in range(10):
        write_folder(tmp_path / "data", [f"ant/{number}.png"], encoded(np.full((8, 8, 3), number + 1, np.uint8)))
    dataset = read_folder(tmp_path / "data")
    return [source_of(dataset, image, number) for number, image in enumerate(dataset.images)]


def spoil(source: ImageSource, how: str) -> None:
    if how == "removed":
        source.path.unlink()
    elif how == "changed":
        source.path.write_bytes(encoded(np.full((8, 8, 3), 99, np.uint8)))
    elif how == "broken":
        source.path.write_bytes(source.path.read_bytes()[:40])
    elif how == "emptied":
        source.path.write_bytes(b"")
    elif how == "a folder":
        source.path.unlink()
        source.path.mkdir()


SPOILED = ["broken", "emptied"]
UNAVAILABLE = {"removed": "No such file", "a folder": "not a regular file"}


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("pad", [True, False])
def test_image_damaged_after_registration_is_skipped_with_a_reason(
    ten: list[ImageSource], pad: bool, how: str
) -> None:
    for number in (0, 5, 9):
        spoil(ten[number], how)
    skipped: list[Skipped] = []
    dataset = list(batches(ten, 4, 8, pad=pad, skipped=skipped))
    assert [item.source.id for item in skipped] == [0, 5, 9]
    assert all(item.reason for item in skipped)
    assert [[source.id for source in batch.sources] for batch in dataset] == [[1, 2, 3], [4, 6, 7], [8]]
    for batch in dataset:
        assert batch.pixels.shape == (4 if pad else len(batch.sources), 3, 8, 8)
        shown = [int(value) for value in batch.pixels[:, 0, 0, 0]]
        padding = [0] * (len(shown) - len(batch.sources))
        assert shown == [source.id + 1 for source in batch.sources] + padding
        assert not batch.pixels[len(batch.sources) :].any()


@pytest.mark.parametrize("how", UNAVAILABLE)
@pytest.mark.parametrize("pad", [True, False])
def test_a_registered_image_that_is_missing_is_an_error(ten: list[ImageSource], pad: bool, how: str) -> None:
    """The folder may not be mounted on this machine. Docker creates folders for files that are missing."""
    spoil(ten[5], how)
    with pytest.raises(ImageUnavailable, match=f"Image {ten[5].path} can't be read on .*: .*{UNAVAILABLE[how]}"):
        list(batches(ten, 4, 8, pad=pad, skipped=[]))


def test_a_broken_image_is_reported_as_changed(ten: list[ImageSource]) -> None:
    spoil(ten[0], "broken")
    with pytest.raises(UnreadableImage, match="has changed since it was registered, and is broken"):
        read_image(ten[0], 8)


@pytest.mark.parametrize("pad", [True, False])
def test_another_image_than_the_registered_one_is_an_error(ten: list[ImageSource], pad: bool) -> None:
    """Another machine may have the registered file."""
    spoil(ten[5], "changed")
    with pytest.raises(ImageChanged, match=f"Image {ten[5].path} on .* is not the one that was registered"):
        list(batches(ten, 4, 8, pad=pad, skipped=[]))


@pytest.mark.parametrize("pad", [True, False])
def test_if_no_image_can_be_read_every_reason_is_reported(ten: list[ImageSource], pad: bool) -> None:
    for source in ten:
        spoil(source, "broken")
    skipped: list[Skipped] = []
    dataset = list(batches(ten, 4, 8, pad=pad, skipped=skipped))
    assert len(skipped) == 10
    assert [batch.sources for batch in dataset] == ([[], [], []] if pad else [])
    assert all(batch.pixels.shape == (4, 3, 8, 8) and not batch.pixels.any() for batch in dataset)


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("size", [1, 3, 10, 11])
def test_order_is_kept_and_padded_batches_have_one_shape(ten: list[ImageSource], size: int, threads: int) -> None:
    dataset = list(batches(ten, size, 8, pad=True, threads=threads))
    assert [source.id for batch in dataset for source in batch.sources] == list(range(10))
    assert {tuple(batch.pixels.shape) for batch in dataset} == {(size, 3, 8, 8)}
    assert all(len(batch.sources) == size for batch in dataset[:-1])


def test_an_abandoned_iteration_leaves_no_threads(ten: list[ImageSource]) -> None:
    reading = batches(ten, 1, 8)
    assert next(reading).sources[0].id == 0
    reading.close()
    decoders = [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    for thread in decoders:
        thread.join(60)
    assert not any(thread.is_alive() for thread in decoders)


def test_no_sources_give_no_batches() -> None:
    assert list(batches([], 4, 8, pad=True)) == []


def test_pipe_instead_of_an_image_does_not_block_a_worker(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    outcome: list[str] = []

    def read() -> None:
        try:
            read_image(ImageSource(1, tmp_path / "pipe.png", sha256="0" * 64), 8)
        except ImageUnavailable as error:
            outcome.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20)
    held_up = reader.is_alive()
    if held_up:  # unblock the thread
        os.close(os.open(tmp_path / "pipe.png", os.O_WRONLY))
        reader.join()
    assert not held_up
    assert outcome


def test_reading_data_sets_does_not_import_torch() -> None:
    code = "import sys, producer.datasets.voc, producer.datasets.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
