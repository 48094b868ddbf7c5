"""Numerics: returns, losses, distributions, schedules, Bellman operators and tabular updates as pure functions.

Tensors and arrays in, tensors and arrays out. No files, no config, no state. Imports only the vocabulary.
"""
