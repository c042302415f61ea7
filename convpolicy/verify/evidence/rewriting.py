"""A policy with one of its statements changed. Statements are found by identity: equal ones may stand elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from convpolicy.policy.model import Choice, Interruptible, Loop, Par, Policy, Send, Seq, Statement, statements

__all__ = ["beginning", "inserted", "replaced", "sends", "swapped"]


def replaced(policy: Policy, old: Statement, new: Statement) -> Policy:
    """Return the policy with `new` in the place of `old`.

    Raises:
        IllFormed: the policy makes no sense any more.
    """
    protocols = tuple(replace(protocol, body=swapped(protocol.body, old, new)) for protocol in policy.protocols)
    return replace(policy, body=swapped(policy.body, old, new), protocols=protocols)


def swapped(here: Statement, old: Statement, new: Statement) -> Statement:
    """Return the statement `here` with `new` in the place of `old`."""
    if here is old:
        return new
    match here:
        case Seq(steps=inside):
            return replace(here, steps=tuple(swapped(step, old, new) for step in inside))
        case Choice(branches=inside) | Par(branches=inside):
            return replace(here, branches=tuple(swapped(branch, old, new) for branch in inside))
        case Loop(body=body) | Interruptible(body=body):
            return replace(here, body=swapped(body, old, new))
        case _:
            return here


def inserted(branch: Statement, index: int, *sends: Send) -> Seq:
    """Return a branch with messages put in before its step number `index`."""
    steps = branch.steps if isinstance(branch, Seq) else (branch,)
    return Seq((*steps[:index], *sends, *steps[index:]))


def beginning(branch: Statement) -> Send | None:
    """Return the message that a branch begins with; None when it begins with something else, or is empty."""
    match branch:
        case Send():
            return branch
        case Seq(steps=(first, *_)) | Loop(body=first) | Interruptible(body=first) | Choice(branches=(first, *_)):
            return beginning(first)
        case _:
            return None


def sends(root: Statement) -> Iterator[Send]:
    """Yield the messages in a statement, in the order of the text."""
    return (statement for statement in statements(root) if isinstance(statement, Send))
