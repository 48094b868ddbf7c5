"""Agents: a file per algorithm, read from top to bottom like the paper's pseudocode.

`tables/`, `linear/` and `planning/` hold those that need no network. An agent sees `numerics`, `nn`, `replay` and
`compute`; it knows nothing of the loop, of files, or of the command line's names for its arguments.
"""
