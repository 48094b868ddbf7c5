"""A module for each verb of `rlrun.cli.verb_table`. What takes long to import is imported in `run`."""
