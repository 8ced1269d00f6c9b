"""One thread, as in tests/unit."""

import torch

torch.set_num_threads(1)
