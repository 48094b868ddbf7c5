"""Networks: trunks, heads, initialisation, optimizers and gradient descent.

Imports `numerics` (schedules of learning rates) and below; nothing here depends on an algorithm.
"""
