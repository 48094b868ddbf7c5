"""Pictures: tables of values, policies and films. Loaded only when one is drawn."""
