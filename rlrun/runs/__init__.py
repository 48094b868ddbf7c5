"""What a run leaves on the disk: its directory, lock, manifest, checkpoints, rows and episodes.

Everything here can be read again after a crash: files are whole or not there, checksummed, and never pickled.
"""
