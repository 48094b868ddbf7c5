"""Pictures of single states of rlrun's own worlds, for videos."""
