"""Torchvision's own weights, downloaded."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError

import torch

from unitscope.errors import DownloadFailed, InvalidArgument
from unitscope.networks.build import torchvision_models

HASH = re.compile(r"-([0-9a-f]{8,})\.")  # in the file's name: the first digits of its SHA-256


def pretrained_url(network: str) -> str:
    """Where torchvision's default weights of a network are.

    Raises
    ------
    InvalidArgument
        torchvision has none for it.
    """
    models = torchvision_models()
    if network not in models.list_models(module=models):
        raise InvalidArgument(reason=f"Default weights are for networks of torchvision; {network} has none.")
    return str(models.get_model_weights(network).DEFAULT.url)


def download_weights(url: str, folder: Path) -> Path:
    """Fetch a file of weights and check the hash that its name holds; a bar on stderr shows how far it is.

    Raises
    ------
    DownloadFailed
        network, disk, or another hash: nothing is kept.
    """
    name = url.rsplit("/", 1)[-1]
    found = HASH.search(name)
    if found is None:
        raise DownloadFailed(url=url, reason="its name holds no hash to check it against")
    try:
        torch.hub.download_url_to_file(url, str(folder / name), hash_prefix=found.group(1))
    except (URLError, OSError, RuntimeError) as error:  # the last of a wrong hash
        raise DownloadFailed(url=url, reason=error) from error
    return folder / name
