"""Whether the timers of a policy make sense as written.

A message with `after 24h` is a timer of its sender: it begins a branch of a choice, which is taken when nothing else
was said in that time. Anywhere else it would only be late, and nobody would decide anything by it. Whether another role
might decide at the same time is left to `convpolicy.verify`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from convpolicy.errors import IllFormed
from convpolicy.policy.durations import duration
from convpolicy.policy.model import Choice, Send, Seq, Statement, statements

if TYPE_CHECKING:
    from convpolicy.policy.model import Policy

__all__ = ["ensure_timers"]


def ensure_timers(policy: Policy) -> None:
    """Check every message that must not be sent before some time.

    Raises:
        IllFormed: the time cannot be, or the message does not begin a branch of a choice.
    """
    for body in (policy.body, *(protocol.body for protocol in policy.protocols)):
        everything = list(statements(body))
        first = Counter(id(send) for choice in everything if isinstance(choice, Choice) for send in _beginnings(choice))
        for send in everything:
            if isinstance(send, Send) and send.after is not None:
                _sensible(send, send.after)
                first[id(send)] -= 1  # one value may stand in several places
                if first[id(send)] < 0:
                    raise _no_branch(send, send.after)


def _beginnings(choice: Choice) -> Iterator[Statement]:
    for branch in choice.branches:
        while isinstance(branch, Seq) and branch.steps:
            branch = branch.steps[0]  # noqa: PLW2901 - on to what the branch begins with
        yield branch


def _sensible(send: Send, after: float) -> None:
    name = send.label.name
    if not 0 < after < math.inf:
        hint = "give a time such as `after 24h`, or leave `after` out."
        raise IllFormed(f"{name} is to be sent after {after:g} s, which cannot be", at=send.at, hint=hint)
    if send.connects:
        hint = "leave `after` out, and let another message be the timer."
        raise IllFormed(f"{name} connects two roles, so it is no timer", at=send.at, hint=hint)
    if send.within is not None and send.within <= after:
        problem = f"{name} is to be sent after {duration(after)}, and within {duration(send.within)}"
        hint = "both count from when the choice is reached: let `within` be longer than `after`."
        raise IllFormed(problem, at=send.at, hint=hint)


def _no_branch(send: Send, after: float) -> IllFormed:
    return IllFormed(
        f"{send.label.name} comes `after {duration(after)}`, and begins no branch of a choice",
        at=send.at,
        hint=f"let {send.sender} choose: `choice at {send.sender} {{ … }} or {{ {send.label.name} … after … }}`.",
    )
