"""Machines run together in every way there is, within a bound: as they are, stopping, and interrupting each other."""
