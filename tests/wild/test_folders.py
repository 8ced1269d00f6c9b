"""Folders of images as people have them: read rightly, or what was skipped is counted and named."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import unitscope as us
from producer.datasets.caltech import read_caltech
from producer.datasets.choice import _images_of_file
from producer.datasets.cifar import read_cifar
from producer.datasets.folder import read_folder
from producer.datasets.reading import read_dataset
from shared.database.catalogue import FoundDataset, class_index, find_dataset, find_split, register
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from shared.errors import NotADataset
from tests.integration.cli.helpers import Home
from tests.wild.generators.folders import (
    HEIGHT,
    IGNORED,
    NO_IMAGES,
    SYSTEM,
    UNREADABLE,
    WIDTH,
    decomposed,
    encoded,
    files,
    images,
    odd_images,
    picture,
    splits,
)
from unitscope.api.images import class_folders, collect
from unitscope.api.network import find_class
from unitscope.data.images import read_image
from worker.kinds.common import _source


def sizes(found: FoundDataset) -> dict[str, int]:
    """Return the number of images by split."""
    return dict(Counter(split for image in found.images for split in image.splits))


def left_out(found: FoundDataset) -> dict[str, int]:
    return dict(Counter(problem.reason for problem in found.problems))


def noted(found: FoundDataset, *words: str) -> bool:
    """Return whether one of the notes has all these words."""
    return any(all(word in note for word in words) for note in found.notes)


# --- splits ---

NAMED = {
    "Roboflow": (["train", "valid", "test"], ["train", "val", "test"]),
    "validation": (["train", "validation"], ["train", "val"]),
    "Kaggle": (["Training", "Testing"], ["train", "test"]),
    "seg": (["seg_train", "seg_test"], ["train", "test"]),
    "upper case": (["Train", "Val"], ["train", "val"]),
    "capitals": (["TRAIN", "VALID"], ["train", "val"]),
    "sets": (["training_set", "test_set"], ["train", "test"]),
    "camel case": (["TrainImages", "ValImages"], ["train", "val"]),
    "years": (["train2017", "val2017"], ["train", "val"]),
    "beside other words": (["asl_alphabet_train", "asl_alphabet_test"], ["train", "test"]),
    "only val": (["val"], ["val"]),
    "plain": (["train", "test"], ["train", "test"]),
    "beside other words, wrapped": (["hands_train/hands_train", "hands_test/hands_test"], ["train", "test"]),
    "wrapped": (["ILSVRC/Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/val"], ["train", "val"]),
    "wrapped within": (["seg_train/seg_train", "seg_test/seg_test"], ["train", "test"]),
    "images": (["images/train", "images/val"], ["train", "val"]),
    "images within": (["train/images", "val/images"], ["train", "val"]),
}


@pytest.mark.parametrize("name", NAMED)
def test_splits_are_known_by_their_names(name: str, tmp_path: Path) -> None:
    folders, names = NAMED[name]
    found = read_folder(images(tmp_path / "data", splits(*folders)))
    assert found.class_names == ["cat", "dog"]
    assert found.options["splits"] == names
    assert sizes(found) == dict.fromkeys(names, 4)
    assert found.problems == []


def test_folders_that_are_taken_for_splits_are_named(tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "data", splits("Training", "Testing")))
    assert noted(found, "train: Training; test: Testing", "--split-folders")
    assert read_folder(images(tmp_path / "usual", splits("train", "val"))).notes == []


def test_splits_without_classes_are_splits_of_one_class(tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "pets", ["train/1.png", "train/2.png", "test/1.png"]))
    assert (found.class_names, sizes(found)) == (["pets"], {"train": 2, "test": 1})
    assert noted(found, "one class, pets")


CLASSES = {
    "vehicles": ["train/1.png", "car/2.png"],
    "with folders": ["test tube/a/1.png", "train station/b/2.png"],
    "one of two": ["testing/a/1.png", "deployed/b/2.png"],
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_with_such_names_stay_classes(name: str, tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "data", CLASSES[name]))
    assert found.class_names == sorted(path.split("/")[0] for path in CLASSES[name])
    assert noted(found, "--split-folders") == (name != "vehicles")


def test_what_lies_outside_of_the_splits_is_counted_and_named(tmp_path: Path) -> None:
    paths = [*splits("train", "val"), "holdout/cat/1.png", "seg_pred/2.png", "3.png", "train/4.png"]
    found = read_folder(images(tmp_path / "data", paths))
    assert left_out(found) == {"outside of the split folders": 3, "not in a class folder": 1}
    assert noted(found, "3 images", "--split-folders")


CHOSEN = {
    "train=Lehre,val=Probe": {"train": 4, "val": 4},
    "train=lehre,val=Probe,test=Probe": {"train": 4, "val": 4, "test": 4},
    "train=Lehre": {"train": 4},
}


@pytest.mark.parametrize("chosen", CHOSEN)
def test_split_folders_may_be_chosen(chosen: str, tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "data", splits("Lehre", "Probe")), split_folders=chosen)
    assert (found.class_names, sizes(found)) == (["cat", "dog"], CHOSEN[chosen])


def test_all_folders_may_be_chosen_as_classes(tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "data", splits("train", "test")), split_folders="none")
    assert found.class_names == ["test", "train"]


def test_a_chosen_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(NotADataset, match=r"no folder Probe.*Folders with images: Lehre"):
        read_folder(images(tmp_path / "data", splits("Lehre")), split_folders="train=Lehre,val=Probe")


def test_command_refuses_malformed_split_folders(home: Home, tmp_path: Path) -> None:
    root = images(tmp_path / "data", splits("train"))
    for chosen in ("train", "train=", "train=../x", "train=a,train=b", "=a"):
        done = home("dataset", "add", "folder", "--root", root, "--split-folders", chosen, code=2)
        assert "train=Training,val=Testing" in done.stderr, chosen


TRAINED = splits("train", classes=("n01", "n02"))
LISTS = {
    "tiny-ImageNet": (
        "val/images",
        "val/val_annotations.txt",
        "v0.JPEG\tn01\t0\t0\t9\t9\nv1.JPEG\tn02\t0\t0\t9\t9\n",
    ),
    "ImageNet": ("val", "LOC_val_solution.csv", "ImageId,PredictionString\nv0,n01 1 2 3 4\nv1,n02 5 6 7 8 \n"),
    "indices": ("val", "val.txt", "v0.JPEG 0\nv1.JPEG 1\n"),
    "a table with a heading": ("val", "Val.csv", 'Width,ClassId,Path\n9,n01,"Val/v0.JPEG"\n9,n02,"Val/v1.JPEG"\n'),
    "indices in a table with a heading": ("val", "val.csv", "file,label\nv0.JPEG,0\nv1.JPEG,1\n"),
    "with a BOM": ("val", "val.txt", "\ufeffval/v0.JPEG n01\r\nval/v1.JPEG n02\r\n"),
}


@pytest.mark.parametrize("name", LISTS)
def test_flat_val_is_read_with_its_list(name: str, tmp_path: Path) -> None:
    folder, path, content = LISTS[name]
    root = images(tmp_path / "data", [*TRAINED, *(f"{folder}/v{number}.JPEG" for number in range(3))])
    (root / path).write_text(content)
    found = read_folder(root)
    assert found.class_names == ["n01", "n02"]
    assert {Path(i.path).stem: i.class_name for i in found.images if "val" in i.splits} == {
        "v0": "n01",
        "v1": "n02",
    }
    assert left_out(found) == {f"no class in {path}": 1}
    assert noted(found, path)


def test_classes_with_blanks_are_read_from_a_list(tmp_path: Path) -> None:
    trained = splits("train", classes=("African elephant", "cat"))
    root = images(tmp_path / "data", [*trained, "val/image_1.JPEG", "val/v1.JPEG"])
    (root / "val.csv").write_text("image_1.JPEG,African elephant\nv1.JPEG,cat\n")
    found = read_folder(root)
    assert found.class_names == ["African elephant", "cat"]
    assert [i.class_name for i in found.images if "val" in i.splits] == ["African elephant", "cat"]


def test_two_folders_of_a_split_share_a_list(tmp_path: Path) -> None:
    root = images(tmp_path / "data", [*TRAINED, "val/v0.JPEG", "validation/v1.JPEG"])
    (root / "val.txt").write_text("v0.JPEG n01\nv1.JPEG n02\n")
    found = read_folder(root)
    assert [i.class_name for i in found.images if "val" in i.splits] == ["n01", "n02"]
    assert not found.problems


def test_flat_val_without_a_list_is_left_out_and_named(tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "data", [*TRAINED, "val/images/1.JPEG", "val/images/2.JPEG"]))
    assert (found.class_names, sizes(found)) == (["n01", "n02"], {"train": 4})
    assert left_out(found) == {"not in a class folder": 2}
    assert noted(found, "val", "2 images", "val_annotations.txt")


def test_numbers_of_another_order_are_not_used(tmp_path: Path) -> None:
    """ImageNet's own ground truth counts from 1."""
    root = files(images(tmp_path / "data", [*TRAINED, "val/v0.JPEG"]), {"val.txt": b"v0.JPEG 1\nv1.JPEG 2\n"})
    found = read_folder(root)
    assert (sizes(found), left_out(found)) == ({"train": 4}, {"no class in val.txt": 1})


