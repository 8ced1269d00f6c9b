"""Downloading VOC: from a real server on this machine, with archives that the tests make."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from producer.datasets import download
from producer.datasets.download import VOC_SOURCES, Source, download_voc, extract
from shared.errors import DownloadFailed, UnsafeArchive

NAME = "voc.tar"
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


def pack(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
    """A tar with these files, then these members without content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def tree(root: Path) -> dict[str, bytes]:
    """The files below a folder, without those whose names begin with a dot."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


class Server:
    """Serves ``pages`` (path -> content), sends ``redirects`` (path -> URL) on, counts what is asked for."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.http.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                if self.path in server.redirects:
                    self.send_response(302)
                    self.send_header("Location", server.redirects[self.path])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif self.path in server.pages:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(server.pages[self.path])))
                    self.end_headers()
                    self.wfile.write(server.pages[self.path])
                else:
                    self.send_error(404)

            def log_message(self, *args: object) -> None:
                """Nothing: it would go to stderr."""

        return Handler

    def source(self, content: bytes, name: str = NAME) -> Source:
        """Serve this archive."""
        self.pages[f"/{name}"] = content
        return Source(f"{self.url}/{name}", name, hashlib.md5(content, usedforsecurity=False).hexdigest())


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


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
    with socket.socket() as reserved:  # bound, but nobody listens
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/{NAME}"
        with pytest.raises(DownloadFailed, match="refused"):
            fetch(tmp_path, Source(url, NAME, "0" * 32))
    assert tree(tmp_path) == {}


def test_unwritable_root_is_a_failed_download(server: Server, tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.touch()
    with pytest.raises(DownloadFailed, match="exists"):
        fetch(root, server.source(pack(FILES)))


def test_full_disk_leaves_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_a_little(source: io.BytesIO, target: io.BytesIO, *args: object) -> None:
        target.write(b"\xff")
        raise OSError(errno.ENOSPC, "No space left on device")

    source = server.source(pack(FILES))
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "copyfileobj", write_a_little)
        with pytest.raises(DownloadFailed, match="No space left"):
            fetch(tmp_path, source)
    assert tree(tmp_path) == {}
    fetch(tmp_path, source)
    assert tree(tmp_path) == FILES


def test_move_cut_off_half_way_adds_no_split(
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
    fetch(tmp_path, Source(f"{server.url}/old", NAME, source.md5))
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
            fetch(root, Source(f"{secure.url}/plain", NAME, md5))
        assert server.asked == []
        assert tree(root) == {}
        fetch(root, Source(f"{secure.url}/voc", NAME, md5))  # from https to https
    assert tree(root) == FILES


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1, signed by itself."""
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    request += " -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_sources_are_those_of_torchvision() -> None:
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    assert set(VOC_SOURCES) == {"2007", "2007-test", "2012"}
    for name, source in VOC_SOURCES.items():
        expected = {key: value for key, value in DATASET_YEAR_DICT[name].items() if key != "base_dir"}
        assert asdict(source) == expected
        assert DATASET_YEAR_DICT[name]["base_dir"].startswith(download.TOP_FOLDER)


# --- Archives that are refused -------------------------------------------------------------------

# Name -> (the archive, the reason given). The reasons are those of our own check: tarfile's filter comes second.
UNSAFE: dict[str, tuple[bytes, str]] = {
    "parent": (pack(FILES | {"VOCdevkit/../../escaped": b"x"}), "leads out of its folder"),
    "parent and back": (pack(FILES | {"VOCdevkit/../VOCdevkit/x": b"x"}), "leads out of its folder"),
    "absolute": (pack(FILES | {"/VOCdevkit/escaped": b"x"}), "is an absolute path"),
    "other folder": (pack(FILES | {"elsewhere/file": b"x"}), "not in the folder VOCdevkit"),
    "file as top folder": (pack({"VOCdevkit": b"x"}), "not in the folder VOCdevkit"),
    "symlink": (pack(FILES, special("VOCdevkit/link", tarfile.SYMTYPE, "/etc/passwd")), "neither a file"),
    "symlink inside": (pack(FILES, special("VOCdevkit/link", tarfile.SYMTYPE, "VOC2007")), "neither a file"),
    "hardlink": (pack(FILES, special("VOCdevkit/link", tarfile.LNKTYPE, next(iter(FILES)))), "neither a file"),
    "device": (pack(FILES, special("VOCdevkit/null", tarfile.CHRTYPE)), "neither a file"),
    "pipe": (pack(FILES, special("VOCdevkit/pipe", tarfile.FIFOTYPE)), "neither a file"),
    "empty": (pack({}), "is empty"),
    "no archive": (b"<html>not an archive</html>" * 100, "is damaged"),
    "no bytes": (b"", "is damaged"),
    "cut off in a file": (pack(FILES)[: 512 * 6], "is damaged"),
    "cut off in a header": (pack(FILES)[: 512 * 2 + 100], "is damaged or cut off"),
    "broken header": (pack(FILES)[: 512 * 2] + b"\x01" * 512 + pack(FILES)[512 * 3 :], "is damaged or cut off"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_archive_is_refused(name: str, tmp_path: Path) -> None:
    content, reason = UNSAFE[name]
    root, archive = tmp_path / "deep" / "root", tmp_path / NAME
    archive.write_bytes(content)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UnsafeArchive, match=f"{reason}.*Nothing was unpacked"):
        extract(archive, root)
    assert set(tmp_path.rglob("*")) - before == {root, root.parent}


@pytest.mark.parametrize(("limit", "value"), [("MAX_UNPACKED_BYTES", 5000), ("MAX_MEMBERS", 2)])
def test_too_large_archive_is_refused(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / NAME
    archive.write_bytes(pack(FILES))
    monkeypatch.setattr(download, limit, value)
    with pytest.raises(UnsafeArchive, match=str(value)):
        extract(archive, tmp_path)
    assert not (tmp_path / "VOCdevkit").exists()


def test_size_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    """A header may promise more than the file holds."""
    huge = tarfile.TarInfo("VOCdevkit/huge")
    huge.size = download.MAX_UNPACKED_BYTES + 1
    archive = tmp_path / NAME
    archive.write_bytes(huge.tobuf() + bytes(1024))
    with pytest.raises(UnsafeArchive, match="unpacks to more"):
        extract(archive, tmp_path)
    assert list(tmp_path.iterdir()) == [archive]


def test_unsafe_download_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchive):
        fetch(tmp_path, server.source(UNSAFE["parent"][0]))
    assert tree(tmp_path) == {}
    assert not (tmp_path / "VOCdevkit").exists()


def test_modes_of_the_archive_are_made_harmless(tmp_path: Path) -> None:
    member = tarfile.TarInfo("VOCdevkit/program")
    member.mode = 0o6777
    archive = tmp_path / NAME
    archive.write_bytes(pack({}, member))
    extract(archive, tmp_path)
    assert (tmp_path / "VOCdevkit" / "program").stat().st_mode & 0o7022 == 0
