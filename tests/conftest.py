"""Every test runs torch on one thread: the networks are small, and two test processes would only wait for each other."""

import torch

torch.set_num_threads(1)
