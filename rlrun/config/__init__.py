"""From a command's arguments and YAML files to a checked `Config`, and what is said when something is wrong.

Nothing here builds an object; `rlrun.build` does.
"""
