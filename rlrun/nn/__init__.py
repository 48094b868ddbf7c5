"""Networks: trunks, heads, initialisation, optimizers and gradient descent.

Sees `numerics` (schedules of learning rates) and below; nothing here knows an algorithm.
"""
