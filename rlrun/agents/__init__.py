"""Agents: a file per algorithm, read from top to bottom like the paper's pseudocode.

`tables/`, `linear/` and `planning/` hold those that need no network. An agent sees `numerics`, `nn`, `replay` and
`compute`; it never knows the loop, a file of results, or what the command line calls its arguments.
"""
