"""Configuration of the peer tests: torch uses one thread, as in tests/unit."""

import torch

torch.set_num_threads(1)
