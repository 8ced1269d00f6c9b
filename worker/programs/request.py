"""Input of the worker's programs that compute for a job."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any

import torch

from shared.settings import Settings, load_settings
from worker.arithmetic import configure_determinism


@dataclass(frozen=True)
class Request:
    """The request of the producer, the settings, and the device to compute on."""

    content: dict[str, Any]
    settings: Settings
    device: str


def read_request() -> Request:
    """Read the request as JSON from stdin and the settings from the environment, and prepare this process."""
    os.umask(0o077)
    content = json.loads(sys.stdin.read())
    settings = load_settings({})
    configure_determinism(settings.threads)
    device = os.environ.get("ANALYZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    return Request(content, settings, device)
