"""The artifact store: only complete files get their final name, and no other files are left behind."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import threading
from pathlib import Path
from typing import IO, Any

import pytest

from shared.errors import ArtifactDamaged, ArtifactMissing, StoreFull, StoreNotWritable
from shared.store.store import NAME, Store

CONTENT = b"what fires unit 7"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = f"{SHA256[:2]}/{SHA256}.png"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "not there yet" / "store")


def files(store: Store) -> list[str]:
    """Return all files below the root, including incoming ones."""
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


class Interrupted(BaseException):
    """An error like KeyboardInterrupt, which is not an Exception."""


# --- writing ---


def test_a_file_is_named_by_its_content(store: Store) -> None:
    stored = store.put(CONTENT, ".png")
    assert (stored.path, stored.sha256, stored.bytes) == (PATH, SHA256, len(CONTENT))
    assert files(store) == [PATH]
    assert store.locate(PATH).read_bytes() == CONTENT
    assert NAME.fullmatch(stored.path)


def test_the_same_content_twice_is_one_file(store: Store) -> None:
    first = store.put(CONTENT, ".png")
    inode = store.locate(PATH).stat().st_ino
    assert store.put(CONTENT, ".png") == first
    assert files(store) == [PATH]
    assert store.locate(PATH).stat().st_ino == inode


def test_different_content_or_suffix_is_a_different_file(store: Store) -> None:
    paths = {store.put(CONTENT, ".png").path, store.put(CONTENT, ".npz").path, store.put(b"", ".png").path}
    assert files(store) == sorted(paths)
    assert len(paths) == 3


def test_a_writer_may_write_in_pieces_and_seek(store: Store) -> None:
    """Zip files are written this way: the size is that of the file, not the last position."""

    def writer(file: IO[bytes]) -> None:
        file.write(b"WHAT fires")
        file.write(b" unit 7")
        file.seek(0)
        file.write(b"what")

    stored = store.write(".png", writer)
    assert (stored.path, stored.bytes) == (PATH, len(CONTENT))
    assert store.locate(PATH).read_bytes() == CONTENT


def test_concurrent_writers_make_one_complete_file(store: Store) -> None:
    content = os.urandom(300_000)
    barrier = threading.Barrier(6)
    paths = []

    def run() -> None:
        barrier.wait()
        for _ in range(5):
            paths.append(store.put(content, ".bin").path)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 30
    assert files(store) == [paths[0]]
    assert store.locate(paths[0]).read_bytes() == content


def _half(root: str) -> None:
    def writer(file: IO[bytes]) -> None:
        file.write(CONTENT)
        file.flush()
        os._exit(9)

    Store(Path(root)).write(".png", writer)


def test_a_process_that_dies_while_writing_leaves_no_artifact(store: Store) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_half, args=(str(store.root),))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert [path for path in files(store) if NAME.fullmatch(path)] == []
    with pytest.raises(ArtifactMissing):
        store.locate(PATH)
    assert store.put(CONTENT, ".png").path == PATH


@pytest.mark.parametrize("error", [ValueError, Interrupted])
def test_a_writer_that_raises_leaves_nothing(store: Store, error: type[BaseException]) -> None:
    def writer(file: IO[bytes]) -> None:
        file.write(CONTENT)
        raise error

    with pytest.raises(error):
        store.write(".png", writer)
    assert files(store) == []


def fail_with(code: int) -> Any:
    def call(*arguments: Any, **options: Any) -> None:
        raise OSError(code, os.strerror(code))

    return call


def test_a_full_device_is_reported_as_a_full_store(store: Store) -> None:
    def writer(file: IO[bytes]) -> None:
        file.write(CONTENT)
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(CONTENT)

    with pytest.raises(StoreFull, match="No space left on device"):
        store.write(".png", writer)
    assert files(store) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_reported_and_leaves_nothing(store: Store, code: int) -> None:
    def writer(file: IO[bytes]) -> None:
        file.write(CONTENT)
        raise OSError(code, os.strerror(code))

    with pytest.raises(StoreFull) as raised:
        store.write(".png", writer)
    assert str(store.root) in str(raised.value)
    assert os.strerror(code) in str(raised.value)
    assert files(store) == []
    assert store.put(CONTENT, ".png").path == PATH


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.rename", "pathlib.Path.mkdir"])
def test_a_full_disk_at_any_step_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    store.put(b"before", ".png")
    before = files(store)
    with monkeypatch.context() as patch:
        patch.setattr(step, fail_with(errno.ENOSPC))
        with pytest.raises(StoreFull):
            store.put(CONTENT, ".png")
    assert files(store) == before


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO, errno.ENOTDIR])
def test_a_root_that_cannot_be_written_is_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.mkdir", fail_with(code))
        with pytest.raises(StoreNotWritable, match="ANALYZE_STORE") as raised:
            store.put(CONTENT, ".png")
    assert os.strerror(code) in str(raised.value)
    assert not store.root.exists()


def test_a_root_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for root in (tmp_path / "file", tmp_path / "file" / "store", Path("/proc/store")):
        with pytest.raises(StoreNotWritable):
            Store(root).put(CONTENT, ".png")


def test_an_error_without_errno_is_reported(store: Store) -> None:
    def writer(file: IO[bytes]) -> None:
        raise OSError("cannot write mode P as JPEG")

    with pytest.raises(StoreNotWritable, match="mode P"):
        store.write(".png", writer)
    assert files(store) == []


def test_content_is_on_disk_before_the_file_gets_its_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write, fsync, rename: in another order a power failure could leave a partial file with a valid name."""
    calls = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr("os.fsync", lambda descriptor: (calls.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr("pathlib.Path.rename", lambda *paths: (calls.append("rename"), rename(*paths))[1])
    store.put(CONTENT, ".png")
    assert calls == ["fsync", "rename"]
    store.make_durable([PATH])
    assert calls == ["fsync", "rename", "fsync", "fsync"]  # the file's folder, and the root that names it


def test_make_durable_of_nothing_does_nothing(store: Store) -> None:
    store.make_durable([])
    assert not store.root.exists()


# --- reading ---


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "../secret.png",
        f"{SHA256[:2]}/../{SHA256[:2]}/{SHA256}.png",
        f"../store/{PATH}",
        f"./{PATH}",
        f"/{PATH}",
        f"{PATH}/",
        f"{PATH}\n",
        f"{PATH}\x00",
        f"{PATH}/..",
        PATH.upper(),
        PATH.replace("/", "\\"),
        PATH.removesuffix(".png"),
        f"{SHA256}.png",
        "incoming/half",
        "/etc/passwd",
        "C:/secret.png",
        "~/secret.png",
    ],
)
def test_a_path_that_is_not_an_artifacts_is_refused(store: Store, path: str) -> None:
    store.put(CONTENT, ".png")
    (store.root.parent / "secret.png").write_text("secret")
    (store.root / "incoming" / "half").write_text("half")
    (store.root / f"{SHA256}.png").write_text("in no folder")
    before = files(store)
    with pytest.raises(ArtifactMissing):
        store.locate(path)
    store.remove(path)
    assert files(store) == before
    assert (store.root.parent / "secret.png").exists()


