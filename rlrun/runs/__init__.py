"""What a run leaves on disk: its directory, lock, manifest, checkpoints, rows and episodes.

Everything here survives a crash: files are written whole or not at all, checksummed, and never pickled.
"""
