"""Where and how a run computes: the device, its threads, transfer to it, and compiled or recorded functions.

Knows nothing of agents or environments; imports `nn`, `numerics` and the vocabulary. Code that has only run in
simulation on a CPU, or never on a GPU, is marked as experimental.
"""
