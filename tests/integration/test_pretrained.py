"""``--weights DEFAULT``: torchvision's pretrained weights, downloaded from a local server."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch

from shared.store.store import Store
from tests.integration.serving import Server
from unitscope.description import NetworkSpecification
from unitscope.errors import DownloadFailed, InvalidArgument
from unitscope.networks import build as networks
from unitscope.networks.pretrained import download_weights, pretrained_url
from worker.programs import describe


def weights_file() -> bytes:
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.save(networks.build("resnet18", 1000, 64).state_dict(), file)
    return file.getvalue()


def test_the_url_is_that_of_torchvision() -> None:
    assert pretrained_url("resnet18") == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    with pytest.raises(InvalidArgument, match="zfnet has no default weights"):
        pretrained_url("zfnet")


def test_weights_for_a_thousand_classes_become_those_of_a_network_with_a_new_head(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = weights_file()
    name = f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    server.pages[f"/{name}"] = content
    monkeypatch.setattr(describe, "pretrained_url", lambda network: f"{server.url}/{name}")
    specification = NetworkSpecification(name="resnet18", classes=20, image_size=64)
    taken = describe.take_weights(specification, Path("DEFAULT"), Store(tmp_path / "store"), pretrained=True)
    assert Store(tmp_path / "store").locate(taken["path"]).stat().st_size > 10_000_000


def test_content_with_another_hash_than_its_name_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    server.pages["/resnet18-00000000.pth"] = b"something else"
    with pytest.raises(DownloadFailed, match="hash"):
        download_weights(f"{server.url}/resnet18-00000000.pth", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["resnet18-0123abcd.pth", "resnet18.pth"])
def test_a_missing_file_or_a_name_without_a_hash_is_an_error(server: Server, tmp_path: Path, name: str) -> None:
    with pytest.raises(DownloadFailed):
        download_weights(f"{server.url}/{name}", tmp_path)
    assert list(tmp_path.iterdir()) == []