def test_classes_that_differ_between_the_splits_are_named(tmp_path: Path) -> None:
    paths = [*splits("train"), *splits("val", classes=("cat", "bird"))]
    found = read_folder(images(tmp_path / "data", paths))
    assert noted(found, "val", "no images of dog")
    assert noted(found, "train", "no images of bird")


def test_kaggle_asl_alphabet(tmp_path: Path) -> None:
    """Its test images are in no class folders."""
    paths = [*splits("asl_alphabet_train/asl_alphabet_train"), "asl_alphabet_test/asl_alphabet_test/A_test.png"]
    found = read_folder(images(tmp_path / "data", paths))
    assert (found.class_names, sizes(found)) == (["cat", "dog"], {"train": 4})
    assert left_out(found) == {"not in a class folder": 1}


def test_kaggle_chest_xray(tmp_path: Path) -> None:
    """It holds a copy of itself."""
    paths = splits("train", "val", "test")
    copy = [f"chest_xray/chest_xray/{path}" for path in paths]
    found = read_folder(images(tmp_path / "data", [*(f"chest_xray/{path}" for path in paths), *copy]))
    assert (found.class_names, sizes(found)) == (["cat", "dog"], {"train": 4, "val": 4, "test": 4})
    assert left_out(found) == {"outside of the split folders": 12}


