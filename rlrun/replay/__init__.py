"""Replay memories: transitions and stacked frames, in memory or in a file, sampled uniformly.

A replay stores what a rollout shows and gives back batches; when to sample is the agent's business.
"""