def test_the_absolute_path_of_an_artifact_is_refused(store: Store) -> None:
    stored = store.put(CONTENT, ".png")
    with pytest.raises(ArtifactMissing):
        store.locate(str(store.root / stored.path))


def test_a_missing_file_is_reported(store: Store) -> None:
    with pytest.raises(ArtifactMissing) as raised:
        store.locate(PATH)
    assert PATH in str(raised.value)
    assert str(store.root) in str(raised.value)


def test_a_folder_is_not_an_artifact(store: Store) -> None:
    (store.root / PATH).mkdir(parents=True)
    with pytest.raises(ArtifactMissing):
        store.locate(PATH)


def test_a_removed_artifact_can_be_written_again(store: Store) -> None:
    store.put(CONTENT, ".png")
    store.remove(PATH)
    store.remove(PATH)
    assert files(store) == []
    assert store.put(CONTENT, ".png").path == PATH
    assert store.locate(PATH).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT.upper(), CONTENT + b"."])
def test_a_damaged_artifact_is_reported_and_repaired_by_writing_it_again(store: Store, content: bytes) -> None:
    store.put(CONTENT, ".png")
    assert store.verified(PATH) == store.locate(PATH)
    store.locate(PATH).write_bytes(content)
    with pytest.raises(ArtifactDamaged) as raised:
        store.verified(PATH)
    assert PATH in str(raised.value)
    store.put(CONTENT, ".png")
    assert store.verified(PATH).read_bytes() == CONTENT
    assert files(store) == [PATH]


def test_content_is_read_again_only_if_the_file_has_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(CONTENT, ".png")
    read: list[str] = []
    verified = Store.verified
    monkeypatch.setattr(Store, "verified", lambda self, path: (read.append(path), verified(self, path))[1])
    for _ in range(3):
        assert Store(store.root).verified_once(PATH) == store.locate(PATH)
    assert read == [PATH]
    store.locate(PATH).write_bytes(b"something else")
    with pytest.raises(ArtifactDamaged):
        store.verified_once(PATH)
    with pytest.raises(ArtifactDamaged):  # it was not taken for checked
        store.verified_once(PATH)
    assert read == [PATH] * 3


def test_a_missing_artifact_is_not_verified(store: Store) -> None:
    with pytest.raises(ArtifactMissing):
        store.verified(PATH)
