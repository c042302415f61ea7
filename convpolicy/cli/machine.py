"""`convpolicy check FILE --role R --machine MODULE:MACHINE`: does this machine follow the policy?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

import typer

from convpolicy.cli.exits import Exit, UsageError
from convpolicy.cli.files import module_of
from convpolicy.cli.modules import defined
from convpolicy.machine import Machine
from convpolicy.verify.acceptance import Answer, accepts

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
            "  Write `convpolicy check FILE --role ROLE --machine MODULE:MACHINE`."
        )
    given = defined(machine, "machine", "shop.buyer:machine", _is_machine)
    found = accepts(module_of(files[0]).policy(protocol), given, role)
    if as_json:
        typer.echo(json.dumps([{"file": files[0], **found.to_json()}], indent=2, ensure_ascii=False))
    else:
        typer.echo(str(found))
    return _CODES[found.answer]


def _is_machine(value: object) -> TypeGuard[Machine | TransitionsMachine]:
    from transitions import Machine as TransitionsMachine  # noqa: PLC0415 - slow to import, and needed here only

    return isinstance(value, Machine | TransitionsMachine)
