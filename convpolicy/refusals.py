"""What is said of a message that the policy does not allow: whose fault it is, what is allowed, and what to do.

A conversation decides; here its decision becomes an error with every fact that helps. A message is refused because
it has no place where its role is, or because the condition that the policy puts on it is false.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from convpolicy.errors import LocalViolation, RemoteViolation, one_of
from convpolicy.machine import CRASH, Direction, Move
from convpolicy.policy.durations import duration
from convpolicy.policy.effects import Untrue

__all__ = ["Situation", "false_here", "false_there", "not_allowed", "not_expected", "not_in_time", "refused"]


class Situation(NamedTuple):
    """Where a role is: its state in words, the moves that it may make, and what was said before."""

    role: str
    state: str
    moves: tuple[Move, ...]
    history: tuple[str, ...]

    def peers(self, label: str) -> list[str]:
        """Return whom the role may send a label to now."""
        return [move.peer for move in self.moves if move.direction is Direction.SEND and move.label == label]

    def awaited(self) -> tuple[str, ...]:
        """Return what the role may receive, in words."""
        receives = (move for move in self.moves if move.direction is Direction.RECEIVE and move.label != CRASH)
        return tuple(f"{move.label} from {move.peer}" for move in receives)


def refused(here: Situation, attempted: str, problem: str) -> LocalViolation:
    """Return the error for something else that a program has tried."""
    return _local(here, attempted, problem)


def not_allowed(here: Situation, label: str, to: str | None, *, ambiguous: bool) -> LocalViolation:
    """Return the error for a message that may not be sent now, or to several roles and it is not said to which."""
    if ambiguous:
        problem = f"{here.role} may send {label} to {one_of(here.peers(label))} now: say which with `to=`"
    elif to is not None:
        problem = f"{here.role} may not send {label} to {to} now"
    else:
        problem = f"{here.role} may not send {label} now"
    return _local(here, label, problem)


def _local(here: Situation, label: str, problem: str, values: Mapping[str, Any] | None = None) -> LocalViolation:
    return LocalViolation(
        problem,
        role=here.role,
        state=here.state,
        attempted=label,
        allowed=tuple(move.words for move in here.moves),
        history=here.history,
        values=values,
    )


def not_in_time(here: Situation, move: Move, delay: float | None, wait: float) -> LocalViolation:
    """Return the error for a message whose timer rings in `wait` seconds, or whose time was up; then that is 0."""
    others = here._replace(moves=tuple(other for other in here.moves if other != move))
    if delay is None or not wait:
        return _local(others, move.label, f"{here.role} may not send {move.label} any more: its time is up")
    left = ceil(wait * 1000) / 1000
    when = f"it may be said after {duration(delay)}, which is in {left:.15g} s"
    return _local(others, move.label, f"{here.role} may not send {move.label} yet: {when}")


def not_expected(here: Situation, sender: str, label: str, seq: int) -> RemoteViolation:
    """Return the error for a message from another role that has no place now."""
    return _remote(here, sender, label, seq, problem=f"{sender} sent {label}, which the policy does not allow now")


def _remote(
    here: Situation, sender: str, label: str, seq: int, *, problem: str, values: Mapping[str, Any] | None = None
) -> RemoteViolation:
    return RemoteViolation(
        problem,
        role=here.role,
        peer=sender,
        label=label,
        seq=seq,
        state=here.state,
        allowed=here.awaited(),
        history=here.history,
        values=values,
    )


# ----------------------------------------------------------------------------------------------- false conditions


def false_here(here: Situation, label: str, untrue: Untrue) -> LocalViolation:
    """Return the error for a message of this role whose condition is false."""
    return _local(here, label, f"{here.role} may not send this {label}: {_false(untrue)}", untrue.values)


def false_there(here: Situation, sender: str, label: str, seq: int, untrue: Untrue) -> RemoteViolation:
    """Return the error for a message of another role whose condition is false."""
    problem = f"{sender} sent {label} with values that the policy does not allow: {_false(untrue)}"
    return _remote(here, sender, label, seq, problem=problem, values=untrue.values)


def _false(untrue: Untrue) -> str:
    """Return which condition is false, and with which values."""
    found = ", ".join(f"{name} = {_shown(value)}" for name, value in untrue.values.items())
    return f"`{untrue.expression}` is false" + (f" with {found}" if found else "")


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Fraction) else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
