"""Recognition of image files, by the ends of their names and by their first bytes."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
}
# Raw photographs are TIFF files, too, of which a reader would find the thumbnail.
CAMERA_RAW = {".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"}
NOT_READ = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    ".avif": "AVIF",
    **dict.fromkeys((".jp2", ".j2k", ".jpc", ".jpf", ".jpx"), "JPEG 2000"),
    ".jxl": "JPEG XL",
    ".psd": "Photoshop",
    ".svg": "SVG",
    ".tga": "TGA",
    **dict.fromkeys(CAMERA_RAW, "camera raw"),
}
KNOWN_BY_NAME = {*CAMERA_RAW, ".svg"}  # formats that can't be told by their first bytes
# Files that lie beside images, and copies that an editor or a browser left. Their content is not looked at.
NOT_IMAGES = {
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".md", ".rst", ".log"),
    *(".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"),
    *(".py", ".ipynb", ".m", ".mat", ".npy", ".npz", ".pkl", ".pickle", ".pt", ".pth", ".h5", ".hdf5", ".db"),
    *(".mp4", ".mov", ".avi", ".mkv", ".mp3", ".wav", ".lmdb", ".parquet", ".tfrecord", ".url", ".lnk", ".xmp"),
    *(".bak", ".tmp", ".part", ".crdownload", ".lock", ".aae", ".cache"),
}
SYSTEM_FILES = {"thumbs.db", "desktop.ini", "icon\r", "ehthumbs.db"}
HEAD_BYTES = 512

READ_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|II\+\0|MM\0\+|P[1-6][ \t\r\n]+[0-9#]"
    rb"|BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)
NOT_READ_MAGIC = {
    "HEIC": re.compile(rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL),
    "AVIF": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP {2}|\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"),
    "camera raw": re.compile(rb"....ftypcrx |FUJIFILMCCD-RAW", re.DOTALL),
    "Photoshop": re.compile(rb"8BPS"),
}


def unsupported_format(content: bytes, name: str = "") -> str | None:
    """Return the image format of a file, by its first bytes or its name, if it is one that is not read."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in KNOWN_BY_NAME:
        return NOT_READ[suffix]
    forms = (form for form, magic in NOT_READ_MAGIC.items() if magic.match(content[:HEAD_BYTES]))
    return next(forms, None)


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its name or, where the name doesn't tell, by its first bytes.

    Images of formats that are not read are images, too: reading them says why they can't be used.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in NOT_READ:
        return True
    if suffix in NOT_IMAGES or is_system_file(path.name) or path.name.endswith("~"):
        return False
    head = _head(path)
    return bool(READ_MAGIC.match(head)) or unsupported_format(head) is not None


def is_system_file(name: str) -> bool:
    """Return whether a file was made by an operating system or is hidden."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file; nothing of another one, or of one that can't be read."""
    try:
        status = path.stat()
        # Reading a pipe, a device or a file of /proc, which has size 0, could block for ever.
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
