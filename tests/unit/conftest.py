"""One thread: the tests' networks are small, and threads that wait for each other are slower than none."""

import torch

torch.set_num_threads(1)
