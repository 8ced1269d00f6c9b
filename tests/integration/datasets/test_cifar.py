"""CIFAR: all its formats give the same images, which are written once; broken files give one clear error."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from producer.datasets.cifar import image_folder, read_cifar
from producer.datasets.cifar.files import read_files
from producer.datasets.download import SOURCES, download
from shared.errors import FileNotWritable, FolderNotEmpty, NotADataset, UnsafeArchive
from tests.conftest import Analyze
from tests.integration.datasets.cifar import (
    FILES,
    FOLDERS,
    NAMES,
    dumped,
    labels_of,
    pixels_of,
    write_binary,
    write_pickled,
)
from tests.integration.datasets.helpers import write_folder
from tests.integration.serving import Server, tree
from unitscope.errors import DownloadFailed

KINDS = ("cifar10", "cifar100")
FORMATS: dict[str, Callable[[Path, str], Path]] = {
    "binary": write_binary,
    "pickled by Python 2": write_pickled,
    "pickled by Python 3, protocol 3": lambda parent, kind: write_pickled(parent, kind, 3),
    "pickled by Python 3, protocol 4": lambda parent, kind: write_pickled(parent, kind, 4),
}


# --- Formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_images_equal_those_of_the_files(form: str, kind: str, tmp_path: Path) -> None:
    root = image_folder(FORMATS[form](tmp_path, kind), kind, tmp_path / "target")
    dataset = read_cifar(root, kind)
    assert (dataset.kind, dataset.root, dataset.class_names) == (kind, str(tmp_path / "target"), NAMES[kind])
    images = {image.path: image for image in dataset.images}
    for split, splits in (("train", ("train",)), ("test", ("test", "val"))):
        pixels = pixels_of(kind, split)
        for number, label in enumerate(labels_of(kind, split)):
            image = images.pop(f"{split}/{NAMES[kind][label]}/{number:05}.png")
            assert (image.class_index, image.splits, image.width, image.height) == (label, splits, 32, 32)
            written = np.asarray(Image.open(root / image.path))
            assert np.array_equal(written, pixels[number].transpose(1, 2, 0))
    assert not images
    assert not dataset.problems


@pytest.mark.parametrize("form", FORMATS)
def test_parent_folder_is_accepted(form: str, tmp_path: Path) -> None:
    FORMATS[form](tmp_path / "data", "cifar10")
    assert image_folder(tmp_path / "data", "cifar10", tmp_path / "target") == tmp_path / "target"


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_read_as_by_torchvision(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10, CIFAR100

    original = {"cifar10": CIFAR10, "cifar100": CIFAR100}[kind]
    monkeypatch.setattr(original, "_check_integrity", lambda self: True)  # the test files have fewer images
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *arguments: True)
    write_pickled(tmp_path, kind)
    files = read_files(tmp_path, kind)
    for split in ("train", "test"):
        theirs = original(tmp_path, train=split == "train")
        ours = list(files.images(split))
        assert np.array_equal(np.stack([pixels for pixels, _ in ours]), theirs.data)
        assert [name for _, name in ours] == [theirs.classes[label] for label in theirs.targets]


def test_existing_image_folder_is_used_directly(tmp_path: Path) -> None:
    paths = ["train/cat/a.png", "train/dog/a.png", "train/dog/b.jpg", "test/cat/a.png", "val/cat/a.png"]
    root = write_folder(tmp_path / "data", paths)
    (root / "train" / "cat" / "broken.png").write_bytes(b"no image")
    assert image_folder(root, "cifar10", tmp_path / "target") == root
    dataset = read_cifar(root, "cifar10")
    assert not (tmp_path / "target").exists()
    assert {image.path: image.splits for image in dataset.images} == {
        "train/cat/a.png": ("train",),
        "train/dog/a.png": ("train",),
        "train/dog/b.jpg": ("train",),
        "test/cat/a.png": ("test", "val"),
    }
    assert [(problem.path, problem.reason) for problem in dataset.problems] == [
        ("train/cat/broken.png", "broken image")
    ]


def test_class_name_that_is_not_valid_text_is_a_problem(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ["train/cat/a.png", "test/cat/a.png"])
    odd = Path(os.fsdecode(os.fsencode(root) + b"/train/\xff"))
    (root / "train" / "cat").rename(odd)
    dataset = read_cifar(root, "cifar10")
    assert (dataset.class_names, len(dataset.images), len(dataset.problems)) == (["cat"], 1, 1)


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ([], "neither cifar-10-batches-bin"),
        (["train/cat/a.png"], "nor folders train and test"),
        (["train/a.png", "test/a.png"], "nor folders train and test"),
        (["train/cat/a.txt", "test/cat/a.txt"], "no folder in its train and test has images"),
        ([f"{split}/{number}/a.png" for split in FILES["cifar10"] for number in range(11)], "it has 11 classes"),
    ],
)
def test_folder_without_the_data_set_is_refused(paths: list[str], reason: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    root = write_folder(tmp_path / "data", paths)
    with pytest.raises(NotADataset, match=reason):
        read_cifar(image_folder(root, "cifar10", tmp_path / "target"), "cifar10")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_data_set_is_refused(kind: str, tmp_path: Path) -> None:
    (other,) = set(KINDS) - {kind}
    for form in (write_binary, write_pickled):
        with pytest.raises(NotADataset, match=f"kind '{kind}'"):
            image_folder(form(tmp_path, other), kind, tmp_path / "target")


# --- Writing images ------------------------------------------------------------------------------


def test_second_call_reuses_the_images(tmp_path: Path) -> None:
    target = tmp_path / "home" / "target"
    image_folder(write_binary(tmp_path), "cifar10", target)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    image_folder(write_pickled(tmp_path), "cifar10", target)  # the same images
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before
    assert {path.name for path in target.parent.iterdir()} == {"target", ".target.lock"}


def test_images_of_other_files_are_not_reused(tmp_path: Path) -> None:
    folder, target = write_binary(tmp_path), tmp_path / "target"
    image_folder(folder, "cifar10", target)
    before = tree(target)
    content = bytearray((folder / "test_batch.bin").read_bytes())
    content[-1] ^= 1
    (folder / "test_batch.bin").write_bytes(content)
    with pytest.raises(FolderNotEmpty, match="--name"):
        image_folder(folder, "cifar10", target)
    assert tree(target) == before


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_target_with_other_content_is_refused_and_not_changed(taken: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if taken == "file":
        target.write_text("mine")
    else:
        write_folder(target, ["cat/a.png"])
    before = tree(tmp_path)
    with pytest.raises(FolderNotEmpty):
        image_folder(write_binary(tmp_path / "data"), "cifar10", target)
    assert {name: content for name, content in tree(tmp_path).items() if not name.startswith("data")} == before


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, target, saved = write_binary(tmp_path / "data"), tmp_path / "home" / "target", []
    real_save = Image.Image.save

    def save(self: Image.Image, path: Path, **options: object) -> None:
        saved.append(path)
        if len(saved) == 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_save(self, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", save)
        with pytest.raises(FileNotWritable, match="No space left"):
            image_folder(root, "cifar10", target)
    assert tree(tmp_path / "home") == {}
    assert not target.exists()
    image_folder(root, "cifar10", target)
    assert len(list(target.rglob("*.png"))) == sum(len(labels_of("cifar10", split)) for split in FILES["cifar10"])


def test_incomplete_images_of_a_killed_command_are_rewritten(tmp_path: Path) -> None:
    write_folder(tmp_path / ".target.unfinished", ["train/cat/left_over.png"])
    image_folder(write_binary(tmp_path / "data"), "cifar10", tmp_path / "target")
    assert not (tmp_path / ".target.unfinished").exists()
    assert not list(tmp_path.rglob("left_over.png"))


def test_fingerprint_is_the_same_for_both_versions(tmp_path: Path) -> None:
    roots = [
        image_folder(form(tmp_path / name, "cifar10"), "cifar10", tmp_path / name / "target")
        for name, form in (("binary", write_binary), ("pickled", write_pickled))
    ]
    first, second = (read_cifar(root, "cifar10").fingerprint for root in roots)
    assert first == second


# --- Broken files --------------------------------------------------------------------------------


def cut(count: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:-count]


def label(value: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:3073] + bytes([value]) + content[3074:]


BROKEN_BINARY: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "cut off": ("data_batch_2.bin", cut(1), "not a whole number of records of 3073 bytes"),
    "too long": ("data_batch_5.bin", lambda content: content + b"x", "not a whole number of records"),
    "empty": ("test_batch.bin", lambda content: b"", "not a whole number of records"),
    "label": ("data_batch_1.bin", label(10), "label of image 1 is not an integer from 0 to 9"),
    "names missing": ("batches.meta.txt", lambda content: content.replace(b"truck", b""), "9 classes, not 10"),
    "too many names": ("batches.meta.txt", lambda content: content + b"bus\n", "11 classes, not 10"),
    "a path for a name": ("batches.meta.txt", lambda content: content.replace(b"cat", b"../cat"), "class 3"),
    "a hidden name": ("batches.meta.txt", lambda content: content.replace(b"cat", b".cat"), "class 3"),
    "name of any bytes": ("batches.meta.txt", lambda content: content.replace(b"cat", b"c\xff\x1b"), "class 3"),
    "endless name": ("batches.meta.txt", lambda content: content.replace(b"cat", b"c" * 300), "class 3"),
    "the same name": ("batches.meta.txt", lambda content: content.replace(b"cat", b"DOG"), "a class twice"),
}


@pytest.mark.parametrize("name", BROKEN_BINARY)
def test_broken_binary_file_gives_one_error(name: str, tmp_path: Path) -> None:
    file, change, reason = BROKEN_BINARY[name]
    folder = write_binary(tmp_path)
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    with pytest.raises(NotADataset, match=f"{file}: .*{reason}"):
        image_folder(folder, "cifar10", tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", ["missing", "folder", "pipe"])
def test_missing_or_special_file_gives_one_error(name: str, tmp_path: Path) -> None:
    folder = write_binary(tmp_path)
    (folder / "data_batch_3.bin").unlink()
    if name == "folder":
        (folder / "data_batch_3.bin").mkdir()
    if name == "pipe":
        os.mkfifo(folder / "data_batch_3.bin")
    with pytest.raises(NotADataset, match=r"data_batch_3\.bin: the file does not exist"):
        image_folder(folder, "cifar10", tmp_path / "target")


def test_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_binary(tmp_path)
    with (folder / "test_batch.bin").open("r+b") as file:
        file.truncate(2**40)  # a sparse file
    with pytest.raises(NotADataset, match=f"it has {2**40} bytes, more than"):
        image_folder(folder, "cifar10", tmp_path / "target")


# --- Downloads -----------------------------------------------------------------------------------


def packed(folder: Path) -> bytes:
    """Build a compressed tar file of a folder."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.add(folder, folder.name)
    return content.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_download_can_be_read(kind: str, server: Server, tmp_path: Path) -> None:
    original = SOURCES[kind]
    folder = write_binary(tmp_path / "made", kind)
    assert original.folder == folder.name
    source = server.source(packed(folder), original.filename, original.folder, original.inner)
    for _ in range(2):
        download(tmp_path / "root", [source], progress=False)
    assert server.asked == [f"/{original.filename}"]
    assert tree(tmp_path / "root" / folder.name) == tree(folder)
    image_folder(tmp_path / "root", kind, tmp_path / "target")


