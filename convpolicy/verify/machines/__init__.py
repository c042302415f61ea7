"""Machines that were given and not projected: read from text, and judged by k-multiparty compatibility."""

from convpolicy.verify.machines.compatible import compatible
from convpolicy.verify.machines.reading import read_machine, read_machines

__all__ = ["compatible", "read_machine", "read_machines"]
