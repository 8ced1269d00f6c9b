"""Download of torchvision's pretrained weights."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError

import torch

from unitscope.errors import DownloadFailed, InvalidArgument
from unitscope.networks.build import torchvision_models

HASH = re.compile(r"-([0-9a-f]{8,})\.")  # first digits of the SHA-256, as part of the file name


def pretrained_url(network: str) -> str:
    """Return the URL of torchvision's default weights of a network.

    Raises
    ------
    InvalidArgument
        the network is not torchvision's.
    """
    models = torchvision_models()
    if network not in models.list_models(module=models):
        raise InvalidArgument(reason=f"{network} has no default weights: only torchvision's networks have them.")
    return str(models.get_model_weights(network).DEFAULT.url)


def download_weights(url: str, folder: Path) -> Path:
    """Download a weights file into ``folder``, check it against the hash in its name, and return its path.

    A progress bar is displayed on stderr.

    Raises
    ------
    DownloadFailed
        the file name contains no hash, the server can't be reached, the disk is full, or the hash differs. The
        partial file is removed.
    """
    name = url.rsplit("/", 1)[-1]
    match = HASH.search(name)
    if match is None:
        raise DownloadFailed(url=url, reason="its file name contains no hash to check the content against")
    try:
        torch.hub.download_url_to_file(url, str(folder / name), hash_prefix=match.group(1))
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: the hash differs
        raise DownloadFailed(url=url, reason=error) from error
    return folder / name
