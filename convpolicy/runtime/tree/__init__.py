"""A policy over a distribution tree: one player of the root role, any number of leaves that each follow it."""
