"""The search from JPEG files compared with decoding alone; Pillow's decoder compared with torchvision's on the
GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.search import layer_units
from benchmarks.setting import LAYERS, TOP
from benchmarks.timing import Goal, Row, Variant
from unitscope.data.images import ImageSource, read_image
from unitscope.images.decoding import decode, read_file
from unitscope.search.search import search

GPU_BATCH = 128  # files per call of the GPU decoder
COMPARED = 64  # files whose pixels are compared


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield a row for the search from files and a row for the decoders."""
    yield _search(setting, budget.share(0.7))
    yield _decoders(setting, budget)


def _search(setting: Setting, budget: TimeBudget) -> Row:
    model, sources, threads = setting.model(), setting.crops.sources, setting.decoders
    units = layer_units(model, list(LAYERS.values()))
    timings = setting.time_interleaved(
        {
            "search from files": setting.timed(
                lambda: search(model, units, setting.batches(cached=False), TOP, setting.device)
            ),
            "decoding alone": setting.timed(
                lambda: _by_threads(lambda source: read_image(source, setting.sizes.image), sources, threads)
            ),
        },
        budget,
    )
    filling = setting.seconds.get("filling the pixel cache")
    note = f" Filling the pixel cache, as a first job does, took {filling:.3g} s." if filling else ""
    return Row(
        "decoding",
        f"search, five layers, {len(sources):,} crops, JPEG files, no pixel cache",
        timings.seconds["search from files"],
        f"only reading, decoding and resizing, {threads} threads",
        timings.seconds["decoding alone"],
        Goal(0.9),
        f"{setting.crops.kind}, one file per crop.{note}",
        judged=setting.is_cuda,
    )


def _by_threads(work: object, items: Sequence[object], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):  # type: ignore[arg-type]
            pass


def _decoders(setting: Setting, budget: TimeBudget) -> Row:
    sources, threads = setting.crops.sources, setting.decoders
    variants: dict[str, Variant] = {"Pillow": setting.timed(lambda: _by_threads(_by_pillow, sources, threads))}
    why_not = _why_no_gpu_decoder(setting, sources)
    if not why_not:
        variants["GPU"] = setting.timed(lambda: _by_gpu(sources, threads))
    timings = setting.time_interleaved(variants, budget)
    pillow = timings.seconds["Pillow"]
    work = f"decoding {len(sources):,} JPEG files"
    pillow_work = f"Pillow, {threads} threads"
    if why_not:
        return Row("decoding", f"{work}: {pillow_work}", pillow, note=f"torchvision's GPU decoder: {why_not}")
    gpu = timings.seconds["GPU"]
    faster = "torchvision on the GPU" if np.median(gpu) < np.median(pillow) else "Pillow"
    return Row(
        "decoding",
        f"{work}: torchvision on the GPU",
        gpu,
        pillow_work,
        pillow,
        note=f"{faster} is faster. {_differences(sources[:COMPARED])}",
    )


def _by_pillow(source: ImageSource) -> np.ndarray:
    return np.asarray(decode(read_file(source.path)))


def _bytes_of(source: ImageSource) -> torch.Tensor:
    return torch.frombuffer(bytearray(read_file(source.path)), dtype=torch.uint8)


def _by_gpu(sources: Sequence[ImageSource], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        files = pool.map(_bytes_of, sources)
        while batch := [file for _, file in zip(range(GPU_BATCH), files, strict=False)]:
            _decoded_on_gpu(batch)


def _decoded_on_gpu(files: list[torch.Tensor]) -> list[torch.Tensor]:
    from torchvision.io import ImageReadMode, decode_jpeg

    return decode_jpeg(files, mode=ImageReadMode.RGB, device="cuda")  # type: ignore[no-any-return]


def _why_no_gpu_decoder(setting: Setting, sources: Sequence[ImageSource]) -> str:
    """Return why the GPU decoder can't be used, or an empty string if it can."""
    if not setting.is_cuda:
        return "needs a CUDA device"
    try:
        _decoded_on_gpu([_bytes_of(sources[0])])
        torch.cuda.synchronize()
    except (RuntimeError, ImportError, AttributeError) as error:
        return f"not available ({str(error).strip().splitlines()[0]})"
    return ""


def _differences(sources: Sequence[ImageSource]) -> str:
    """Describe how the pixels from both decoders differ."""
    decoded = _decoded_on_gpu([_bytes_of(source) for source in sources])
    differences = [
        np.abs(pixels.permute(1, 2, 0).cpu().numpy().astype(int) - _by_pillow(source))
        for pixels, source in zip(decoded, sources, strict=True)
    ]
    share = float(np.mean([(difference > 0).mean() for difference in differences]))
    return (
        f"In {len(sources)} files {share:.1%} of the pixel values differ, by at most "
        f"{max(difference.max() for difference in differences)}, so that the results of a search differ too."
        if share
        else f"Both decode {len(sources)} files to the same pixels."
    )
