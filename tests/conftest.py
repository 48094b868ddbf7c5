"""Every test runs torch on one thread: networks are small, and two test processes would wait for each other."""

import torch

torch.set_num_threads(1)
