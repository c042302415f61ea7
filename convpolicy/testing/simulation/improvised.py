"""Improvised programs: a role's handlers, or its script, when the user has written none.

They use what users use, `service.on`, `yield`, `tell`, `send`, `receive`, in the ways that users do: plain and async
handlers, some that think for a while, messages that are waited for with a timeout or without.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, TypeAlias

from convpolicy.errors import LocalViolation, PolicyError
from convpolicy.journal.port import Journal
from convpolicy.machine import CRASH, Direction, Move, independent
from convpolicy.policy.model import Crashed, Label, Role, has_conditions, name_of
from convpolicy.runtime.dialogue import Dialogue
from convpolicy.runtime.handlers import OnTimer
from convpolicy.runtime.scripts.script import Script
from convpolicy.runtime.services.service import Service
from convpolicy.testing.simulation.improvising import Improviser
from convpolicy.testing.simulation.record import Part, Walk
from convpolicy.verbs import Policy

__all__ = ["Improvised", "NothingFits"]

AnyDialogue: TypeAlias = Dialogue[Any]
AnyScript: TypeAlias = Script[Any, Any]
Find: TypeAlias = Callable[[str], Part]

TRIES = 500  # messages that are made up before a condition on values counts as one that nothing fits


class Improvised:
    """One process's improvised play of a role. `find` gives its part in a conversation by the conversation's id.

    `improvises` gives what makes things up, by what it is for. `unfit` is told when no message fits a condition, which
    is nobody's fault. With a `journal`, handlers answer at once and scripts make up the same again when they are run
    again.
    """

    def __init__(
        self,
        policy: Policy,
        role: str,
        improvises: Callable[[str], Improviser],
        *,
        find: Find,
        unfit: Callable[[NothingFits], None],
        journal: Journal | None = None,
    ) -> None:
        self._policy, self._role, self._journal = policy, role, journal
        self._improvises, self._find, self._unfit = improvises, find, unfit
        self._improviser = improvises("")
        self._thinking: dict[bytes, _Turn] = {}  # the handlers that are not done, by their conversations
        self._careful = has_conditions(policy)

    # ----------------------------------------------------------------------------------------- a service

    def service(self, *, thinks: bool) -> Service[Any, Any]:
        """Return a service with a handler for everything; one that `thinks` has async ones."""
        service = self._policy.service(Role[Any, Any](self._role), journal=self._journal)
        labels: list[Any] = [*service.part.receives.values(), *([Crashed] if service.part.notices else [])]
        for label in labels:
            name = label.name if isinstance(label, Label) else CRASH
            service.on(label)(self._thoughtful(name) if thinks and self._journal is None else self._prompt(name))
        for name in service.part.timers:
            timer: OnTimer[object] = service.after(service.part.sends[name])
            timer(self._on_time(name))
        return service

    def _on_time(self, label: str) -> Callable[[AnyDialogue], Iterator[object]]:
        def rung(conversation: AnyDialogue) -> Iterator[object]:
            part = self._find(conversation.id)
            with self._alone(part) as turn:
                timer = self._improviser.timer(part)
                if turn is not None and timer is not None and timer.label == label:
                    yield self._made(timer)
                while turn is not None and (move := self._improviser.next(part)) is not None:
                    if not self._told(move, part, conversation):
                        yield self._made(move)

        return rung

    def _prompt(self, label: str) -> Callable[[object, AnyDialogue], Iterator[object]]:
        def answer(message: object, conversation: AnyDialogue) -> Iterator[object]:
            part = self._handled(label, message, conversation)
            with self._alone(part) as turn:
                while turn is not None and (move := self._improviser.next(part)) is not None:
                    if not self._told(move, part, conversation):
                        yield self._made(move)

        return answer

    def _thoughtful(self, label: str) -> Callable[[object, AnyDialogue], AsyncIterator[object]]:
        async def answer(message: object, conversation: AnyDialogue) -> AsyncIterator[object]:
            part = self._handled(label, message, conversation)
            with self._alone(part) as turn:
                while turn is not None and (move := self._improviser.next(part)) is not None:
                    pause = self._improviser.pause()
                    if pause or self._improviser.waits(part):
                        await asyncio.sleep(pause)
                    elif not self._told(move, part, conversation):
                        yield self._made(move)

        return answer

    def _handled(self, label: str, message: object, conversation: AnyDialogue) -> Part:
        part = self._find(conversation.id)
        sender = conversation.sender.name if conversation.sender else ""
        part.handled.append((sender, label, message))
        self._improviser.heard(label, message)
        return part

    def _made(self, move: Move) -> object:
        message = self._improviser.message(move)
        self._improviser.said(move, message)
        return message

    def _told(self, move: Move, part: Part, conversation: AnyDialogue) -> bool:
        """Say a message here and now where a handler that yields it could not; return whether it was said."""
        if not self._careful and not _ambiguous(move, part):
            return False
        for _ in range(TRIES):
            message = self._improviser.message(move)
            try:
                conversation.tell(message, to=Role[object, object](move.peer))
            except LocalViolation as problem:
                if not problem.values:
                    raise
                move = self._improviser.next(part) or move
            else:
                self._improviser.said(move, message)
                return True
        raise self._nothing_fits(move)

    @contextlib.contextmanager
    def _alone(self, part: Part) -> Generator[_Turn | None]:
        """Give a turn to say what there is to say; None where another handler of the conversation is still at it.

        One that was interrupted is not: it will be stopped, and the handler of the interrupt goes on.
        """
        id, before = part.conversation.id, self._thinking.get(part.conversation.id)  # noqa: A001
        if before is not None and not before.over:
            yield None
            return
        turn = self._thinking[id] = _Turn(part)
        try:
            yield turn
        finally:
            if self._thinking.get(id) is turn:
                del self._thinking[id]

    def _nothing_fits(self, move: Move) -> NothingFits:
        problem = NothingFits(move.label)
        self._unfit(problem)
        return problem

    # ------------------------------------------------------------------------------------ opening and scripts

    async def goes_on(self, conversation: AnyDialogue) -> None:
        """Say what is left to say at the beginning of a conversation that a service has opened."""
        part = self._find(conversation.id)
        with self._alone(part) as turn:
            while turn is not None and conversation.error is None and (move := self._improviser.next(part)) is not None:
                if not self._told(move, part, conversation):
                    conversation.tell(self._made(move))
                await asyncio.sleep(self._improviser.pause())

    @property
    def opens_with_one(self) -> bool:
        """Whether any first message says by its name alone which one it is, so that a service can open with it."""
        moves = self._improviser.first
        return not self._careful and len({move.label for move in moves}) == len(moves)

    def opening(self) -> object:
        """Return a first message."""
        return self._made(self._improviser.begin())

    async def script(self, conversation: AnyScript) -> None:
        """Play a conversation to its end."""
        again = self._journal is not None  # so that the conversation may be ahead of its script
        improviser = self._improvises(conversation.id) if again else self._improviser
        walk = improviser.walk() if again else self._find(conversation.id)
        while walk.machine.row(walk.state).moves:
            moves = await self._goes_on(walk, conversation, improviser)
            if moves is None:
                return
            for move in moves if again else ():
                walk.play(0.0, move)

    async def _goes_on(self, walk: Walk, conversation: AnyScript, improviser: Improviser) -> list[Move] | None:
        """Say or take something, and return the moves; None when it has been enough."""
        move, timer = improviser.next(walk), improviser.timer(walk)
        if move is not None and not improviser.waits(walk):
            await asyncio.sleep(improviser.pause())
            return await self._sends(move, walk, conversation, improviser)
        if improviser.awaits(walk):
            came = await self._receives(walk, conversation, improviser, patient=move is None, timer=timer)
            if came or timer is None or move is not None:
                return came
            return await self._sends(timer, walk, conversation, improviser)
        if move is not None:
            return []
        if timer is None or walk.machine.is_final(walk.state):
            return None
        await conversation.due(Label(timer.label))
        return await self._sends(timer, walk, conversation, improviser)

    async def _sends(self, move: Move, walk: Walk, conversation: AnyScript, improviser: Improviser) -> list[Move]:
        """Say a message, and return the moves by which it goes to its receivers."""
        for _ in range(TRIES):
            message = improviser.message(move)
            said = improviser.after_saying(move, walk)
            # What is refused is not in a journal: a script that runs again does not say it, and neither at first.
            fits = isinstance(walk, Part) or walk.learns(move, message)
            try:
                if fits:
                    await conversation.send(message, to=Role[Any, Any](move.peer))
                    improviser.said(move, message)
                    return said
            except LocalViolation as problem:
                if not problem.values:
                    raise
            move = improviser.next(walk) or move
        raise self._nothing_fits(move)

    async def _receives(
        self, walk: Walk, conversation: AnyScript, improviser: Improviser, *, patient: bool, timer: Move | None
    ) -> list[Move]:
        """Take a message, and return the move; none where it is `patient` and the timer rings, or too late."""
        until = Label(timer.label) if timer is not None and patient else None
        try:
            message = await conversation.receive(timeout=None if patient else improviser.pause(), until=until)
        except TimeoutError:
            return []
        sender = conversation.sender.name if conversation.sender else ""
        label = CRASH if isinstance(message, Crashed) else name_of(message)
        improviser.heard(label, message)
        if isinstance(walk, Part):
            walk.handled.append((sender, label, message))
            return [walk.moves[-1].move]
        move = improviser.after_hearing(label, sender, walk)
        if not walk.learns(move, None if label == CRASH else message):
            raise Untrue(label, sender)
        return [move]


class _Turn:
    """A handler at work, from its message on."""

    def __init__(self, part: Part) -> None:
        self._part, self._since = part, len(part.moves)
        self._lane = part.moves[-1].move.lane if part.moves else ()

    @property
    def over(self) -> bool:
        """Whether another role has interrupted it since: then it is stopped at its next message."""
        came = (move for _, move, _ in self._part.moves[self._since :] if move.direction is Direction.RECEIVE)
        return any(move.interrupts and not independent(move.lane, self._lane) for move in came)


def _ambiguous(move: Move, part: Part) -> bool:
    """Return whether a message of this name may be said to several roles now, each time another message."""
    moves = part.machine.row(part.state).moves
    return sum(1 for other in moves if (other.direction, other.label) == (Direction.SEND, move.label)) > 1


class Untrue(AssertionError):
    """A program was given a message whose condition is not true."""

    def __init__(self, label: str, sender: str) -> None:
        super().__init__(f"{label} from {sender} was handed out, and its condition is not true")


class NothingFits(PolicyError):
    """No values were found of which the condition of a message is true."""

    def __init__(self, label: str) -> None:
        super().__init__(
            f"no {label} was found of which the condition is true, among {TRIES}.\n"
            f'  Say how to make one: `messages={{"{label}": lambda random: …}}`.'
        )
