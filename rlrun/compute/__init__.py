"""Where and how a run computes: the device, its threads, transfer to it, and functions compiled or recorded.

Knows nothing of agents or environments; sees `nn`, `numerics` and the vocabulary. What has only run in simulation on a
CPU, or never on a GPU, is marked as experimental.
"""
