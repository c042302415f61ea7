"""Whether a policy can be followed, and each role's machine; whether given machines are safe. Pure functions."""

from convpolicy.verify.compatible import compatible
from convpolicy.verify.reading import read_machine, read_machines

__all__ = ["compatible", "read_machine", "read_machines"]
