"""Chained input-bound independence: the other message may come, but only after the one that was taken.

When a role takes a message although its state also takes messages from another channel, such a message must not be
sent later on, unless its sending *depends* on what was taken: there is a chain of steps of one role, and of messages
from their sending to their being taken, that leads from the one to the other. A step without such a chain could as
well have come first, and with more room in the channels both messages might be there at once.

What depends on the first step is carried along: the roles that have acted on it, and in each channel how many
messages they have put behind the others. The chain is thus Lamport's happened-before, which is what the proof of
Theorem 1 uses of it.

Source: Lange and Yoshida, CAV 2019, Definition 10 (k-CIBI); Lamport, "Time, Clocks, and the Ordering of Events in a
Distributed System", CACM 1978.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from convpolicy.verify.machines.multiparty import alternatives, independent_inputs
from convpolicy.verify.machines.space import Entry, Space

__all__ = ["chained_inputs"]


class _Taint(NamedTuple):
    """Who has acted on the first step (a bit for each role), and how many messages at the end of each channel."""

    roles: int
    messages: tuple[int, ...]


class _Question(NamedTuple):
    """A role that has taken a message, and the messages, by channel and label, that it could have taken instead."""

    role: int
    others: frozenset[tuple[int, int]]


def chained_inputs(space: Space, limit: int) -> bool | None:
    """Return whether the system is k-CIBI; None when more than `limit` situations would have to be looked at."""
    if not independent_inputs(space):
        return False
    questions = _questions(space)
    edges = _leaving(space) if questions else []
    for question, starts in questions.items():
        answer = _all_depend(space, edges, question, starts, limit)
        if not answer:
            return answer
    return True


def _questions(space: Space) -> dict[_Question, set[int]]:
    """Return where each question is to be asked: after every step that takes a message and not another."""
    others: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for step, other in alternatives(space):
        others[step].add((other.channel, other.label))
    found: dict[_Question, set[int]] = defaultdict(set)
    for step, messages in others.items():
        role = space.entries[space.moves[step]].role
        found[_Question(role, frozenset(messages))].add(space.targets[step])
    return found


def _leaving(space: Space) -> list[list[tuple[Entry, int]]]:
    found: list[list[tuple[Entry, int]]] = [[] for _ in space.configurations]
    for source, move, target in zip(space.sources, space.moves, space.targets, strict=True):
        found[source].append((space.entries[move], target))
    return found


def _all_depend(
    space: Space, edges: list[list[tuple[Entry, int]]], question: _Question, starts: set[int], limit: int
) -> bool | None:
    """Return whether the other messages are sent, from `starts` on, only by roles that have acted on the step."""
    fresh = _Taint(1 << question.role, (0,) * len(space.channels))
    seen = {(here, fresh) for here in starts}
    todo = list(seen)
    while todo:
        here, taint = todo.pop()
        for entry, target in edges[here]:
            ahead = space.queues.length[space.queue(here, entry.channel)] - taint.messages[entry.channel]
            after = target, _after(entry, taint, ahead)
            if entry.sends and (entry.channel, entry.label) in question.others and not _acted(entry, taint):
                return False
            if after not in seen:
                seen.add(after)
                todo.append(after)
        if len(seen) > limit:
            return None
    return True


def _acted(entry: Entry, taint: _Taint) -> bool:
    return bool(taint.roles >> entry.role & 1)


def _after(entry: Entry, taint: _Taint, ahead: int) -> _Taint:
    """Return the taint after a step; `ahead` messages of its channel do not depend on the first step."""
    messages = list(taint.messages)
    if entry.sends and _acted(entry, taint):
        messages[entry.channel] += 1
        return taint._replace(messages=tuple(messages))
    if not entry.sends and ahead == 0:  # what is taken depends, and so does its taker from now on
        messages[entry.channel] -= 1
        return _Taint(taint.roles | 1 << entry.role, tuple(messages))
    return taint