def test_oxford_pets(tmp_path: Path) -> None:
    """Masks lie beside a folder of all images."""
    found = read_folder(images(tmp_path / "data", ["images/a_1.png", "annotations/trimaps/a_1.png"]))
    assert noted(found, "images is read as a class", "--root")


# --- folders around and beside the classes ---


@pytest.mark.parametrize("around", ["archive", "archive/PetImages", "a/b/c"])
def test_wrapping_folders_are_no_classes(around: str, tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "data", [f"{around}/cat/1.png", f"{around}/dog/2.png"]))
    assert found.class_names == ["cat", "dog"]
    assert noted(found, around)


def test_a_flat_folder_has_one_class(tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "holidays", [f"{number}.png" for number in range(4)]))
    assert (found.class_names, len(found.images)) == (["holidays"], 4)
    assert noted(found, "one class, holidays")


def test_a_flat_folder_keeps_its_class_when_it_is_moved(tmp_path: Path) -> None:
    root = images(tmp_path / "holidays", ["1.png", "2.png"])
    before = read_dataset("folder", root, {}, lambda done, total: None)
    moved = read_dataset(
        "folder", root.rename(tmp_path / "moved"), before.options["chosen"], lambda done, total: None
    )
    assert (moved.class_names, moved.fingerprint) == (["holidays"], before.fingerprint)


