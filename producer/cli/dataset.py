"""``analyze dataset``: register data sets and look at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import json_option, print_json

if TYPE_CHECKING:
    from shared.catalogue import FoundDataset

KINDS = ("voc", "folder", "shapes")
SHAPES_IMAGES = 800


@click.group()
def dataset() -> None:
    """Register data sets and look at them."""


@dataset.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option(
    "--root", type=click.Path(path_type=Path), help="Where it is, or is to be generated or downloaded to."
)
@click.option("--name", help="Name to register it under.  [default: the kind]")
@click.option("--download", is_flag=True, help="voc: download it first, with checksums.")
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
    voc     PASCAL VOC: every annotated object cut out by its box
    folder  a folder of images per class
    shapes  20 classes of drawn objects, generated here: nothing to download
    """
    from shared.catalogue import register

    _refuse_foreign_options(kind, options)
    database = app.database  # out of reach? Said before anything is drawn or read
    found = _read(app, kind, root, name or kind, options)
    _, new = register(database, name or kind, found)
    app.talk.print(
        f"{'Registered' if new else 'Registered before:'} {name or kind}: {len(found.images)} images of "
        f"{len(found.class_names)} classes, {len(found.problems)} left out "
        f"(`analyze dataset show {name or kind}`)."
    )
    click.echo(name or kind)


def _refuse_foreign_options(kind: str, options: dict[str, Any]) -> None:
    allowed = {
        "voc": {"download", "years", "splits", "whole", "difficult"},
        "folder": set(),
        "shapes": {"whole", "images", "seed"},
    }[kind]
    for option, value in options.items():
        if value not in (None, False, ()) and option not in allowed:
            flag = {"years": "year", "splits": "split"}.get(option, option)
            raise click.UsageError(f"--{flag} is not for data sets of kind {kind}.")


def _read(app: App, kind: str, root: Path | None, name: str, options: dict[str, Any]) -> FoundDataset:
    from producer.datasets.folder import read_folder
    from producer.datasets.voc import read_voc

    if root is None and (kind == "folder" or (kind == "voc" and not options["download"])):
        raise click.UsageError(
            f"--root is needed for data sets of kind {kind}" + (", or --download." if kind == "voc" else ".")
        )
    root = root or app.settings.home / "datasets" / name
    with _progress(app) as (progress, show):
        if kind == "folder":
            return read_folder(root, show("reading images"))
        if kind == "shapes":
            return _shapes(root, options, show)
        if options["download"]:
            from producer.datasets.download import download_voc

            years = options["years"] or ("2007",)
            progress.stop()  # the download shows its own
            download_voc(
                root, [s for year in years for s in ((year, f"{year}-test") if year == "2007" else (year,))]
            )
            progress.start()
        return read_voc(
            root,
            years=options["years"] or None,
            splits=options["splits"] or None,
            whole=options["whole"],
            difficult=options["difficult"],
            progress=show("reading images"),
        )


def _shapes(
    root: Path, options: dict[str, Any], show: Callable[[str], Callable[[int, int], None]]
) -> FoundDataset:
    from producer.datasets.shapes import CLASSES, generate
    from producer.datasets.voc import read_voc

    images, seed = options["images"] or SHAPES_IMAGES, options["seed"] or 0
    if (root / "VOC2007").is_dir():
        if options["images"] is not None or options["seed"] is not None:
            raise click.UsageError(f"{root} has one already: --images and --seed need another --root or --name.")
    elif root.is_file() or (root.is_dir() and any(root.iterdir())):
        raise click.UsageError(f"{root} has something else in it: give another --root.")
    else:
        drawn = show("drawing images")
        generate(root, images=images, seed=seed, progress=lambda done: drawn(done, images))
    return read_voc(root, kind="shapes", classes=CLASSES, whole=options["whole"], progress=show("reading images"))


class _progress:
    """A bar on stderr for each thing that takes its time."""

    def __init__(self, app: App) -> None:
        from rich.progress import Progress

        self.bars = Progress(console=app.talk, transient=True)

    def __enter__(self) -> tuple[Any, Callable[[str], Callable[[int, int], None]]]:
        self.bars.start()
        return self.bars, self._show

    def _show(self, what: str) -> Callable[[int, int], None]:
        task = self.bars.add_task(what, total=None)
        return lambda done, total: self.bars.update(task, completed=done, total=total)

    def __exit__(self, *exception: object) -> None:
        self.bars.stop()


@dataset.command("ls")
@json_option
@pass_app
def ls(app: App, as_json: bool) -> None:
    """List the registered data sets."""
    from rich.table import Table
    from sqlalchemy import func, select

    from shared.models import Dataset, DatasetProblem, Image

    counts = {}
    with app.database.read() as session:
        datasets = session.scalars(select(Dataset).order_by(Dataset.name)).all()
        for column in (Image.dataset_id, DatasetProblem.dataset_id):
            grouped = session.execute(select(column, func.count()).group_by(column))
            counts[column.class_] = dict(grouped.tuples().all())
    rows = [
        {
            "name": d.name,
            "kind": d.kind,
            "classes": len(d.class_names),
            "images": counts[Image].get(d.id, 0),
            "left_out": counts[DatasetProblem].get(d.id, 0),
            "root": d.root,
            "fingerprint": d.fingerprint,
        }
        for d in datasets
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "kind", "classes", "images", "left out", "root", "fingerprint", box=None)
    for row in rows:
        table.add_row(*(str(v) for v in row.values()))
    app.out.print(table)


@dataset.command()
@click.argument("name")
@json_option
@pass_app
def show(app: App, name: str, as_json: bool) -> None:
    """Show a data set: its classes and splits, and what was left out and why."""
    from rich.table import Table
    from sqlalchemy import func, select

    from shared.catalogue import find_dataset, split_sizes
    from shared.models import DatasetProblem, Image, ImageSplit

    with app.database.read() as session:
        found = find_dataset(session, name)
        sizes = split_sizes(session, found)
        by_class = session.execute(
            select(ImageSplit.split, Image.class_name, func.count())
            .join(Image, Image.id == ImageSplit.image_id)
            .where(ImageSplit.dataset_id == found.id)
            .group_by(ImageSplit.split, Image.class_name)
        ).all()
        total = session.scalar(select(func.count()).where(Image.dataset_id == found.id))
        problems = session.execute(
            select(DatasetProblem.reason, func.count(), func.min(DatasetProblem.path))
            .where(DatasetProblem.dataset_id == found.id)
            .group_by(DatasetProblem.reason)
            .order_by(func.count().desc())
        ).all()
    counts = {(split, class_name): count for split, class_name, count in by_class}
    answer = {
        "name": found.name,
        "kind": found.kind,
        "root": found.root,
        "options": found.options,
        "fingerprint": found.fingerprint,
        "images": total,
        "splits": sizes,
        "classes": {c: {s: counts.get((s, c), 0) for s in sizes} for c in found.class_names},
        "left_out": [{"reason": r, "count": n, "first": p} for r, n, p in problems],
    }
    if as_json:
        print_json(answer)
        return
    app.out.print(f"{found.name} ({found.kind}), {total} images at {found.root}\nfingerprint {found.fingerprint}")
    table = Table("class", *sizes, box=None)
    for class_name in found.class_names:
        table.add_row(class_name, *(str(counts.get((s, class_name), 0)) for s in sizes))
    table.add_row("in all", *(str(size) for size in sizes.values()), style="bold")
    app.out.print(table)
    left_out = Table("left out", "count", "the first", box=None)
    for reason, count, first in problems:
        left_out.add_row(reason, str(count), first)
    app.out.print(left_out if problems else "Nothing was left out.")
