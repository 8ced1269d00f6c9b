"""``analyze dataset``: register data sets and look at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.bars import Bars
from producer.cli.context import App, pass_app
from producer.cli.data.changes import rm, update
from producer.cli.printing import json_option, print_json, print_text

if TYPE_CHECKING:
    from shared.database.catalogue import FoundDataset

SHAPES_IMAGES = 800
LONGEST_FOLDER_NAME = 200  # bytes: locks and unfinished folders beside it have longer names, up to 255
OPTIONS = {  # kind -> the options that it has, besides --root and --name
    "voc": {"download", "years", "splits", "whole", "difficult"},
    "cifar10": {"download"},
    "cifar100": {"download"},
    "caltech101": {"download", "background"},
    "caltech256": {"download", "background"},
    "folder": set(),
    "shapes": {"whole", "images", "seed"},
}


@click.group()
def dataset() -> None:
    """Register data sets, look at them, update and remove them."""


dataset.add_command(update)
dataset.add_command(rm)


@dataset.command()
@click.argument("kind", type=click.Choice(list(OPTIONS)))
@click.option(
    "--root", type=click.Path(path_type=Path), help="Where it is, or is to be generated or downloaded to."
)
@click.option("--name", help="Name to register it under.  [default: the kind]")
@click.option(
    "--download",
    is_flag=True,
    help="voc, cifar10, cifar100, caltech101, caltech256: fetch it first, with checksums.",
)
@click.option(
    "--year",
    "years",
    multiple=True,
    type=click.Choice(["2007", "2012"]),
    help="voc: take this year; may be repeated.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="voc: take this list of ImageSets/Main; may be repeated.  [default: all but lists per class]",
)
@click.option("--whole", is_flag=True, help="voc, shapes: whole images instead of their objects.")
@click.option("--difficult", is_flag=True, help="voc: take objects marked difficult too.")
@click.option("--background", is_flag=True, help="caltech101, caltech256: take the images of background too.")
@click.option(
    "--images", type=click.IntRange(2, 1_000_000), help=f"shapes: images to draw.  [default: {SHAPES_IMAGES}]"
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="shapes: another seed gives other images.  [default: 0]"
)
@pass_app
def add(app: App, /, kind: str, root: Path | None, name: str | None, **options: Any) -> None:
    """Register a data set.

    \b
    voc         PASCAL VOC: every annotated object cut out by its box
    cifar10,    CIFAR: the binary version, the one that torchvision leaves, or
    cifar100    images in train/CLASS and test/CLASS
    caltech101  101_ObjectCategories, or the folder that holds it
    caltech256  256_ObjectCategories, or the folder that holds it
    folder      a folder of images per class, with train and val above if you like
    shapes      20 classes of drawn objects, generated here: nothing to download

    CIFAR's test images are the splits test and val, so that training validates on them as the published
    replications do; its files are written as PNG images to the home folder, once. Of Caltech, and of a folder
    without train and val, one image in five is in val, chosen by its path, the others in train.
    """
    from shared.database.catalogue import register

    _refuse_foreign_options(kind, options)
    database = app.database  # out of reach? Said before anything is drawn or read
    found = _read(app, kind, root, name or kind, options)
    _, new = register(database, name or kind, found)
    app.talk.print(
        f"{'Registered' if new else 'Registered before:'} {name or kind}: {len(found.images)} images of "
        f"{len(found.class_names)} classes, {len(found.problems)} left out "
        f"(`analyze dataset show {name or kind}`)."
    )
    print_text(name or kind)


def _refuse_foreign_options(kind: str, options: dict[str, Any]) -> None:
    for option, value in options.items():
        if value not in (None, False, ()) and option not in OPTIONS[kind]:
            flag = {"years": "year", "splits": "split"}.get(option, option)
            raise click.UsageError(f"--{flag} is not for data sets of kind {kind}.")


def _see_that_plain(name: str) -> None:
    """It becomes a folder of the home's, and must not lead out of there."""
    length = len(name.encode(errors="surrogateescape"))
    if name.startswith(".") or any(letter in name for letter in "/\\\0") or length > LONGEST_FOLDER_NAME:
        raise click.UsageError(
            "--name becomes the name of a folder here: without slashes, not beginning with a dot, and of "
            f"{LONGEST_FOLDER_NAME} bytes at most."
        )


def _read(app: App, kind: str, root: Path | None, name: str, options: dict[str, Any]) -> FoundDataset:
    from producer.datasets.cifar import image_folder
    from producer.datasets.reading import read_dataset
    from producer.datasets.removal import OWN_FOLDER

    if root is None and kind != "shapes" and not options["download"]:
        raise click.UsageError(
            f"--root is needed for data sets of kind {kind}"
            + (", or --download." if "download" in OPTIONS[kind] else ".")
        )
    if root is None or kind.startswith("cifar"):
        _see_that_plain(name)
    own = app.settings.home / "datasets" / name
    if kind.startswith("cifar"):  # what is downloaded becomes images, which have the data set's own folder
        root = root or app.settings.home / "archives"
    root = root or own
    with Bars(app) as (progress, show):
        if options["download"]:
            progress.stop()  # the download shows its own
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
    from producer.datasets.download import SOURCES, download, download_voc

    if kind != "voc":
        download(root, [SOURCES[kind]])
        return
    years = options["years"] or ("2007",)
    download_voc(root, [s for year in years for s in ((year, f"{year}-test") if year == "2007" else (year,))])


def _draw(root: Path, options: dict[str, Any], show: Callable[[str], Callable[[int, int], None]]) -> None:
    from producer.datasets.shapes import generate

    images, seed = options["images"] or SHAPES_IMAGES, options["seed"] or 0
    if (root / "VOC2007").is_dir():
        if options["images"] is not None or options["seed"] is not None:
            raise click.UsageError(f"{root} has one already: --images and --seed need another --root or --name.")
    elif root.is_file() or (root.is_dir() and any(root.iterdir())):
        raise click.UsageError(f"{root} has something else in it: give another --root.")
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
    """Show a data set: its classes and splits, and what was left out and why."""
    from rich.table import Table

    from producer.datasets.listing import summarize_dataset

    found = summarize_dataset(app.database, name)
    if as_json:
        print_json({**vars(found), "left_out": [vars(reason) for reason in found.left_out]})
        return
    app.out.print(
        f"{found.name} ({found.kind}), {found.images} images at {found.root}\nfingerprint {found.fingerprint}"
    )
    table = Table("class", *found.splits, box=None)
    for class_name, counts in found.classes.items():
        table.add_row(class_name, *(str(count) for count in counts.values()))
    table.add_row("in all", *(str(size) for size in found.splits.values()), style="bold")
    app.out.print(table)
    left_out = Table("left out", "count", "the first", box=None)
    for reason in found.left_out:
        left_out.add_row(reason.reason, str(reason.count), reason.first)
    app.out.print(left_out if found.left_out else "Nothing was left out.")
