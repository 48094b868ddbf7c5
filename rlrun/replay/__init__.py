"""Replay memories: transitions and stacked frames, in memory or in a file, sampled uniformly.

A replay stores rollouts and returns batches; the agent decides when to sample.
"""
