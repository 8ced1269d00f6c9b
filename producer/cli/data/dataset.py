"""``analyze dataset``: manage data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.bars import Bars
from producer.cli.context import App, pass_app
from producer.cli.data.changes import print_notes, rm, update
from producer.cli.printing import json_option, print_json, print_text

if TYPE_CHECKING:
    from shared.database.catalogue import FoundDataset

SHAPES_IMAGES = 800
LONGEST_FOLDER_NAME = 200  # bytes: the names of locks and unfinished folders are longer, and 255 is the limit
OPTIONS = {  # kind -> its options besides --root and --name
    "voc": {"download", "years", "splits", "whole", "difficult", "classes", "boxes", "orientation"},
    "cifar10": {"download", "orientation"},
    "cifar100": {"download", "orientation"},
    "caltech101": {"download", "background", "orientation"},
    "caltech256": {"download", "background", "orientation"},
    "folder": {"split_folders", "orientation"},
    "shapes": {"whole", "images", "seed", "orientation"},
}


class Year(click.ParamType[str]):
    """A year, as four digits."""

    name = "year"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the digits.

        Raises
        ------
        click.BadParameter
        """
        if not (len(value) == 4 and value.isascii() and value.isdigit()):
            self.fail(f"{value!r} is not a year of four digits.", param, ctx)
        return str(value)


