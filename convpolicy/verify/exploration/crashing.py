"""Exhaustive search over communicating machines some of which may stop, at any time and in any number.

A role that stops does nothing any more. What it has sent is still received; what is sent to it, before or after, is
lost. Once a channel from it is empty, its receiver may take the crash branch of the state that it is in, if there is
one: the crash is noticed as the last message of the channel, and as often as it is waited for.

A role may stop at its end too: what it has said may not be known to have arrived, so others may take it for a crash.
Otherwise this is the search of `explore`, and judges the same things.

Source: the operational semantics of Barwell, Hou, Yoshida and Zhou, "Designing Asynchronous Multiparty Protocols with
Crash-Stop Failures", ECOOP 2023, section 3, with bounded channels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from convpolicy.errors import one_of
from convpolicy.machine import CRASH, Direction, Machine, Move, State
from convpolicy.verify.exploration.explore import Configuration, Entry, Exploration, Search, Step, explore, replaced

__all__ = ["explore_crashes", "explored", "replay_crashes"]

STOPPED: State = -1  # in the place of the state of a role that has stopped


def explore_crashes(
    machines: Mapping[str, Machine], stopping: Collection[str], bound: int, *, limit: int = 200_000
) -> Exploration:
    """Visit what can happen when the roles `stopping` may stop, with at most `bound` messages in each channel.

    Raises:
        ValueError: the bound is not positive.
    """
    return _Stopping(machines, stopping, bound).run(limit)


def explored(
    machines: Mapping[str, Machine], stopping: Collection[str], bound: int, *, limit: int = 200_000
) -> Exploration:
    """Visit what can happen, with every crash where a role may stop. Raises as `explore_crashes` does."""
    if stopping:
        return explore_crashes(machines, stopping, bound, limit=limit)
    return explore(machines, bound, limit=limit)


def replay_crashes(machines: Mapping[str, Machine], trace: Iterable[Step]) -> bool:
    """Return whether the system can take these steps, one after the other, with room in every channel."""
    system = _Stopping(machines, tuple(machines), bound=10**9)
    here = system.start
    for step in trace:
        after = next((after for taken, after in system.steps(here) if taken == step), None)
        if after is None:
            return False
        here = after
    return True


class _Stopping(Search[Configuration]):
    """A system in which the roles `stopping` may stop."""

    def __init__(self, machines: Mapping[str, Machine], stopping: Collection[str], bound: int) -> None:
        super().__init__(machines, bound)
        self.start = self.beginning
        self._stopping = tuple(place for place, role in enumerate(self._roles) if role in stopping)

    def seen(self, here: Configuration) -> Configuration:
        return here

    def steps(self, here: Configuration) -> Iterator[tuple[Step, Configuration]]:
        """Yield every step, those in which a role stops too."""
        yield from self.moves(here)[0]
        yield from self.stops(here)

    def moves(self, here: Configuration) -> tuple[list[tuple[Step, Configuration]], bool]:
        found: list[tuple[Step, Configuration]] = []
        prevented = False
        states, queues = here
        for place, state in enumerate(states):
            for entry in self._row(place, state) if state != STOPPED else ():
                left = self._left(entry, states, queues[entry.channel])
                if left is not None:
                    moved = replaced(states, place, entry.target)
                    found.append((entry.step, (moved, replaced(queues, entry.channel, left))))
                else:
                    prevented |= entry.sends
        return found, prevented

    def stops(self, here: Configuration) -> Iterator[tuple[Step, Configuration]]:
        """Yield what it leads to when one more role stops."""
        states, queues = here
        for place in self._stopping:
            if states[place] != STOPPED:
                role = self._roles[place]
                left = tuple(
                    [
                        () if receiver == place else queue
                        for receiver, queue in zip(self._receivers, queues, strict=True)
                    ]
                )
                yield Step(role, Move(Direction.SEND, role, CRASH)), (replaced(states, place, STOPPED), left)

    def _left(self, entry: Entry, states: tuple[State, ...], queue: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return what is in the channel of a move after it; None when it cannot be made."""
        if entry.label == CRASH:
            return queue if not queue and states[entry.sender] == STOPPED else None
        if not entry.sends:
            return queue[1:] if queue and queue[0] == entry.label else None
        if states[entry.receiver] == STOPPED:
            return queue
        return (*queue, entry.label) if len(queue) < self._bound else None

    def waiting(self, states: tuple[State, ...]) -> Iterator[str]:
        for role, state in zip(self._roles, states, strict=True):
            if state != STOPPED and not self._machines[role].is_final(state):
                yield f"{role} {self._waits(role, state, states)}"

    def _waits(self, role: str, state: State, states: tuple[State, ...]) -> str:
        wanted = [move for move in self._machines[role].enabled(state) if move.label != CRASH]
        peers = dict.fromkeys(move.peer for move in wanted)
        gone = [peer for peer in peers if states[self._roles.index(peer)] == STOPPED]
        words = one_of((f"{move.label} from {move.peer}" for move in wanted), empty="ever")
        stopped = f", and {one_of(gone, word='and')} {'has' if len(gone) == 1 else 'have'} stopped" if gone else ""
        return f"waits for {words}{stopped}"
