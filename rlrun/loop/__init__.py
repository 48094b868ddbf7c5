"""The training loop: collect, learn, evaluate, record. One for every agent."""
