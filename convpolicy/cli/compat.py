"""`convpolicy compat OLD NEW`: may a policy change while conversations run, and which role is upgraded first?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from convpolicy.cli.exits import Exit, UsageError
from convpolicy.cli.files import module_of
from convpolicy.errors import one_of
from convpolicy.show import chart
from convpolicy.verify.evolution.compatibility import Compatibility, Mixture, Safety, compatible, exchanges, line_of

__all__ = ["compat"]

_CODES = {Safety.SAFE: Exit.GOOD, Safety.BREAKS: Exit.REFUSED, Safety.EXPLORED: Exit.UNDECIDED}


def compat(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The policy file as it is in use.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The policy file as it is to be.")],
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="The protocol, where a file has several.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Ask only whether this role can be upgraded first.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Say whether a policy can change while conversations run, and which roles are upgraded first."""
    found = compatible(module_of(old).policy(protocol), module_of(new).policy(protocol))
    mixture = None if role is None else _of(found, role)
    if as_json:
        typer.echo(json.dumps({"files": [old, new], "role": role, **found.to_json()}, indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(found, mixture)))
    raise typer.Exit(_CODES[found.safety if mixture is None else mixture.safety])


def _of(found: Compatibility, role: str) -> Mixture | None:
    """Return what happens when a role is upgraded first; None when nothing can be mixed."""
    known = [each.name for each in found.new.roles]
    if role not in known:
        raise UsageError(f"{found.new.name} has no role {role}\n  Its roles are {one_of(known, word='and')}.")
    return found.alone.get(role)


def _lines(found: Compatibility, mixture: Mixture | None) -> Iterator[str]:
    if mixture is None:
        yield str(found)
        shown = [each for each in found.alone.values() if each.safety is Safety.BREAKS]
    else:
        yield line_of(found, mixture)
        shown = [mixture] if mixture.stuck else []
    for each in shown:
        yield ""
        yield chart(*exchanges(found, each))
        yield f"  {each.stuck.reason if each.stuck else ''}"