def test_folders_of_systems_are_ignored_and_named(tmp_path: Path) -> None:
    root = images(tmp_path / "data", ["cat/1.png", "dog/2.png", *IGNORED])
    (root / "empty").mkdir()
    found = read_folder(root)
    assert found.class_names == ["cat", "dog"]
    assert noted(found, "Ignored", "@eaDir", "and 1 more")
    assert noted(found, "without an image", "empty")
    assert class_folders(root).class_names == ("cat", "dog")


@pytest.mark.parametrize("kind", ["caltech101", "cifar10"])
def test_other_kinds_ignore_and_name_them_too(kind: str, tmp_path: Path) -> None:
    if kind == "cifar10":
        paths = [*splits("train", "test"), "train/@eaDir/1.png", "test/loose.png"]
        found = read_cifar(images(tmp_path / "data", paths), kind)
    else:
        paths = ["cat/1.png", "dog/2.jpe", "@eaDir/1.png", "loose.png"]
        found = read_caltech(images(tmp_path / "101_ObjectCategories", paths), kind)
    assert found.class_names == ["cat", "dog"]
    assert left_out(found) == {"not in a class folder": 1}
    assert noted(found, "Ignored", "@eaDir")


@pytest.mark.parametrize(("path", "empty"), [("cat/1.png", "val"), ("cat/0.png", "train")])
def test_an_empty_hashed_split_says_how_to_choose(path: str, empty: str, tmp_path: Path) -> None:
    found = read_folder(images(tmp_path / "data", [path]))
    assert noted(found, f"Split {empty} is empty", "train/CLASS")


def test_equal_files_in_two_classes_or_splits_are_named(tmp_path: Path) -> None:
    paths = [*splits("train"), *splits("val")]
    root = files(tmp_path / "data", {path: encoded() for path in paths})
    found = read_folder(root)
    assert noted(found, "8 files", "more than one class")
    assert noted(found, "8 files", "both train and val")


# --- kinds of files ---


def test_odd_images_are_read_by_content(tmp_path: Path) -> None:
    contents = {f"odd/{name}": content for name, content in odd_images().items()}
    found = read_folder(files(tmp_path / "data", {**contents, "ok/1.jpg": encoded()}))
    assert left_out(found) == {}
    assert {image.path for image in found.images} == {*contents, "ok/1.jpg"}


def test_images_that_cannot_be_read_are_counted_with_the_remedy(tmp_path: Path) -> None:
    contents = {f"odd/{name}": content for name, (content, _) in UNREADABLE.items()}
    found = read_folder(files(tmp_path / "data", {**contents, "odd/ok.jpg": encoded()}))
    assert [image.path for image in found.images] == ["odd/ok.jpg"]
    assert {p.path: p.reason for p in found.problems} == {
        f"odd/{name}": UNREADABLE[name][1] for name in UNREADABLE
    }


def test_files_that_are_no_images_are_named_except_those_of_systems(tmp_path: Path) -> None:
    contents = {f"cat/{name}": b"P3 is no image" for name in (*NO_IMAGES, *SYSTEM)}
    found = read_folder(files(tmp_path / "data", {**contents, "cat/1.jpg": encoded()}))
    assert (len(found.images), found.problems) == (1, [])
    assert noted(found, f"{len(NO_IMAGES)} of the files are no images")


def test_notes_can_name_any_file(tmp_path: Path, database: Database) -> None:
    root = images(tmp_path / "data", ["cat/1.png", "[red]/2.png", "[red]/@eaDir/3.png"])
    for name in (b"\xff.txt", b"\x1b[2J.txt"):
        (root / "cat" / os.fsdecode(name)).write_text("")
    found = read_dataset("folder", root, {}, lambda done, total: None)
    register(database, "odd", found)
    assert noted(found, "2 of the files", "cat/\\x1b[2J.txt", "cat/\\udcff.txt")
    assert noted(found, "[red]/@eaDir")


