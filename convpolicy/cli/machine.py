"""`convpolicy check FILE --role R --machine MACHINE`: does this machine follow the policy?

A machine is a value of a Python module, or is written in a file, in either of kmc's notations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import typer

from convpolicy.cli.exits import Exit, UsageError
from convpolicy.cli.files import MACHINES, module_of, text_of
from convpolicy.cli.modules import defined
from convpolicy.machine import Machine
from convpolicy.policy.model import Policy
from convpolicy.verify.evolution.acceptance import Answer, accepts
from convpolicy.verify.machines.reading import read_machine

if TYPE_CHECKING:
    from transitions import Machine as TransitionsMachine

__all__ = ["check_machine"]

_CODES = {Answer.ACCEPTED: Exit.GOOD, Answer.REJECTED: Exit.REFUSED, Answer.EXPLORED: Exit.UNDECIDED}


def check_machine(
    files: Sequence[str], protocol: str | None, role: str | None, machine: str | None, *, as_json: bool
) -> Exit:
    """Print whether a machine follows the policy of the one file, and return the exit code.

    Raises:
        UsageError: there are several files, one of the two options is missing, or the module has no such machine.
        ConvPolicyError: as `module_of` and `accepts`.
    """
    if len(files) != 1 or role is None or machine is None:
        raise UsageError(
            "--role and --machine belong together, and to one file\n"
            "  Write `convpolicy check FILE --role ROLE --machine MODULE:MACHINE`, or a file of machines."
        )
    policy = module_of(files[0]).policy(protocol)
    found = accepts(policy, _given(machine, policy, role), role)
    if as_json:
        typer.echo(json.dumps([{"file": files[0], **found.to_json()}], indent=2, ensure_ascii=False))
    else:
        typer.echo(str(found))
    return _CODES[found.answer]


def _given(machine: str, policy: Policy, role: str) -> Machine | TransitionsMachine:
    """Return the machine that is meant: that of a file when there is such a file."""
    if Path(machine).is_file() or Path(machine).suffix in MACHINES:
        return read_machine(text_of(machine), [each.name for each in policy.roles], role, machine)
    return defined(machine, "machine", "shop.buyer:machine", _is_machine)


def _is_machine(value: object) -> TypeGuard[Machine | TransitionsMachine]:
    from transitions import Machine as TransitionsMachine  # noqa: PLC0415 - slow to import, and needed here only

    return isinstance(value, Machine | TransitionsMachine)
