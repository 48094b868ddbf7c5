"""Pictures of single states of our own worlds, for films."""
