"""Agents with linear functions of features."""
