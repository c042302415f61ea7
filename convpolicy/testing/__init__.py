"""What convpolicy gives to the tests of its users: `simulate`, and by name `convpolicy.testing.pair` and others."""

from convpolicy.testing.simulation import Faults, Report, exhaust, simulate

__all__ = ["Faults", "Report", "exhaust", "simulate"]
