"""The conditions of k-multiparty compatibility, asked of a space that was visited whole.

*Output-bound independence* (OBI): a role that can send something can send everything that its state allows.
*Input-bound independence* (IBI): a role that can take a message has no other to choose. Strong IBI asks that the
others cannot be sent later either. *Exhaustive*: a send that the bound prevents will have room, without its sender's
doing anything. *Safe*: what is in a channel can be taken, and who waits can go on.

Source: Lange and Yoshida, "Verifying Asynchronous Interactions via Communicating Session Automata", CAV 2019,
Definitions 4, 6, 9 and 11. A question about a message costs one search backwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator
from typing import NamedTuple

from convpolicy.verify.machines.space import Entry, Space

__all__ = [
    "Held",
    "alternatives",
    "held_back",
    "independent_inputs",
    "independent_outputs",
    "left",
    "strongly_independent_inputs",
    "waiting",
]


class Held(NamedTuple):
    """A send that never has room: where that begins, and the channel."""

    here: int
    channel: int


# ------------------------------------------------------------------------------------------------ independence


def independent_outputs(space: Space, among: Container[int] | None = None) -> bool:
    """Return whether no role can send one message of a state and not another: k-OBI, Definition 6.

    With `among` only these configurations are looked at.
    """
    return all(
        len({space.has_room(here, entry) for _, entry in space.row(place, here) if entry.sends}) < 2
        for here in space.blocked
        if among is None or here in among
        for place in range(len(space.roles))
    )


def independent_inputs(space: Space) -> bool:
    """Return whether no role can ever take messages from two channels: k-IBI."""
    for here, row in _with_alternatives(space):
        taken = {entry.channel for entry in row if space.takes(here, entry)}
        if len(taken) > 1:
            return False
    return True


def strongly_independent_inputs(space: Space) -> bool:
    """Return whether who takes a message cannot be sent the others of that state later: k-SIBI, Definition 9."""
    sent: dict[tuple[int, int], set[int]] = {}
    for step, other in alternatives(space):
        message = other.channel, other.label
        if message not in sent:
            sent[message] = space.leading_to(_sends_of(space, message))
        if space.targets[step] in sent[message]:
            return False
    return True


def alternatives(space: Space) -> Iterator[tuple[int, Entry]]:
    """Yield every step that takes a message, with every move that would have taken one from another channel."""
    for step, move in enumerate(space.moves):
        entry = space.entries[move]
        if not entry.sends:
            for _, other in space.row(entry.role, space.sources[step]):
                if not other.sends and other.channel != entry.channel:
                    yield step, other


def _with_alternatives(space: Space) -> Iterator[tuple[int, list[Entry]]]:
    for here in range(len(space.configurations)):
        for place in range(len(space.roles)):
            row = [entry for _, entry in space.row(place, here) if not entry.sends]
            if len(row) > 1:
                yield here, row


def _sends_of(space: Space, message: tuple[int, int]) -> Iterator[int]:
    for step, move in enumerate(space.moves):
        entry = space.entries[move]
        if entry.sends and (entry.channel, entry.label) == message:
            yield space.sources[step]


# ------------------------------------------------------------------------------------- exhaustive, and safe


def held_back(space: Space) -> Iterator[Held]:
    """Yield, for each channel, where a send first never has room without its sender's doing; nothing: k-exhaustive."""
    full: dict[int, set[int]] = defaultdict(set)
    sender: dict[int, int] = {}
    for here in space.blocked:
        for place in range(len(space.roles)):
            for _, entry in space.row(place, here):
                if entry.sends and not space.has_room(here, entry):
                    full[entry.channel].add(here)
                    sender[entry.channel] = place
    for channel, among in full.items():
        freed = [here for here, role in space.taking[channel] if here in among and role != sender[channel]]
        never = among - space.leading_to(freed, among=among.__contains__, without=sender[channel])
        if never:
            yield Held(min(never), channel)


def left(space: Space) -> Iterator[tuple[int, set[int]]]:
    """Yield each channel with the configurations in which its first message is never taken: no eventual reception."""
    for channel in range(len(space.channels)):
        filled = {here for here in range(len(space.configurations)) if space.queue(here, channel)}
        never = filled - space.leading_to((here for here, _ in space.taking[channel]), among=filled.__contains__)
        if never:
            yield channel, never


def waiting(space: Space) -> Iterator[tuple[int, set[int]]]:
    """Yield each role with the configurations in which it has to receive and never does: no progress."""
    moves = _moves_by_role(space)
    for place, role in enumerate(space.roles):
        automaton = space.automata[role]
        waits = {state for state in automaton.states if automaton.waits(state)}
        idle = {here for here, found in enumerate(space.configurations) if found[place] in waits}
        never = idle - space.leading_to(moves[place], among=idle.__contains__)
        if never:
            yield place, never


def _moves_by_role(space: Space) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for step, move in enumerate(space.moves):
        found[space.entries[move].role].add(space.sources[step])
    return found
