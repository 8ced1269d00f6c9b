"""Pictures: artifacts by the SHA-256 of their content, and images of data sets by id.

An address has the content's hash, so that what it returns never changes and browsers keep it. Nothing else of an
address reaches the file system. Images of data sets are decoded and encoded again: the bytes of a file from
outside are never sent.
"""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256 as sha256_hash
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from producer.gallery.page import LARGEST, Gallery
from producer.kept import Kept
from shared.database.catalogue import turns_images
from shared.database.datasets import Dataset
from shared.database.datasets import Image as ImageRow
from shared.errors import ArtifactMissing
from shared.store.store import Store
from unitscope.images.decoding import BrokenImage, decode, read_file

STATIC = Path(__file__).with_name("static")
IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
FORMATS = ("PNG", "JPEG", "WEBP")
SIDES = (120, 240, 360, 720, 1200)  # pixels: longer sides of thumbnails
KEPT_ENCODED = 32 * 2**20  # bytes of thumbnails and cells in memory, of some 10 kB each
KEPT_MOSAICS = 32 * 2**20  # bytes of the pixels of mosaics, whose cells are usually asked for one after the other
QUALITY = 82  # of WebP

Answer = Callable[[Request], Awaitable[Response]]

_encoded_pictures: Kept[tuple[Any, ...], bytes] = Kept(KEPT_ENCODED, len)
_mosaics: Kept[tuple[Path, str], Image.Image] = Kept(
    KEPT_MOSAICS, lambda mosaic: mosaic.width * mosaic.height * (1 if mosaic.mode in ("1", "L", "P") else 4)
)


def _in_thread(read: Callable[[Gallery, Request], Response]) -> Answer:
    async def answer(request: Request) -> Response:
        return await run_in_threadpool(read, request.app.state.gallery, request)

    return answer


def _artifact_path(request: Request) -> str:
    sha256, suffix = request.path_params["sha256"], request.path_params["suffix"]
    if not re.fullmatch("[0-9a-f]{64}", sha256) or suffix not in TYPES:
        raise HTTPException(404, "There is no such picture.")
    return f"{sha256[:2]}/{sha256}.{suffix}"


async def _icon(request: Request) -> Response:
    """Answer the address that browsers ask for by themselves."""
    return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")


def _stored(gallery: Gallery, request: Request) -> Response:
    path = _artifact_path(request)
    content = gallery.store.locate(path).read_bytes()
    return Response(content, headers=IMMUTABLE, media_type=TYPES[Path(path).suffix[1:]])


def _thumbnail(gallery: Gallery, request: Request) -> Response:
    side, path = _side(request), _artifact_path(request)

    def draw() -> bytes:
        return _encoded(_magnified(_decoded(gallery.store, path), side), side)

    return _webp(_encoded_pictures.get((gallery.store.root, path, side), draw))


def _cell(gallery: Gallery, request: Request) -> Response:
    box = (*(request.path_params[side] for side in ("left", "top", "right", "bottom")),)
    path = _artifact_path(request)
    content = _encoded_pictures.get((gallery.store.root, path, box), lambda: _draw_cell(gallery.store, path, box))
    return Response(content, headers=IMMUTABLE, media_type="image/png")


def _side(request: Request) -> int:
    side: int = request.path_params["side"]
    if side not in SIDES:
        raise HTTPException(404, f"Thumbnails have sides of {', '.join(map(str, SIDES))} pixels.")
    return side


def _webp(content: bytes) -> Response:
    return Response(content, headers=IMMUTABLE, media_type="image/webp")


def _draw_cell(store: Store, path: str, box: tuple[int, int, int, int]) -> bytes:
    mosaic = _mosaics.get((store.root, path), lambda: _decoded(store, path))
    left, top, right, bottom = box
    if not (0 <= left < right <= mosaic.width and 0 <= top < bottom <= mosaic.height):
        raise HTTPException(404, f"The picture has {mosaic.width} x {mosaic.height} pixels.")
    buffer = io.BytesIO()
    mosaic.crop(box).save(buffer, "PNG")
    return buffer.getvalue()


def read_artifact(store: Store, path: str) -> Image.Image:
    """Decode an artifact that is a picture.

    Raises
    ------
    ArtifactMissing
    BrokenImage
        It is no picture.
    """
    return decode(store.locate(path).read_bytes())


def picture_size(store: Store, path: str) -> tuple[int, int] | None:
    """Return the width and height in the header of an artifact that is a picture, so that a page can leave room
    for it; None if it can't be read."""
    try:
        with Image.open(store.locate(path), formats=FORMATS) as picture:
            return picture.size
    except (ArtifactMissing, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _decoded(store: Store, path: str) -> Image.Image:
    try:
        return read_artifact(store, path)
    except BrokenImage as error:
        raise HTTPException(404, f"The artifact {path} is no picture: {error}.") from error


def _magnified(picture: Image.Image, side: int) -> Image.Image:
    """Magnify a picture of few pixels, which browsers would blur, to at most ``side``."""
    factor = side // max(picture.size)
    if factor < 2:
        return picture
    return picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)


def _encoded(image: Image.Image, side: int) -> bytes:
    """Return the image as WebP, made smaller if its longer side has more than ``side`` pixels."""
    image.thumbnail((side, side), Image.Resampling.HAMMING, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=0)  # the fastest, some 10 % larger than others
    return buffer.getvalue()


def _dataset_image(gallery: Gallery, request: Request) -> Response:
    image_id, side = request.path_params["image_id"], _side(request)
    if image_id > LARGEST:
        raise HTTPException(404, "There is no image with such a large number.")
    with gallery.database.read() as session:
        sha256 = session.scalar(select(ImageRow.sha256).where(ImageRow.id == image_id)) or ""
    if sha256[:16] != request.path_params["sha256"]:
        raise HTTPException(404, f"There is no image {image_id} with this content.")
    try:
        return _webp(_encoded(read_image(gallery, image_id), side))
    except BrokenImage as error:
        raise HTTPException(404, f"Image {image_id} can't be read here: {error}.") from error


def read_image(gallery: Gallery, image_id: int) -> Image.Image:
    """Decode the file of a data set's image, turned as the data set's images are used.

    Raises
    ------
    BrokenImage
        The file is not on this machine, can't be decoded, or was changed since it was registered.
    """
    with gallery.database.read() as session:
        image = session.get_one(ImageRow, image_id)
        dataset = session.get_one(Dataset, image.dataset_id)
    content = read_file(Path(dataset.root) / image.path)
    if sha256_hash(content).hexdigest() != image.sha256:
        raise BrokenImage("changed file", f"{image.path} was changed since {dataset.name} was registered")
    return decode(content, upright=turns_images(dataset.options))


def image_link(image_id: int, sha256: str, side: int = 720) -> str:
    """Return the address of the file of a data set's image, with a longer side of at most ``side`` pixels."""
    return f"/images/{image_id}/{sha256[:16]}/{side}.webp"


PICTURE_ROUTES: tuple[tuple[str, Answer], ...] = (
    ("/favicon.ico", _icon),
    ("/pictures/{sha256}.{suffix}/{side:int}.webp", _in_thread(_thumbnail)),
    ("/pictures/{sha256}.{suffix}/{left:int}-{top:int}-{right:int}-{bottom:int}.png", _in_thread(_cell)),
    ("/pictures/{sha256}.{suffix}", _in_thread(_stored)),
    ("/images/{image_id:int}/{sha256}/{side:int}.webp", _in_thread(_dataset_image)),
)