def test_interrupted_download_keeps_nothing(server: Server, tmp_path: Path) -> None:
    content = packed(write_binary(tmp_path / "made"))
    source = server.source(content[: len(content) // 2], "cifar.tar.gz", "cifar-10-batches-bin")
    with pytest.raises(UnsafeArchive, match="damaged"):
        download(tmp_path / "root", [source], progress=False)
    assert tree(tmp_path / "root") == {}
    server.pages["/cifar.tar.gz"] = content
    with pytest.raises(DownloadFailed, match="does not match"):
        download(tmp_path / "root", [source], progress=False)
    assert tree(tmp_path / "root") == {}


# --- The command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_command_registers_and_shows_the_data_set(kind: str, tmp_path: Path, analyze: Analyze) -> None:
    folder = write_binary(tmp_path / "data", kind)
    train, test = (len(labels_of(kind, split)) for split in ("train", "test"))
    first = analyze("dataset", "add", kind, "--root", folder)
    assert first.stdout == f"{kind}\n"
    assert f"Registered {kind}: {train + test} images of {len(NAMES[kind])} classes, 0 left out" in first.stderr
    assert "is already registered" in analyze("dataset", "add", kind, "--root", folder.parent).stderr
    shown = analyze.json("dataset", "show", kind)
    assert shown["root"] == str(analyze.home / "datasets" / kind)
    assert (shown["kind"], shown["images"], shown["left_out"]) == (kind, train + test, [])
    assert shown["splits"] == {"train": train, "val": test, "test": test}
    expected = Counter(labels_of(kind, "train"))
    assert [shown["classes"][name]["train"] for name in NAMES[kind]] == [expected[n] for n in range(len(expected))]
    assert NAMES[kind][0] in analyze("dataset", "show", kind).stdout


def test_command_keeps_two_data_sets_apart(tmp_path: Path, analyze: Analyze) -> None:
    binary, pickled = write_binary(tmp_path), write_pickled(tmp_path)
    analyze("dataset", "add", "cifar10", "--root", binary)
    analyze("dataset", "add", "cifar10", "--root", pickled, "--name", "mine")
    (pickled / "test_batch").write_bytes(dumped({"data": 1, "labels": []}))
    refused = analyze("dataset", "add", "cifar10", "--root", pickled, code=2)
    assert "test_batch: it has no array data" in " ".join(refused.stderr.split())
    assert {row["name"] for row in analyze.json("dataset", "ls")} == {"cifar10", "mine"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cifar10",), ("--root", "--download")),
        (("cifar100", "--root", "@"), ("@", FOLDERS["cifar100"], "train and test")),
        (("cifar10", "--root", "@/no/such"), ("not an existing folder",)),
        (("cifar10", "--root", "@", "--background"), ("--background",)),
        (("cifar10", "--root", "@", "--year", "2007"), ("--year",)),
    ],
)
def test_command_refuses_invalid_arguments(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path, analyze: Analyze
) -> None:
    given = [argument.replace("@", str(tmp_path)) for argument in arguments]
    refused = analyze("dataset", "add", *given, code=2)
    assert all(word.replace("@", str(tmp_path)) in refused.stderr for word in words), refused.stderr


def test_command_whose_download_fails_keeps_nothing(analyze: Analyze) -> None:
    analyze.environment |= dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    refused = analyze("dataset", "add", "cifar10", "--download", code=2)
    assert "cifar-10-binary.tar.gz could not be downloaded" in " ".join(refused.stderr.split())
    assert "--root" in refused.stderr
    assert not (analyze.home / "datasets").exists()
    assert analyze.json("dataset", "ls") == []
