"""The command line: `rlrun key=value ...` and `rlrun VERB ...`."""