def test_an_archive_that_is_not_unpacked_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotADataset, match=r"Unpack images\.zip first"):
        read_folder(files(tmp_path / "data", {"images.zip": b"PK"}))


# --- links ---


def test_links_made_by_the_owner_are_followed(tmp_path: Path) -> None:
    real = images(tmp_path / "real", ["cat/1.png", "dog/2.png"])
    root = tmp_path / "data"
    (root / "dog").mkdir(parents=True)
    (root / "cat").symlink_to(real / "cat")
    (root / "dog" / "2.png").symlink_to(real / "dog" / "2.png")
    (root / "dog" / "up").symlink_to(root)
    (tmp_path / "entry").symlink_to(root)
    found = read_folder(tmp_path / "entry")
    assert [(image.path, image.class_name) for image in found.images] == [
        ("cat/1.png", "cat"),
        ("dog/2.png", "dog"),
    ]
    assert found.problems == []
    assert noted(found, "Not followed", "dog/up")


def test_a_pool_that_the_classes_link_to_is_no_class(tmp_path: Path) -> None:
    root = images(tmp_path / "data", ["pool/cat1.png", "pool/dog1.png"])
    for name in ("cat", "dog"):
        (root / name).mkdir()
        (root / name / "1.png").symlink_to(f"../pool/{name}1.png")
    found = read_folder(root)
    assert found.class_names == ["cat", "dog"]
    assert noted(found, "pool", "no class")


# --- Unicode spellings ---


def test_two_spellings_are_one_class(tmp_path: Path) -> None:
    root = images(tmp_path / "data", ["café/1.png", f"{decomposed('café')}/2.png", "Cat/3.png", "cat/4.png"])
    found = read_folder(root)
    assert found.class_names == ["Cat", "café", "cat"]
    assert noted(found, "spelled in two ways", "café")
    assert noted(found, "upper and lower case", "Cat, cat")
    assert class_folders(root).class_names == ("Cat", "café", "cat")


def test_names_are_found_in_both_spellings(tmp_path: Path, database: Database) -> None:
    path = f"{decomposed('naïve')}/{decomposed('ü')}.png"
    found = read_folder(images(tmp_path / "data", [path, "b/2.png"]))
    register(database, "été", found)
    with database.read() as session:
        dataset = find_dataset(session, decomposed("été"))
        assert dataset.name == "été"
        assert class_index(dataset, decomposed("naïve")) == class_index(dataset, "naïve") == 1
        assert find_split(session, dataset, "all") == ("all", 2)
        assert len(_images_of_file(session, dataset, Path("naïve/ü.png"))) == 1
    assert register(database, decomposed("été"), found) == (dataset.id, False)


def test_an_update_keeps_the_spelling_of_earlier_versions(home: Home, tmp_path: Path) -> None:
    name = decomposed("naïve")
    root = images(tmp_path / "data", [f"{name}/1.png", "b/2.png"])
    database = Database(f"sqlite:///{home.home / 'unitscope.sqlite3'}")
    register(database, "decomposed", read_folder(root, known_classes=[name, "b"]))
    assert "the content is the same" in home("dataset", "update", "decomposed").stdout


def test_names_stored_by_earlier_versions_are_found_in_both_spellings() -> None:
    dataset = Dataset(name="x", class_names=["b", decomposed("naïve")])
    assert class_index(dataset, "naïve") == class_index(dataset, decomposed("naïve")) == 1


def test_network_classes_are_found_in_both_spellings() -> None:
    network = us.load_network("zfnet", classes=2, size=64, class_names=["b", "naïve"])
    assert find_class(network, "target", decomposed("naïve")) == 1


