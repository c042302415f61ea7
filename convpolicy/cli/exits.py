"""Exit codes, and which error leads to which."""

from __future__ import annotations

from enum import IntEnum

from convpolicy.errors import ConvPolicyError, NotCompatible, NotImplementable, ServiceError, WiringError

__all__ = ["Exit", "UsageError", "code_of"]


class Exit(IntEnum):
    """What a command tells the shell."""

    GOOD = 0
    REFUSED = 1
    ERROR = 2
    UNDECIDED = 3


class UsageError(ConvPolicyError):
    """The command line asks for what is not there."""


def code_of(problem: ConvPolicyError) -> Exit:
    """Return the code for an error: 1 when a check refused a policy or a service, 2 for everything else."""
    return (
        Exit.REFUSED
        if isinstance(problem, NotCompatible | NotImplementable | ServiceError | WiringError)
        else Exit.ERROR
    )
