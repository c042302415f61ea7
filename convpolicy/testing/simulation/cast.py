"""Who plays what in a simulation: the user's services and scripts, and improvised ones for every other role.

A role is played by a process. What it does there is a *program*, written with the same `service`, `player` and `join`
that any user writes with. The role that speaks first opens the conversations that the run asks for; the others take
what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard, cast

from convpolicy.errors import ConversationError, JournalFailed, LinkError, LocalViolation, PolicyError, Unfinished
from convpolicy.journal.port import Journal
from convpolicy.link.port import Link
from convpolicy.machine import Direction
from convpolicy.policy.model import Role
from convpolicy.runtime.scripts.player import Player
from convpolicy.runtime.scripts.script import Script
from convpolicy.runtime.services.service import Playing, Service
from convpolicy.testing.simulation.improvised import Improvised
from convpolicy.testing.simulation.jobs import Jobs
from convpolicy.testing.simulation.process import Process
from convpolicy.verbs import Policy

__all__ = ["Given", "Stage", "opener", "program_of"]

AnyService: TypeAlias = Service[Any, Any]
AnyScript: TypeAlias = Script[Any, Any]
Work: TypeAlias = Coroutine[Any, Any, None]
Plays: TypeAlias = Callable[[AnyScript], Awaitable[object]]

Makes: TypeAlias = Callable[[], AnyService] | Callable[[Journal], AnyService]

# What a user may give for a role: a service, what makes one for each process, from its journal where it takes one, or
# a script.
Given: TypeAlias = AnyService | Makes | Plays

REACH = 60.0  # seconds that a process waits for the other side before it ends, and is started again
DRAIN = 90.0  # seconds in which conversations that are open may come to their end
SEATS = 4  # conversations that a script's process takes at once


@dataclass(frozen=True)
class Stage:
    """What a program needs of its run: the link, the conversations to open, and whom to tell of what it raised."""

    policy: Policy
    role: str
    link: Link
    improvised: Improvised
    jobs: Jobs | None  # of the role that opens
    journal: Journal | None
    given: Given | None
    scripted: bool  # whether an improvised role is a script, and not a service
    thinks: bool  # whether its handlers are async
    wrong: Callable[[BaseException], None]


def opener(policy: Policy) -> str:
    """Return the role that opens conversations: the one that every other waits for.

    Raises:
        PolicyError: a role would have to begin by itself, and nobody would know of what.
    """
    firsts = [role.name for role in policy.roles if _may_begin(policy, role)]
    silent = [role for role in firsts[1:] if not _hears(policy, role)]
    if silent or not firsts:
        who = silent[0] if silent else policy.roles[0].name
        raise PolicyError(f"{who} would begin by itself in {policy.name}, and in no conversation that it knows of.")
    return firsts[0]


def _may_begin(policy: Policy, role: Role[Any, Any]) -> bool:
    machine = policy.project(role)
    return any(move.direction is Direction.SEND for move in machine.row(machine.start).moves)


def _hears(policy: Policy, role: str) -> bool:
    return any(symbol.receiver == role for symbol in policy.project(Role[Any, Any](role)).symbols)


def program_of(stage: Stage) -> Callable[[Process], Any]:
    """Return what the process of a role does."""
    given = stage.given
    if given is None:
        begins = _may_begin(stage.policy, Role[Any, Any](stage.role))
        must = stage.jobs is not None and (stage.journal is not None or not stage.improvised.opens_with_one)
        if must or (stage.scripted and begins == (stage.jobs is not None)):
            return lambda process: _scripts(stage, stage.improvised.script, process)
        return lambda process: _serves(stage, stage.improvised.service(thinks=stage.thinks), process)
    if _is_service(given):
        return lambda process: _serves(stage, given, process)
    if inspect.iscoroutinefunction(given):
        return lambda process: _scripts(stage, cast("Plays", given), process)
    return lambda process: _makes(stage, cast("Makes", given), process)


def _made(make: Makes, journal: Journal | None) -> AnyService:
    """Return a service that a user's function makes; with a journal where it takes one.

    Raises:
        PolicyError: there is a journal, and the function made a service without it.
    """
    places = [p for p in inspect.signature(make).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if any(journal is not None or place.default is place.empty for place in places):
        service = cast("Callable[[Journal | None], AnyService]", make)(journal)
    else:
        service = cast("Callable[[], AnyService]", make)()
    if service.journal is not journal:
        raise PolicyError(
            f"the service of {service.role} was made without the journal of its process.\n"
            f"  Let the function take it: `def make(journal): … policy.service({service.role}, journal=journal)`."
        )
    return service


def _is_service(given: Given) -> TypeGuard[AnyService]:
    return isinstance(given, Service)


# ------------------------------------------------------------------------------------------------- services


async def _serves(stage: Stage, service: AnyService, process: Process) -> None:
    playing = await service.start(via=stage.link, timeout=REACH)
    async with _beside(_opens(stage, playing, stage.jobs, process) if stage.jobs is not None else None):
        await process.left()
    await playing.stop(drain=DRAIN)


async def _makes(stage: Stage, make: Makes, process: Process) -> None:
    await _serves(stage, _made(make, stage.journal), process)


async def _opens(stage: Stage, playing: Playing[Any], jobs: Jobs, process: Process) -> None:
    """Open the conversations that are asked for, one after the other."""
    while True:
        number = await jobs.next(process)
        with _noting(stage):
            dialogue = await playing.open(stage.improvised.opening())
            await stage.improvised.goes_on(dialogue)
        jobs.over(number)


# -------------------------------------------------------------------------------------------------- scripts


async def _scripts(stage: Stage, plays: Plays, process: Process) -> None:
    role = Role[Any, Any](stage.role)
    async with stage.policy.player(role, via=stage.link, timeout=REACH, journal=stage.journal) as player:
        if stage.jobs is None:
            work = [_takes(stage, plays, player) for _ in range(SEATS)]
        else:
            work = [_asked(stage, plays, player, stage.jobs, process)]
        async with _beside(*work):
            await process.left()


async def _takes(stage: Stage, plays: Plays, player: Player[Any, Any]) -> None:
    """Play in one conversation after the other."""
    while True:
        with contextlib.suppress(JournalFailed), _noting(stage):  # the process is about to end
            async with player.join() as conversation:
                await plays(conversation)


async def _asked(stage: Stage, plays: Plays, player: Player[Any, Any], jobs: Jobs, process: Process) -> None:
    """Open the conversations that are asked for, as many at once as there are."""

    async def one(number: int) -> None:
        try:
            with _noting(stage):
                name = "" if stage.journal is None else f"order {number}"
                async with player.join(name=name) as conversation:
                    await plays(conversation)
        except JournalFailed:
            return  # it is taken up again by the process that follows
        jobs.over(number)

    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(one(await jobs.next(process)))


@contextlib.asynccontextmanager
async def _beside(*work: Work | None) -> AsyncGenerator[None]:
    """Do some work while the block runs, and stop with it."""
    tasks = [asyncio.create_task(each) for each in work if each is not None]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _noting(stage: Stage) -> Generator[None]:
    """Note what a program raises of its own; that a conversation has ended early is told to it, and is no fault."""
    try:
        yield
    except (LocalViolation, Unfinished) as problem:
        stage.wrong(problem)
    except JournalFailed:
        raise
    except (ConversationError, LinkError):
        pass
    except Exception as problem:  # noqa: BLE001 - a script may raise anything
        stage.wrong(problem)