# --- EXIF orientation ---


def turned(tmp_path: Path, orientation: int = 6) -> Path:
    content = encoded("PNG", picture(), orientation)
    return files(tmp_path / "data", {"cat/1.png": content, "dog/2.png": encoded("PNG", picture(1))})


def test_turned_photographs_have_another_fingerprint(tmp_path: Path) -> None:
    root = turned(tmp_path)
    stored, upright = read_folder(root), read_folder(root, upright=True)
    assert [(i.width, i.height) for i in stored.images] == [(WIDTH, HEIGHT)] * 2
    assert [(i.width, i.height) for i in upright.images] == [(HEIGHT, WIDTH), (WIDTH, HEIGHT)]
    assert stored.fingerprint != upright.fingerprint
    assert noted(upright, "turned upright", ": 1 of 2 ", "--orientation stored")
    assert noted(stored, "lie on their side or are mirrored: 1 of 2.", "--orientation exif")


def test_without_turned_photographs_the_fingerprint_stays(tmp_path: Path) -> None:
    root = turned(tmp_path, orientation=1)
    assert read_folder(root).fingerprint == read_folder(root, upright=True).fingerprint


def test_library_turns_photographs(tmp_path: Path) -> None:
    root = turned(tmp_path)
    (source, _) = class_folders(root).sources
    (alone,) = collect(root / "cat" / "1.png").sources
    expected = np.asarray(
        Pillow.fromarray(np.rot90(np.asarray(picture()), -1)).resize((32, 32), Pillow.Resampling.BILINEAR)
    )
    for image in (source, alone):
        np.testing.assert_array_equal(read_image(image, 32), expected)


def test_command_turns_photographs_and_keeps_those_of_earlier_versions(home: Home, tmp_path: Path) -> None:
    root = turned(tmp_path)

    def add(name: str, *options: str) -> None:
        home("dataset", "add", "folder", "--root", root, "--name", name, *options)

    def fingerprint(name: str) -> str:
        return str(json.loads(home("dataset", "show", name, "--json").stdout)["fingerprint"])

    add("turned")
    add("lying", "--orientation", "stored")
    assert fingerprint("turned") == read_folder(root, upright=True).fingerprint
    assert fingerprint("lying") == read_folder(root).fingerprint
    # A data set of an earlier version has no record of the orientation.
    home.change('UPDATE datasets SET options = \'{"splits": ["all"], "chosen": {}}\' WHERE name = \'lying\'')
    for name in ("turned", "lying"):
        assert "the content is the same" in home("dataset", "update", name).stdout
        add(name)  # again: it is registered already


def test_an_update_of_a_folder_that_moved_names_the_option(home: Home, tmp_path: Path) -> None:
    root = turned(tmp_path)
    home("dataset", "add", "folder", "--root", root, "--name", "moved")
    root.rename(tmp_path / "elsewhere")
    assert "`analyze dataset update moved --root PATH`" in home("dataset", "update", "moved", code=2).stderr
    updated = home("dataset", "update", "moved", "--root", tmp_path / "elsewhere").stdout
    assert f"moved: the content is the same, 2 images at {tmp_path / 'elsewhere'}." in updated


@pytest.mark.parametrize("upright", [True, False])
def test_worker_reads_photographs_as_the_data_set_says(upright: bool, tmp_path: Path) -> None:
    found = read_folder(turned(tmp_path), upright=upright)
    image = found.images[0]
    row = Image(id=1, path=image.path, class_index=0, width=image.width, height=image.height, sha256=image.sha256)
    source = _source(Dataset(root=found.root, options=found.options), row, 0)
    pixels = Pillow.open(Path(found.root) / image.path).convert("RGB")
    expected = pixels.transpose(Pillow.Transpose.ROTATE_270) if upright else pixels
    resized = expected.resize((24, 24), Pillow.Resampling.BILINEAR)
    np.testing.assert_array_equal(read_image(source, 24), np.asarray(resized))
