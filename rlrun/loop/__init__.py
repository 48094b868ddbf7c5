"""The training loop: collect, learn, evaluate, record. One for every agent.

Imports `runs` for what it writes, and agents only by their protocol.
"""
