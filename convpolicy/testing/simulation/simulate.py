"""`simulate`: a policy's conversations played many times, each time from another seed, while things go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from convpolicy.errors import PolicyError, one_of
from convpolicy.policy import model
from convpolicy.policy.model import Label, Role
from convpolicy.runtime.services.service import Service
from convpolicy.testing.simulation.cast import Given
from convpolicy.testing.simulation.faults import Fault, Faults
from convpolicy.testing.simulation.invariants import broken
from convpolicy.testing.simulation.messages import Make
from convpolicy.testing.simulation.report import Failure, Report
from convpolicy.testing.simulation.shrinking import Failing, shrunk
from convpolicy.testing.simulation.world import Setting, World
from convpolicy.verbs import Policy

__all__ = ["setting_of", "simulate"]


def simulate(
    policy: model.Policy,
    *,
    seeds: Iterable[int] = range(1000),
    faults: Faults | None = None,
    roles: Mapping[Role[Any, Any], Given] | None = None,
    messages: Mapping[type[Any] | Label | str, Make] | None = None,
    conversations: int = 3,
    bus: bool | None = None,
    durable: bool = False,
    only: Iterable[Fault] | None = None,
    failures: int = 1,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Play a policy once for every seed, in virtual time, and check every run; the report is true when all is well.

    `roles` are the user's services, functions that make one, or scripts (`async def buy(conversation)`); what nobody
    is given for is improvised. `messages` makes messages where chance alone finds no good ones. Up to `conversations`
    are opened in a run. With a `bus` the processes talk over a service bus, as they always do with more than two roles.
    When `durable`, every process has a journal on a simulated disk, and a crash is no reason to give anything up.
    `faults` is what may go wrong, everything but lies when not given; with `only`, just these faults happen, as when
    a failing seed is looked at again. It stops after so many `failures`, the first of which is made small and drawn.
    `progress` is called after every run.

    Raises NotImplementable; and PolicyError when it cannot be played: a role would begin by itself, no message fits a
    condition, or a service that was given has no handler for something.
    """
    setting = setting_of(
        policy, faults=faults, roles=roles, messages=messages, conversations=conversations, bus=bus, durable=durable
    )
    report = Report(policy.name)
    chosen = None if only is None else tuple(only)
    for seed in seeds:
        _run(setting, seed, chosen, report)
        if progress is not None:
            progress(report)
        if len(report.failing) >= failures:
            break
    return report


def _run(setting: Setting, seed: int, only: tuple[Fault, ...] | None, report: Report) -> None:
    """Play one run, and add it to the report."""
    world = World(setting, seed, only=only).run()
    report.count(world)
    problems = broken(world)
    if problems:
        report.failing.append(seed)
        if report.failure is None:
            report.failure = Failure.of(shrunk(Failing(setting, seed, world, problems)))


def setting_of(
    policy: model.Policy,
    *,
    faults: Faults | None = None,
    roles: Mapping[Role[Any, Any], Given] | None = None,
    messages: Mapping[type[Any] | Label | str, Make] | None = None,
    conversations: int = 3,
    bus: bool | None = None,
    durable: bool = False,
) -> Setting:
    """Return what is common to all runs of `simulate`, whose parameters these are."""
    if durable:
        _ensure_durable(roles or {})
    return Setting(
        policy=_playable(policy, roles or {}),
        faults=Faults.all() if faults is None else faults,
        given={role.name: value for role, value in (roles or {}).items()},
        makers={_name(label): make for label, make in (messages or {}).items()},
        conversations=conversations,
        bus=len(policy.roles) > 2 if bus is None else bus,
        durable=durable,
    )


def _ensure_durable(roles: Mapping[Role[Any, Any], Given]) -> None:
    """Raise PolicyError for what cannot be played with journals."""
    for role, given in roles.items():
        if isinstance(given, Service) and given.journal is None:
            raise PolicyError(
                f"the service of {role.name} has no journal.\n  Give a function that makes it from one: "
                f"`lambda journal: policy.service({role.name}, journal=journal)`, and its handlers."
            )


def _playable(policy: model.Policy, given: Iterable[Role[Any, Any]]) -> Policy:
    """Return the policy with the verbs that play it, if it has the roles that are given for."""
    unknown = [role.name for role in given if role not in policy.roles]
    if unknown:
        names = one_of((role.name for role in policy.roles), word="and")
        raise PolicyError(f"{policy.name} has no role {unknown[0]}.\n  Its roles are {names}.")
    if policy.nested:
        raise PolicyError(
            f"{policy.name} calls {policy.nested[0].name}, and what is called is not simulated.\n"
            "  Write what it does in place of the call."
        )
    if isinstance(policy, Policy):
        return policy
    return Policy(policy.name, policy.body, policy.roles, policy.protocols, policy.at, reliable=policy.reliable)


def _name(label: type[Any] | Label | str) -> str:
    if isinstance(label, str):
        return label
    return label.name if isinstance(label, Label) else label.__name__
