"""Where and how a run computes: the device, its threads, transfer to it, and functions compiled or recorded.

Knows nothing of agents or environments; sees the vocabulary and `numerics`.
"""
