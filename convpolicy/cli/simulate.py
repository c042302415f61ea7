"""`convpolicy simulate`: a policy's conversations, and a module's services in them, while things go wrong."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Annotated, Any, TypeAlias, TypeGuard

import typer

from convpolicy.cli.exits import Exit, UsageError
from convpolicy.cli.files import module_of
from convpolicy.cli.modules import defined
from convpolicy.errors import one_of
from convpolicy.policy.model import Policy, Role
from convpolicy.runtime.services.service import Service
from convpolicy.testing.simulation import Faults, Report
from convpolicy.testing.simulation import simulate as run
from convpolicy.testing.simulation.faults import KINDS

__all__ = ["simulate"]

AnyService: TypeAlias = Service[Any, Any]
Player: TypeAlias = AnyService | Callable[..., AnyService] | Callable[[Any], Awaitable[object]]

_Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODULE:SERVICE",
        help="Services to play; or ROLE=MODULE:FUNCTION, a script or what makes a service. The others are improvised.",
    ),
]
_Faults = Annotated[
    str | None, typer.Option(metavar="KINDS", help=f"What goes wrong, all but lies when not given: {', '.join(KINDS)}.")
]


def simulate(
    file: Annotated[str, typer.Argument(metavar="POLICY", help="A policy file, or - for stdin.")],
    targets: _Targets = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="The protocol, where a file has several.")
    ] = None,
    *,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="How many runs.")] = 1000,
    seed: Annotated[int | None, typer.Option(metavar="K", help="Only the run of this seed.")] = None,
    faults: _Faults = None,
    bus: Annotated[bool, typer.Option("--bus", help="Over a service bus, also with two roles.")] = False,
    durable: Annotated[bool, typer.Option("--durable", help="With a journal for every process.")] = False,
    log: Annotated[
        bool, typer.Option("--log", help="Print everything that happens in a run that breaks a rule.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Play a policy many times while frames are lost and processes are killed, and check every run."""
    policy = module_of(file).policy(protocol)
    kinds = None if faults is None else Faults.of(filter(None, faults.split(",")))
    chosen = range(seeds) if seed is None else [seed]
    with _bar(len(chosen)) as progress:
        report = run(
            policy,
            seeds=chosen,
            faults=kinds,
            roles=dict(_player(policy, target) for target in targets or ()),
            bus=bus or None,
            durable=durable,
            progress=progress,
        )
    _print(report, log=log, as_json=as_json)
    raise typer.Exit(Exit.GOOD if report else Exit.REFUSED)


def _print(report: Report, *, log: bool, as_json: bool) -> None:
    typer.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if as_json else str(report))
    if log and report.failure is not None:
        typer.echo("\n".join(map(str, report.failure.events)))


def _player(policy: Policy, target: str) -> tuple[Role[Any, Any], Player]:
    """Return a role and who plays it."""
    name, equals, place = target.rpartition("=")
    player = defined(place, "service or function", "shop.seller:seller", _plays)
    if not equals and not _is_service(player):
        raise UsageError(f"{target} is a function, and does not say for which role\n  Write ROLE={target}.")
    role = player.role if _is_service(player) else name
    if role not in [each.name for each in policy.roles]:
        roles = one_of((each.name for each in policy.roles), word="and")
        raise UsageError(f"{policy.name} has no role {role}\n  Its roles are {roles}.")
    return Role[Any, Any](role), player


def _is_service(value: object) -> TypeGuard[AnyService]:
    return isinstance(value, Service)


def _plays(value: object) -> TypeGuard[Player]:
    return _is_service(value) or inspect.isfunction(value)


@contextmanager
def _bar(total: int) -> Generator[Callable[[Report], None] | None]:
    """Draw how far it is, where somebody looks."""
    if not sys.stderr.isatty() or total == 1:
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and most calls need no bar
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("Simulating", total=total)
        yield lambda report: bar.update(shown, completed=report.seeds)
