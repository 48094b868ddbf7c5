"""Planners: dynamic programming on the model of an environment. They play no steps to learn."""
