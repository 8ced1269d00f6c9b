"""Download of VOC from a local server, with archives created by the tests."""

from __future__ import annotations

import errno
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

import pytest

from producer.datasets.download import VOC_SOURCES, Source, download_voc
from producer.tars import Member
from shared.errors import UnsafeArchive
from tests.integration.serving import FOLDER, NAME, Server, pack, serving, tree
from unitscope.errors import DownloadFailed

pytestmark = pytest.mark.usefixtures("no_proxy")

FILES = {
    "VOCdevkit/VOC2007/Annotations/000001.xml": b"<annotation/>",
    "VOCdevkit/VOC2007/ImageSets/Main/train.txt": b"000001\n",
    "VOCdevkit/VOC2007/JPEGImages/000001.jpg": b"\xff\xd8" + bytes(5000),
}
TEST_FILES = {
    "VOCdevkit/VOC2007/Annotations/000002.xml": b"<annotation/>",
    "VOCdevkit/VOC2007/ImageSets/Main/test.txt": b"000002\n",
    "VOCdevkit/VOC2007/JPEGImages/000002.jpg": b"\xff\xd8" + bytes(4000),
}


def fetch(root: Path, source: Source) -> None:
    download_voc(root, ["voc"], {"voc": source}, progress=False)


# --- Downloads -----------------------------------------------------------------------------------


def test_download_unpacks_and_removes_the_archive(server: Server, tmp_path: Path) -> None:
    fetch(tmp_path / "new" / "root", server.source(pack(FILES)))
    assert tree(tmp_path / "new" / "root") == FILES


def test_second_call_downloads_nothing(server: Server, tmp_path: Path) -> None:
    source = server.source(pack(FILES))
    fetch(tmp_path, source)
    fetch(tmp_path, source)
    assert server.asked == [f"/{NAME}"]


def test_removed_data_set_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    source = server.source(pack(FILES))
    fetch(tmp_path, source)
    shutil.rmtree(tmp_path / "VOCdevkit")
    fetch(tmp_path, source)
    assert tree(tmp_path) == FILES


def test_two_archives_fill_the_same_folders(server: Server, tmp_path: Path) -> None:
    sources = {"2007": server.source(pack(FILES)), "2007-test": server.source(pack(TEST_FILES), "test.tar")}
    download_voc(tmp_path, ["2007", "2007-test"], sources, progress=False)
    assert tree(tmp_path) == FILES | TEST_FILES


def test_progress_goes_to_stderr(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    download_voc(tmp_path, ["voc"], {"voc": server.source(pack(FILES))}, progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "100%" in shown.err


def test_wrong_md5_keeps_nothing(server: Server, tmp_path: Path) -> None:
    source = server.source(pack(FILES))
    server.pages[f"/{NAME}"] = pack(TEST_FILES)
    with pytest.raises(DownloadFailed, match=r"hash.*does not match"):
        fetch(tmp_path, source)
    assert tree(tmp_path) == {}


def test_not_found_keeps_nothing(server: Server, tmp_path: Path) -> None:
    source = server.source(pack(FILES))
    server.pages.clear()
    with pytest.raises(DownloadFailed, match="404"):
        fetch(tmp_path, source)
    assert tree(tmp_path) == {}


def test_refused_connection_keeps_nothing(tmp_path: Path) -> None:
    with socket.socket() as reserved:  # bound, but not listening
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/{NAME}"
        with pytest.raises(DownloadFailed, match="refused"):
            fetch(tmp_path, Source(url, NAME, "0" * 32, FOLDER))
    assert tree(tmp_path) == {}


def test_unwritable_root_is_a_failed_download(server: Server, tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.touch()
    with pytest.raises(DownloadFailed, match="exists"):
        fetch(root, server.source(pack(FILES)))


def test_full_disk_leaves_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_a_little(member: Member, file: IO[bytes]) -> Iterator[bytes]:
        yield b"\xff"
        raise OSError(errno.ENOSPC, "No space left on device")

    source = server.source(pack(FILES))
    with monkeypatch.context() as patch:
        patch.setattr(Member, "chunks", write_a_little)
        with pytest.raises(DownloadFailed, match="No space left"):
            fetch(tmp_path, source)
    assert tree(tmp_path) == {}
    fetch(tmp_path, source)
    assert tree(tmp_path) == FILES


def test_an_interrupted_move_adds_no_split(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_replace = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.suffix == ".jpg":
            raise OSError(errno.EIO, "Input/output error")
        return real_replace(self, target)

    fetch(tmp_path, server.source(pack(FILES)))
    source = server.source(pack(TEST_FILES), "test.tar")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(DownloadFailed):
            fetch(tmp_path, source)
    assert [path.name for path in tmp_path.rglob("Main/*.txt")] == ["train.txt"]
    fetch(tmp_path, source)
    assert tree(tmp_path) == FILES | TEST_FILES


def test_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    source = server.source(pack(FILES))
    server.redirects["/old"] = f"/{NAME}"
    fetch(tmp_path, Source(f"{server.url}/old", NAME, source.md5, FOLDER))
    assert tree(tmp_path) == FILES


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_redirect_from_https_to_http_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, root = tmp_path / "certificate.pem", tmp_path / "root"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving(Server(_tls(certificate, tmp_path / "key.pem"))) as secure:
        secure.redirects["/voc"] = secure.source(pack(FILES)).url
        secure.redirects["/plain"] = server.source(pack(FILES)).url
        md5 = server.source(pack(FILES)).md5
        with pytest.raises(DownloadFailed, match="not https"):
            fetch(root, Source(f"{secure.url}/plain", NAME, md5, FOLDER))
        assert server.asked == []
        assert tree(root) == {}
        fetch(root, Source(f"{secure.url}/voc", NAME, md5, FOLDER))  # from https to https
    assert tree(root) == FILES


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """Create a self-signed certificate for 127.0.0.1 and return a TLS context."""
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    request += " -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_sources_equal_those_of_torchvision() -> None:
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    assert set(VOC_SOURCES) == {"2007", "2007-test", "2012"}
    for name, source in VOC_SOURCES.items():
        expected = {key: value for key, value in DATASET_YEAR_DICT[name].items() if key != "base_dir"}
        assert asdict(source) == {**expected, "folder": FOLDER, "inner": None}
        assert DATASET_YEAR_DICT[name]["base_dir"].startswith(FOLDER)


def test_unsafe_download_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchive):
        fetch(tmp_path, server.source(pack(FILES | {"VOCdevkit/../../escaped": b"x"})))
    assert tree(tmp_path) == {}
    assert not (tmp_path / "VOCdevkit").exists()
