"""What happened in a run, as it happened: the moves of every conversation at every role, and its end.

The real conversations tell it, from the one place through which each of their moves passes. The dead tell nothing.
What is written here is what the invariants are checked against, and what is drawn when one does not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from convpolicy.conversation import Conversation
from convpolicy.errors import ConversationError
from convpolicy.machine import Lane, Machine, Move
from convpolicy.policy.effects import Values, changed
from convpolicy.rounds import Counts, Nesting, at
from convpolicy.runtime.observing import Observation
from convpolicy.runtime.peers.suspicion import Suspicion
from convpolicy.testing.simulation.process import Process

__all__ = ["Event", "Part", "Record", "Said", "Walk"]


class Event(NamedTuple):
    """Something that happened at `at`, in seconds from the start: `who` did or suffered `what`."""

    at: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:10.4f}  {self.who:<12} {self.what}"


class Said(NamedTuple):
    """A move, when it was made, in seconds from the start, and in which `rounds` of the blocks around it."""

    at: float
    move: Move
    rounds: Counts = ()


class Walk:
    """Moves played on a projected machine: `state` is where that stands, `broken` the first that it does not have."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.state = machine.start
        self.moves: list[Said] = []
        self.broken: Move | None = None
        self.values: Values = {}  # what `learns` has taken over from messages
        self._nesting = _nesting(machine)
        self._left = self._nesting.start.counts  # how often each block was left that may be interrupted

    def play(self, when: float, move: Move) -> None:
        """Take a move."""
        row = self.machine.row(self.state)
        self.moves.append(Said(when, move, self._rounds(move, again=row.continues(move))))
        target = row.moves.get(move)
        if target is not None and self.broken is None:
            self.state = target
            self._left = self._nesting.after(self._left, row.leaves.get(move, frozenset()))
        elif self.broken is None:
            self.broken = move

    def learns(self, move: Move, message: object) -> bool:
        """Take over what a message says that is about to be played; return False when its condition is not true."""
        effect = self.machine.row(self.state).effects.get(move)
        values = dict(self.values)
        if effect is not None and changed(effect, message, values) is not None:
            return False
        self.values = values
        return True

    def _rounds(self, move: Move, *, again: bool) -> Counts:
        """Return in which rounds a move is; an interrupt that is said once `again` is of the one that was left."""
        rounds = at(self._left, self._nesting.path(move.lane))
        return (*rounds[:-1], rounds[-1] - 1) if again else rounds

    def has_left(self, lane: Lane, rounds: Counts) -> bool:
        """Return whether what is said in these rounds of the blocks around a lane is late by now, and dropped."""
        return at(self._left, self._nesting.path(lane)) > rounds


@lru_cache(maxsize=64)
def _nesting(machine: Machine) -> Nesting:
    return Nesting(machine.blocks, (symbol.lane for symbol in machine.symbols))


class Part(Walk):
    """One process's part in one conversation: its moves, played as they are made, and how it ended.

    When `resumed`, it began in a process before this one, and the first moves are not here.
    """

    def __init__(self, process: Process, conversation: Conversation, opened: float) -> None:
        super().__init__(conversation.table.machine)
        self.process, self.conversation, self.opened = process, conversation, opened
        self.resumed = bool(conversation.history)
        if self.resumed:
            names = {self.machine.name(state): state for state in self.machine.states()}
            self.state = names[conversation.state]
        # What its program was given, where it says so: sender, label, and the message.
        self.handled: list[tuple[str, str, object]] = []
        self.ended: float | None = None
        self.lost: float | None = None  # when its process died
        self.error: ConversationError | None = None

    @property
    def role(self) -> str:
        """The role that it plays."""
        return self.machine.role

    @property
    def well(self) -> bool:
        """Whether it came to its end with nothing missing."""
        return self.ended is not None and self.error is None


class Record:
    """Everything that happened. `now` gives seconds from the start."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.events: list[Event] = []
        self.parts: dict[bytes, list[Part]] = {}
        self._open: dict[Conversation, Part] = {}

    def tell(self, who: str, what: str) -> None:
        """Write down that something happened."""
        self.events.append(Event(round(self.now(), 6), who, what))

    def onlooker(self, process: Process) -> Callable[[Observation | None], Observation]:
        """Return what puts this record beside whoever observes a process already."""
        return lambda other: _Onlooker(self, process, other)

    def opened(self, process: Process, conversation: Conversation) -> None:
        """A process plays a role in a conversation from now on."""
        part = self._open[conversation] = Part(process, conversation, self.now())
        self.parts.setdefault(conversation.id, []).append(part)
        self.tell(process.name, f"{_short(conversation)} begins as {conversation.role}")

    def moved(self, conversation: Conversation, move: Move) -> None:
        """A message was said or taken."""
        part = self._open.get(conversation)
        if part is not None:
            part.play(self.now(), move)
            self.tell(part.process.name, f"{_short(conversation)} {move}")

    def ended(self, conversation: Conversation) -> None:
        """A conversation is over for a process."""
        part = self._open.pop(conversation, None)
        if part is not None:
            part.ended, part.error = self.now(), conversation.error
            how = "ends" if part.error is None else f"fails: {type(part.error).__name__}"
            self.tell(part.process.name, f"{_short(conversation)} {how}")

    def died(self, process: Process) -> None:
        """A process is gone, and its parts in conversations with it."""
        self.tell(process.name, "is gone")
        for part in [part for parts in self.parts.values() for part in parts if part.process is process]:
            part.lost = self.now()
            self._open.pop(part.conversation, None)

    def has_left(self, name: str, id: bytes) -> bool:  # noqa: A002
        """Return whether a process is done with a conversation in which messages may come too late."""
        parts = self.parts.get(id, ())
        return any(part.well and part.process.name == name and bool(part.machine.blocks) for part in parts)

    @property
    def open(self) -> list[Part]:
        """The parts that are not over."""
        return list(self._open.values())

    def part(self, id: str, process: Process) -> Part:  # noqa: A002
        """Return the part that a process has in the conversation of this id, in hexadecimal."""
        return next(part for part in reversed(self.parts[bytes.fromhex(id)]) if part.process is process)


class _Onlooker(Observation):
    """Tells a record of what happens in a process, and whoever observes it otherwise as well."""

    def __init__(self, record: Record, process: Process, other: Observation | None) -> None:
        self._record, self._process, self._other = record, process, other

    def opened(self, conversation: Conversation, now: float) -> None:
        if self._process.alive:
            self._record.opened(self._process, conversation)
            if self._other is not None:
                self._other.opened(conversation, now)

    def moved(self, conversation: Conversation, move: Move, now: float) -> None:
        if self._process.alive:
            self._record.moved(conversation, move)
            if self._other is not None:
                self._other.moved(conversation, move, now)

    def ended(self, conversation: Conversation) -> None:
        if self._process.alive:
            self._record.ended(conversation)
            if self._other is not None:
                self._other.ended(conversation)

    def relinked(self, conversation: Conversation, link: str) -> None:
        if self._other is not None:
            self._other.relinked(conversation, link)

    def suspected(self, policy: str, role: str, suspicion: Suspicion) -> None:
        if self._other is not None:
            self._other.suspected(policy, role, suspicion)

    def look(self, now: float) -> None:
        if self._other is not None:
            self._other.look(now)


def _short(conversation: Conversation) -> str:
    return conversation.id.hex()[:6]
