"""Configuration of the unit tests: torch uses one thread, which is faster for small networks."""

import torch

torch.set_num_threads(1)
