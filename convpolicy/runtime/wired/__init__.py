"""A policy over a wiring: one role's conversations over several links at once."""
