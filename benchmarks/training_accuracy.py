"""Accuracy of training compared with that of a plain PyTorch loop: ``python -m benchmarks.training_accuracy``.

Both train from several seeds for the same number of epochs, to check that the speed doesn't cost accuracy.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

import click
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.training import new_model, plain_epoch, plain_images
from producer.datasets.voc import read_voc
from shared.database.catalogue import FoundDataset, FoundImage
from unitscope.data.images import ImageSource, batches, read_image
from unitscope.data.pixel_cache import PixelCache
from unitscope.training.loop import Trainer
from unitscope.training.recipes import Recipe


class Data:
    """Crops of a VOC data set: as image sources with a pixel cache, and as folders of files for the plain loop."""

    def __init__(self, found: FoundDataset, folder: Path, size: int, count: int) -> None:
        root = Path(found.root)
        names = {name: number for number, name in enumerate(found.class_names)}
        self.size, self.folder = size, folder
        self.sources: dict[str, list[ImageSource]] = {"train": [], "val": []}
        for split, sources in self.sources.items():
            images = [image for image in found.images if split in image.splits][:count]
            for image in images:
                sources.append(self._source(root, image, names, position=sum(map(len, self.sources.values()))))
        total = sum(map(len, self.sources.values()))
        self.cache = PixelCache(folder / "cache.pixels", total, size)

    @staticmethod
    def _source(root: Path, image: FoundImage, names: dict[str, int], position: int) -> ImageSource:
        return ImageSource(position, root / image.path, names[image.class_name], image.box, position=position)

    def write_crops(self) -> None:
        """Write each crop to a file for the plain loop."""
        from PIL import Image

        for split, sources in self.sources.items():
            for source in sources:
                file = self.folder / split / f"{source.label:02}" / f"{source.position:06}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                with Image.open(source.path) as image:
                    image.convert("RGB").crop(source.box).save(file, quality=95)

    def loader(self, split: str, batch_size: int) -> DataLoader[tuple[torch.Tensor, int]]:
        """Return the loader of the plain loop."""
        images = plain_images(self.folder / split, self.size, flips=split == "train")
        return DataLoader(images, batch_size, shuffle=split == "train", num_workers=2)


def plain_accuracy(model: nn.Module, loader: DataLoader, device: str) -> float:
    model.eval()
    with torch.no_grad():
        right = [(model(images.to(device)).argmax(1).cpu() == labels).sum() for images, labels in loader]
    return float(sum(right)) / len(loader.dataset)  # type: ignore[arg-type]


def our_epoch(trainer: Trainer, data: Data, recipe: Recipe) -> None:
    order = trainer.order(data.sources["train"])
    trainer.train(batches(order, recipe.batch_size, data.size, cache=data.cache))


def compare_accuracy(
    data: Data, name: str, fc: int | None, recipe: Recipe, seeds: int, device: str
) -> dict[str, object]:
    accuracies: dict[str, list[float]] = {"ours": [], "plain": []}
    for seed in range(seeds):
        trainer = Trainer(new_model(name, data.size, fc, seed), recipe, seed, device)
        for _ in range(recipe.epochs):
            our_epoch(trainer, data, recipe)
        accuracies["ours"].append(
            trainer.validate(batches(data.sources["val"], 64, data.size, cache=data.cache)).accuracy
        )
        peer = new_model(name, data.size, fc, seed).to(device)
        optimizer = torch.optim.Adam(peer.parameters(), lr=recipe.learning_rate)
        for _ in range(recipe.epochs):
            plain_epoch(peer, optimizer, data.loader("train", recipe.batch_size), device)
        accuracies["plain"].append(plain_accuracy(peer, data.loader("val", 64), device))
        click.echo(json.dumps({variant: values[-1] for variant, values in accuracies.items()}), err=True)
    return {
        "epochs": recipe.epochs,
        **{variant: [round(value, 4) for value in values] for variant, values in accuracies.items()},
        "difference_of_means": round(
            statistics.mean(accuracies["ours"]) - statistics.mean(accuracies["plain"]), 4
        ),
        "standard_deviations": {
            variant: round(statistics.stdev(values), 4) for variant, values in accuracies.items()
        },
    }


def drawn_shapes(folder: Path, images: int) -> FoundDataset:
    from producer.datasets.shapes import CLASSES as SHAPES
    from producer.datasets.shapes import generate

    generate(folder, images=images)
    return read_voc(folder, kind="shapes", classes=SHAPES)


@click.command()
@click.option(
    "--root", type=click.Path(path_type=Path, exists=True), help="VOCdevkit folder.  [default: generated shapes]"
)
@click.option("--network", "name", default="zfnet", show_default=True, help="Name of the network.")
@click.option("--size", default=227, show_default=True, help="Input size in pixels.")
@click.option("--fc", type=int, help="Width of the fully connected layers.  [default: the network's]")
@click.option("--batch", default=64, show_default=True, help="Batch size.")
@click.option("--count", default=256, show_default=True, help="Maximum number of training images.")
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Number of epochs.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2), help="Number of seeds.")
@click.option("--device", default="cpu", show_default=True, help="Torch device: cpu, cuda, cuda:1, ...")
def main(
    root: Path | None, name: str, size: int, fc: int | None, batch: int, count: int, epochs: int, seeds: int,
    device: str,
) -> None:  # fmt: skip
    """Print the accuracies as JSON."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = Data(read_voc(root) if root else drawn_shapes(folder / "shapes", count), folder, size, count)
        for sources in data.sources.values():
            for source in sources:
                data.cache.store(source.position, read_image(source, size))
        data.write_crops()
        recipe = Recipe(batch_size=batch, learning_rate=5e-4, epochs=epochs, schedule="constant")
        result = compare_accuracy(data, name, fc, recipe, seeds, device)
        click.echo(json.dumps({"network": name, "size": size, "batch": batch, **result}, indent=2))


if __name__ == "__main__":
    main()