def _split_folders(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check the option's form; which folders exist is seen when the data set is read."""
    from producer.datasets.layout import NO_SPLITS, parse_split_folders

    if value not in (None, NO_SPLITS):
        try:
            parse_split_folders(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}. Example: train=Training,val=Testing.") from error
    return value


@click.group()
def dataset() -> None:
    """Manage data sets."""


dataset.add_command(update)
dataset.add_command(rm)


@dataset.command()
@click.argument("kind", type=click.Choice(list(OPTIONS)))
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder of the data set, or folder to generate or download it to.  [default for shapes and --download: a "
    "folder in the home folder]",
)
@click.option("--name", help="Name of the data set.  [default: the kind]")
@click.option(
    "--download",
    is_flag=True,
    help="voc, cifar10, cifar100, caltech101, caltech256: download the data set first, and verify its checksums.",
)
@click.option(
    "--year",
    "years",
    multiple=True,
    type=Year(),
    help="voc: year to include (folder VOC2007); may be repeated.  [default: all years in the folder; 2007 with "
    "--download]",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="voc: list of ImageSets/Main, or folder, to include; may be repeated.  [default: all except lists per "
    "class]",
)
@click.option("--whole", is_flag=True, help="voc, shapes: use whole images instead of their objects.")
@click.option("--difficult", is_flag=True, help="voc: include objects marked as difficult.")
@click.option(
    "--classes",
    metavar="NAME,NAME|FILE|auto",
    help="voc: names of the classes, a file of names, or auto: the names in the annotations.  [default: VOC's "
    "twenty classes; auto if none of them occurs]",
)
@click.option(
    "--boxes",
    type=click.Choice(["from-0", "from-1"]),
    help="voc: whether boxes count pixels from 0, or from 1 as VOC's do.  [default: from-0 if more of their left "
    "and upper sides are at 0 than at 1]",
)
@click.option(
    "--background", is_flag=True, help="caltech101, caltech256: include the background images as a class."
)
@click.option(
    "--split-folders",
    metavar="SPLIT=FOLDER,...",
    callback=_split_folders,
    help="folder: folders of the splits, such as train=Training,val=Testing; none if all folders are classes.  "
    "[default: those with usual names]",
)
@click.option(
    "--orientation",
    type=click.Choice(["exif", "stored"]),
    help="Turn photographs upright, as their EXIF orientation says, or use them as stored.  [default: exif]",
)
@click.option(
    "--images",
    type=click.IntRange(2, 1_000_000),
    help=f"shapes: number of images to draw.  [default: {SHAPES_IMAGES}]",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="shapes: seed of the random numbers.  [default: 0]"
)
@pass_app
def add(app: App, /, kind: str, root: Path | None, name: str | None, **options: Any) -> None:
    """Register a data set.

    \b
    voc         PASCAL VOC, or images and XML files of annotation tools: every
                annotated object, cut out by its bounding box
    cifar10,    CIFAR: the binary version, the version that torchvision downloads, or
    cifar100    images in train/CLASS and test/CLASS
    caltech101  101_ObjectCategories, or its parent folder
    caltech256  256_ObjectCategories, or its parent folder
    folder      a folder of images for each class, optionally inside folders for the
                splits (train, valid, Testing, ...), or a folder of images
    shapes      20 classes of drawn objects, generated without a download

    CIFAR's test images are in the splits test and val, because the published replications validate on them.
    CIFAR's files are converted once, to PNG images in the home folder. For Caltech, and for a folder without
    splits, a hash of the path puts one image in five into val and the others into train.
    """
    from producer.datasets.notes import number_of
    from producer.datasets.reading import default_orientation
    from producer.datasets.scan import require_usable
    from shared.database.catalogue import register
    from unitscope.spelling import nfc

    _refuse_options_of_other_kinds(kind, options)
    database = app.database  # fail before anything is drawn or read if the database is unreachable
    name = nfc(name or kind)
    options["orientation"] = options["orientation"] or default_orientation(database, name)
    found = _read(app, kind, root, name, options)
    print_notes(app, found.notes)
    require_usable(found)
    _, new = register(database, name, found)
    state = f"Registered {name}" if new else f"{name} is already registered"
    app.err.print(
        f"{state}: {number_of(len(found.images), 'image')} of "
        f"{number_of(len(found.class_names), 'class', 'classes')}, {len(found.problems)} left out "
        f"(`analyze dataset show {name}`)."
    )
    print_text(name)


def _refuse_options_of_other_kinds(kind: str, options: dict[str, Any]) -> None:
    for option, value in options.items():
        if value not in (None, False, ()) and option not in OPTIONS[kind]:
            flag = {"years": "year", "splits": "split"}.get(option, option).replace("_", "-")
            raise click.UsageError(f"--{flag} does not apply to data sets of kind {kind}.")


def _check_folder_name(name: str) -> None:
    """Raise ``UsageError`` unless the name can be that of a folder directly inside the home's ``datasets``."""
    length = len(name.encode(errors="surrogateescape"))
    if name.startswith(".") or any(letter in name for letter in "/\\\0") or length > LONGEST_FOLDER_NAME:
        raise click.UsageError(
            "--name is also the name of the data set's folder: it can't contain slashes, begin with a dot, or be "
            f"longer than {LONGEST_FOLDER_NAME} bytes."
        )


def _read(app: App, kind: str, root: Path | None, name: str, options: dict[str, Any]) -> FoundDataset:
    from producer.datasets.cifar import image_folder
    from producer.datasets.reading import read_dataset
    from producer.datasets.removal import OWN_FOLDER
    from producer.datasets.voc.classes import chosen_classes

    if root is None and kind != "shapes" and not options["download"]:
        raise click.UsageError(
            f"Data sets of kind {kind} need --root" + (" or --download." if "download" in OPTIONS[kind] else ".")
        )
    if root is None or kind.startswith("cifar"):
        _check_folder_name(name)
    own = app.settings.home / "datasets" / name
    if kind.startswith("cifar"):  # the downloaded files are converted to images, which are written to ``own``
        root = root or app.settings.home / "archives"
    root = root or own
    if options["classes"] is not None:
        options["classes"] = chosen_classes(options["classes"])
    with Bars(app) as (progress, show):
        if options["download"]:
            progress.stop()  # the download shows a progress bar of its own
            _download(kind, root, options)
            progress.start()
        if kind == "shapes":
            _draw(root, options, show)
        if kind.startswith("cifar"):
            root = image_folder(root, kind, own, show("writing images"))
        found = read_dataset(kind, root, options, show("reading images"))
    found.options[OWN_FOLDER] = Path(found.root).is_relative_to(own.resolve())
    return found


def _download(kind: str, root: Path, options: dict[str, Any]) -> None:
    from producer.datasets.download import SOURCES, VOC_SOURCES, download, download_voc

    if kind != "voc":
        download(root, [SOURCES[kind]])
        return
    years = options["years"] or ("2007",)
    if missing := [year for year in years if year not in VOC_SOURCES]:
        raise click.UsageError(f"There is no download of VOC {missing[0]}: --year 2007 and 2012 have one.")
    download_voc(root, [s for year in years for s in ((year, f"{year}-test") if year == "2007" else (year,))])


def _draw(root: Path, options: dict[str, Any], show: Callable[[str], Callable[[int, int], None]]) -> None:
    from producer.datasets.shapes import generate

    images, seed = options["images"] or SHAPES_IMAGES, options["seed"] or 0
    if (root / "VOC2007").is_dir():
        if options["images"] is not None or options["seed"] is not None:
            raise click.UsageError(
                f"{root} holds a data set already: --images and --seed need another --root or --name."
            )
    elif root.is_file() or (root.is_dir() and any(root.iterdir())):
        raise click.UsageError(f"{root} is not an empty folder. Give another --root.")
    else:
        drawn = show("drawing images")
        generate(root, images=images, seed=seed, progress=lambda done: drawn(done, images))


@dataset.command("ls")
@json_option
@pass_app
def ls(app: App, as_json: bool) -> None:
    """List the registered data sets."""
    from rich.table import Table

    from producer.datasets.listing import list_datasets

    rows = list_datasets(app.database)
    if as_json:
        print_json([vars(row) for row in rows])
        return
    table = Table("name", "kind", "classes", "images", "left out", "root", "fingerprint", box=None)
    for row in rows:
        table.add_row(*(str(value) for value in vars(row).values()))
    app.out.print(table)


@dataset.command()
@click.argument("name")
@json_option
@pass_app
def show(app: App, name: str, as_json: bool) -> None:
    """Show a data set: images by class and split, and the images that were left out, with the reason."""
    from rich.table import Table

    from producer.datasets.listing import summarize_dataset

    summary = summarize_dataset(app.database, name)
    if as_json:
        print_json({**vars(summary), "left_out": [vars(reason) for reason in summary.left_out]})
        return
    app.out.print(
        f"{summary.name} ({summary.kind}), {summary.images} images at {summary.root}\n"
        f"fingerprint {summary.fingerprint}"
    )
    table = Table("class", *summary.splits, box=None)
    for class_name, counts in summary.classes.items():
        table.add_row(class_name, *(str(count) for count in counts.values()))
    table.add_row("total", *(str(size) for size in summary.splits.values()), style="bold")
    app.out.print(table)
    left_out = Table("reason", "left out", "first path", box=None)
    for reason in summary.left_out:
        left_out.add_row(reason.reason, str(reason.count), reason.first)
    app.out.print(left_out if summary.left_out else "Nothing was left out.")
    for note in summary.notes:
        app.out.print(f"Note: {note}")
