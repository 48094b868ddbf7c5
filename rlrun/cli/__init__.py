"""The command line: `rlrun key=value ...` and `rlrun VERB ...`.

The highest room: it may import any other, and imports each only when it is used, since people wait for the first line.
"""
