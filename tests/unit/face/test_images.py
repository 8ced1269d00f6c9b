"""Image arguments: folders, files and images in memory; unreadable images are reported by name."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import unitscope as us
from unitscope.api.images import ImageSet, class_folders, collect, report_skipped
from unitscope.data.images import ImageSource, Skipped, batches, read_image
from unitscope.errors import ImageNotReadable, InvalidArgument, NoSuchFile
from unitscope.images.files import image_files, is_validation_image

SIZE = 16


def all_pixels(images: ImageSet, batch_size: int = 5) -> tuple[torch.Tensor, list[Skipped]]:
    skipped: list[Skipped] = []
    result = [batch.pixels[: len(batch.sources)] for batch in images.batches(batch_size, SIZE, skipped)]
    return torch.cat(result), skipped


def test_subfolders_are_the_classes(photos: Path, paths: list[Path]) -> None:
    for given in (photos, str(photos), f"{photos}/"):
        result = collect(given)
        assert result.class_names == ("blue", "green", "red")
        assert [source.path for source in result.sources] == paths
        assert [source.id for source in result.sources] == list(range(24))
        assert [source.label for source in result.sources] == [0] * 8 + [1] * 8 + [2] * 8
        assert (result.class_of(9), result.name(9)) == ("green", str(photos / "green" / "1.png"))


def test_a_folder_of_images_has_no_classes(photos: Path, tmp_path: Path) -> None:
    result = collect(photos / "red")
    assert (len(result.sources), result.class_names, result.class_of(0)) == (8, (), None)
    (tmp_path / "red").symlink_to(photos / "red")
    Image.new("RGB", (9, 9)).save(tmp_path / "beside.png")
    assert (len(collect(tmp_path).sources), collect(tmp_path).class_names) == (9, ())


def test_files_are_found_at_any_depth_and_through_links(tmp_path: Path) -> None:
    far = tmp_path / "far"
    for path in ("a/1.JPG", "a/deep/er/2.png", "b/3.webp", "b/notes.txt", "b/.hidden.png", ".thumbs/4.png"):
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).touch()
    far.mkdir()
    (far / "5.gif").touch()
    (tmp_path / "root" / "c").symlink_to(far)
    (tmp_path / "root" / "d").symlink_to(far)
    (tmp_path / "root" / "a" / "back").symlink_to(tmp_path / "root")
    assert image_files(tmp_path / "root") == ["a/1.JPG", "a/deep/er/2.png", "b/3.webp", "c/5.gif", "d/5.gif"]


def test_one_image_in_five_is_for_validation_independent_of_the_machine() -> None:
    chosen = [is_validation_image(f"dog/{number}.jpg") for number in range(10_000)]
    assert 0.18 < np.mean(chosen) < 0.22
    assert [number for number in range(40) if chosen[number]] == [6, 9, 13, 16, 19, 21, 22, 23, 24, 37]
    assert isinstance(is_validation_image("\udcff.jpg"), bool)  # a name that is not valid text


def test_files_and_images_in_memory_give_the_same_pixels(paths: list[Path]) -> None:
    sources = [ImageSource(number, path) for number, path in enumerate(paths)]
    expected = torch.cat([batch.pixels for batch in batches(sources, 5, SIZE)])
    opened = [Image.open(path) for path in paths]
    arrays = [np.asarray(image) for image in opened]
    mixed: list[Any] = [paths[0], str(paths[1]), opened[2], *arrays[3:]]
    for given in (paths, [str(path) for path in paths], opened, arrays, mixed, iter(paths)):
        result, skipped = all_pixels(collect(given))  # type: ignore[arg-type]
        assert torch.equal(result, expected)
        assert skipped == []
    stacked = np.stack([read_image(source, SIZE) for source in sources])
    assert torch.equal(all_pixels(collect(stacked))[0], expected)
    assert [collect(mixed).name(number) for number in (0, 2, 5)] == [str(paths[0]), "images[2]", "images[5]"]


def test_batches_have_one_shape_for_images_of_any_size(paths: list[Path]) -> None:
    arrays = [np.asarray(Image.open(path)) for path in paths[:7]]
    for given in (paths[:7], arrays):
        result = list(collect(given).batches(4, SIZE, []))
        assert [tuple(batch.pixels.shape) for batch in result] == [(4, 3, SIZE, SIZE)] * 2
        assert [len(batch.sources) for batch in result] == [4, 3]
        assert not result[1].pixels[3].any()


def test_a_single_image_is_accepted(paths: list[Path]) -> None:
    picture = Image.open(paths[0])
    expected = read_image(ImageSource(0, paths[0]), SIZE)
    for given in (paths[0], str(paths[0]), picture, np.asarray(picture)):
        assert np.array_equal(collect(given).read(0, SIZE), expected)


def test_grey_and_transparent_images_are_converted_to_rgb() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for given in (
        grey,
        Image.fromarray(grey),
        Image.fromarray(grey).convert("LA"),
        Image.fromarray(grey).convert("P"),
    ):
        assert np.array_equal(collect(given).read(0, 16), np.stack([grey] * 3, 2))


WRONG: dict[str, tuple[Any, str]] = {
    "floats": (np.zeros((8, 8, 3)), r"images\[0\] is an array of float64.*uint8"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), r"shape \[3, 8, 8\]"),
    "no pixels": (np.zeros((0, 8, 3), np.uint8), r"shape \[0, 8, 3\]"),
    "a second one": ([np.zeros((8, 8, 3), np.uint8), np.zeros(8, np.uint8)], r"images\[1\].*shape \[8\]"),
    "16 bits": (Image.new("I;16", (8, 8)), "mode I;16"),
    "floating point": (Image.new("F", (8, 8)), "mode F"),
    "none": ([], "list of images is empty"),
    "a number": (7, r"images\[0\] is a int, not an image"),
    "tensors": ([torch.zeros(3, 8, 8)], "is a Tensor, not an image"),
}


@pytest.mark.parametrize("case", WRONG)
def test_objects_that_are_not_images_are_reported(case: str) -> None:
    given, says = WRONG[case]
    with pytest.raises(InvalidArgument, match=says):
        collect(given)


def test_missing_folders_and_files_are_reported(tmp_path: Path, paths: list[Path]) -> None:
    with pytest.raises(NoSuchFile, match="nothing"):
        collect(tmp_path / "nothing")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidArgument, match=r"contains no images \(.*\.jpg"):
        class_folders(tmp_path)
    with pytest.raises(InvalidArgument, match="is a folder"):
        collect([paths[0], tmp_path])


@pytest.fixture
def with_broken(photos: Path, tmp_path: Path) -> Path:
    """A folder with three valid and two invalid images."""
    root = tmp_path / "some"
    (root / "a").mkdir(parents=True)
    (root / "b").mkdir()
    for number in range(3):
        (root / "a" / f"{number}.png").write_bytes((photos / "red" / f"{number}.png").read_bytes())
    (root / "a" / "00.png").write_bytes(b"no image")
    (root / "b" / "x.jpg").write_bytes((root / "a" / "1.png").read_bytes()[:100])
    return root


def test_unreadable_images_are_left_out_with_a_warning(with_broken: Path, residual: us.Network) -> None:
    with pytest.warns(
        UserWarning, match=r"2 of 5 images can't be read .*00\.png \(broken image.*x\.jpg"
    ) as warned:
        result = us.top9(residual, "stem", with_broken)
    assert [warning.filename for warning in warned] == [__file__]
    assert [(Path(image).name, reason.split(":")[0]) for image, reason in result.skipped] == [
        ("00.png", "broken image"),
        ("x.jpg", "broken image"),
    ]
    assert len(result.maxima) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        good = us.top9(residual, "stem", sorted((with_broken / "a").glob("?.png")))
    assert good.skipped == []
    listed = [{k: row[k] for k in ("unit", "rank", "activation", "row", "col")} for row in result.rows()]
    assert listed == [{k: row[k] for k in ("unit", "rank", "activation", "row", "col")} for row in good.rows()]
    assert {row["class"] for row in result.rows()} == {"a"}


def test_a_truncated_image_in_memory_is_left_out(with_broken: Path, residual: us.Network) -> None:
    given = [Image.open(with_broken / "b" / "x.jpg"), Image.open(with_broken / "a" / "1.png")]
    with pytest.warns(UserWarning, match=r"1 of 2 images .*images\[0\] \(OSError"):
        result = us.top9(residual, "stem", given)
    assert [image for image, _ in result.skipped] == ["images[0]"]
    assert {row["image"] for row in result.rows()} == {"images[1]"}


def test_an_error_is_raised_if_no_image_can_be_read(with_broken: Path, residual: us.Network) -> None:
    broken = [with_broken / "a" / "00.png", with_broken / "b" / "x.jpg", with_broken / "not there.png"]
    with pytest.raises(InvalidArgument, match=r"None of the 3 images can be read.*00\.png.*missing file"):
        us.top9(residual, "stem", broken)
    for call in (
        lambda: us.top9(residual, "stem", broken[0]),
        lambda: us.project(residual, "stem", unit=0, image=broken[0]),
        lambda: us.occlude(residual, broken[0], patch=8),
    ):
        with pytest.raises(ImageNotReadable, match=r"00\.png can't be read: broken image"):
            call()


def test_a_warning_about_many_images_names_three() -> None:
    skipped = [Skipped(ImageSource(number, Path(f"{number}.png")), "broken") for number in range(9)]
    with pytest.warns(UserWarning, match=r"9 of 20 .*: 0\.png \(broken\); 1.*; 2.*; and 6 more\.") as warned:
        assert len(report_skipped([*skipped, *skipped], 20, stacklevel=1)) == 9
    assert len(warned) == 1
