"""Agents with a table of values for states that they see, and fixed policies to evaluate."""
