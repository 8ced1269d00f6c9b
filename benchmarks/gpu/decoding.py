"""The search from JPEG files against decoding alone; Pillow's decoder against torchvision's on the GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.measuring import Goal, Row, Way
from benchmarks.search import units_of
from benchmarks.setting import LAYERS, TOP
from unitscope.data.images import ImageSource, read_image
from unitscope.images.decoding import decode, read_file
from unitscope.search.search import search

AT_ONCE = 128  # files that the GPU decodes in one call
SEEN = 64  # files whose pixels are compared


def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A row for the search from files, and one for the decoders."""
    yield _search(setting, clock.share(0.7))
    yield _decoders(setting, clock)


def _search(setting: Setting, clock: Clock) -> Row:
    model, sources, threads = setting.model(), setting.crops.sources, setting.decoders
    units = units_of(model, list(LAYERS.values()))
    turns = setting.in_turn(
        {
            "search from files": setting.timed(
                lambda: search(model, units, setting.batches(cached=False), TOP, setting.device)
            ),
            "decoding alone": setting.timed(
                lambda: _by_threads(lambda source: read_image(source, setting.sizes.image), sources, threads)
            ),
        },
        clock,
    )
    keeping = setting.seconds.get("decoding and keeping the pixels")
    kept = f" Decoding and keeping the pixels, as a first job does, took {keeping:.3g} s." if keeping else ""
    return Row(
        "decoding",
        f"search, five layers, {len(sources):,} crops, JPEG files, no pixel cache",
        turns.seconds["search from files"],
        f"reading, decoding and resizing alone, {threads} threads",
        turns.seconds["decoding alone"],
        Goal(0.9),
        f"{setting.crops.kind}, as files of their own.{kept}",
        judged=setting.is_cuda,
    )


def _by_threads(work: object, items: Sequence[object], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):  # type: ignore[arg-type]
            pass


def _decoders(setting: Setting, clock: Clock) -> Row:
    sources, threads = setting.crops.sources, setting.decoders
    ways: dict[str, Way] = {"Pillow": setting.timed(lambda: _by_threads(_by_pillow, sources, threads))}
    why_not = _why_no_gpu_decoder(setting, sources)
    if not why_not:
        ways["GPU"] = setting.timed(lambda: _by_gpu(sources, threads))
    turns = setting.in_turn(ways, clock)
    pillow = turns.seconds["Pillow"]
    work = f"decoding {len(sources):,} JPEG files"
    by_pillow = f"Pillow, {threads} threads"
    if why_not:
        return Row("decoding", f"{work}: {by_pillow}", pillow, note=f"torchvision's on the GPU: {why_not}")
    gpu = turns.seconds["GPU"]
    faster = "torchvision's on the GPU" if np.median(gpu) < np.median(pillow) else "Pillow's"
    return Row(
        "decoding",
        f"{work}: torchvision's decoder on the GPU",
        gpu,
        by_pillow,
        pillow,
        note=f"The faster decoder is {faster}. {_differences(sources[:SEEN])}",
    )


def _by_pillow(source: ImageSource) -> np.ndarray:
    return np.asarray(decode(read_file(source.path)))


def _bytes_of(source: ImageSource) -> torch.Tensor:
    return torch.frombuffer(bytearray(read_file(source.path)), dtype=torch.uint8)


def _by_gpu(sources: Sequence[ImageSource], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        files = pool.map(_bytes_of, sources)
        while some := [file for _, file in zip(range(AT_ONCE), files, strict=False)]:
            _decoded_on_gpu(some)


def _decoded_on_gpu(files: list[torch.Tensor]) -> list[torch.Tensor]:
    from torchvision.io import ImageReadMode, decode_jpeg

    return decode_jpeg(files, mode=ImageReadMode.RGB, device="cuda")  # type: ignore[no-any-return]


def _why_no_gpu_decoder(setting: Setting, sources: Sequence[ImageSource]) -> str:
    """Empty where it works."""
    if not setting.is_cuda:
        return "needs a CUDA device"
    try:
        _decoded_on_gpu([_bytes_of(sources[0])])
        torch.cuda.synchronize()
    except (RuntimeError, ImportError, AttributeError) as error:
        return f"not available here ({str(error).strip().splitlines()[0]})"
    return ""


def _differences(sources: Sequence[ImageSource]) -> str:
    """Of the pixels that both decoders make."""
    decoded = _decoded_on_gpu([_bytes_of(source) for source in sources])
    wrong = [
        np.abs(pixels.permute(1, 2, 0).cpu().numpy().astype(int) - _by_pillow(source))
        for pixels, source in zip(decoded, sources, strict=True)
    ]
    differ = float(np.mean([(of > 0).mean() for of in wrong]))
    return (
        f"Of {len(sources)} files {differ:.1%} of their pixels' values differ, by {max(of.max() for of in wrong)} "
        "at most: rows found with the one are not those found with the other."
        if differ
        else f"Both decode {len(sources)} files to the same pixels."
    )
