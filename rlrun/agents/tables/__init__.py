"""Agents with a table of values of observed states, and fixed policies to evaluate."""
