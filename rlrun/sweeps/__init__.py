"""Many runs at once: a pool of processes, each an ordinary `rlrun` command, and what their results come to.

Imports `reports`, `loop`, `runs` and what lies below. The truth is in the directories of the runs: a pool keeps no
state of its own, so that it can be killed anywhere and started again.
"""
