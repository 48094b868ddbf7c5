"""Planners: dynamic programming on the model of an environment. They learn without acting."""
