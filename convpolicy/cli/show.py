"""`convpolicy show`: a policy, or what it asks of one role, drawn or in words."""

from __future__ import annotations

from typing import Annotated

import typer

from convpolicy.cli.exits import UsageError
from convpolicy.cli.files import module_of
from convpolicy.errors import one_of
from convpolicy.machine import Machine
from convpolicy.policy.model import Policy, Role
from convpolicy.policy.nearest import did_you_mean
from convpolicy.show import formats, render
from convpolicy.verify.check import require
from convpolicy.verify.roles.projection import project

__all__ = ["show"]


def show(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A policy file, or - for stdin.")],
    role: Annotated[str | None, typer.Option(metavar="R", help="Show what the policy asks of this role.")] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="FORMAT", help="scribble, sequence, mermaid; of a role: prose, table, mermaid, dot."
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="The protocol, where the file has several.")
    ] = None,
) -> None:
    """Draw a policy, or say in words what one role may do."""
    policy = module_of(file).policy(protocol)
    shown = policy if role is None else _machine(policy, role)
    chosen = as_ or ("sequence" if role is None else "prose")
    if chosen not in formats(shown):
        kind = "a policy" if role is None else "a role's machine"
        raise UsageError(f"{kind} cannot be shown as {chosen!r}\n  It can be shown as {one_of(formats(shown))}.")
    typer.echo(render(shown, chosen))


def _machine(policy: Policy, role: str) -> Machine:
    names = [known.name for known in policy.roles]
    if role not in names:
        hint = f"{did_you_mean(role, names)}The roles of {policy.name} are {one_of(names, word='and')}."
        raise UsageError(f"{policy.name} has no role {role}\n  {hint}")
    require(policy, role)
    return project(policy, Role(role).name)
