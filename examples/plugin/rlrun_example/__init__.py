"""An agent, an environment and their configs, as a package of its own."""
