"""Does a policy fit a pipeline? Decided before anything runs, from the policy's exchanges alone."""

from __future__ import annotations

from convpolicy.errors import WiringError, one_of
from convpolicy.link.pipeline import Pipeline
from convpolicy.machine import Symbol
from convpolicy.runtime.part import Part

__all__ = ["ensure_carried", "ensure_first"]


def ensure_carried(part: Part, via: Pipeline) -> None:
    """Check that every message of the policy goes from a role of the chain to the next.

    Raises:
        WiringError: the pipeline cannot carry the policy; the text names the message and what would do.
    """
    roles = part.machine.roles
    if len(via.roles) < 3:
        raise WiringError(
            f"{via!r} has no stage of workers between its first role and its last.\n"
            f"  Add one, or carry {part.policy} over a Bus."
        )
    if set(roles) != set(via.roles):
        raise WiringError(
            f"{part.policy} has the roles {one_of(roles, word='and')}, the pipeline {one_of(via.roles, word='and')}.\n"
            f"  Give the Pipeline a pair for every message of the policy."
        )
    if part.machine.blocks:
        raise WiringError(
            f"{part.policy} has blocks that may be interrupted, and a pipeline hands on what is late.\n"
            f"  Carry it over a Bus."
        )
    for symbol in part.machine.symbols:
        _ensure_forward(part, symbol, via)
    said = {(symbol.sender, symbol.receiver) for symbol in part.machine.symbols}
    for sender, receiver in zip(via.roles, via.roles[1:], strict=False):
        if (sender, receiver) not in said:
            raise WiringError(
                f"in {part.policy} {sender} says nothing to {receiver}, so the pipeline would have nothing to carry "
                f"there.\n  Leave the pair ({sender}, {receiver}) out."
            )
    _ensure_tasks(part)


def _ensure_tasks(part: Part) -> None:
    """Check that a conversation can be a task, which waits for a worker, and is given to another when one dies."""
    if part.stopping:
        raise WiringError(
            f"{part.policy} has branches for roles that stop, and a pipeline gives the task of a worker that stops to "
            f"another one.\n  Leave the branches out, or carry it over a Bus."
        )
    if part.timed:
        raise WiringError(
            f"{part.policy} has messages that have their time, and tasks of a pipeline may wait as long as "
            f"no worker is free.\n  Leave `within` and `after` out, and set the pipeline's `lease`."
        )
    if not part.machine.finals:
        raise WiringError(
            f"{part.role} of {part.policy} never comes to an end, and a pipeline has one conversation for each task.\n"
            f"  Leave the loop out: whatever is to be remembered between tasks cannot be, with several {part.role}s."
        )


def _ensure_forward(part: Part, symbol: Symbol, via: Pipeline) -> None:
    at, to = via.roles.index(symbol.sender), via.roles.index(symbol.receiver)
    if to == at + 1:
        return
    message = f"{symbol.label} goes from {symbol.sender} to {symbol.receiver} in {part.policy}"
    if to < at:
        raise WiringError(
            f"{message}, which is an answer, and {via!r} carries messages one way.\n"
            f"  Carry {symbol.label} over a Bus between {symbol.sender} and {symbol.receiver}, or leave it out."
        )
    raise WiringError(
        f"{message}, past {one_of(via.roles[at + 1 : to], word='and')}, and {via!r} carries messages to the next role "
        f"only.\n  Have {one_of(via.roles[at + 1 : to], word='and')} pass it on, or use another link for it."
    )


def ensure_first(part: Part, via: Pipeline) -> None:
    """Raise WiringError unless the role is the one that puts tasks in."""
    if part.role != via.roles[0]:
        raise WiringError(
            f"{part.role} is not the first role of {via!r}, and only {via.roles[0]} puts tasks in.\n"
            f"  Play it with `policy.service({part.role})`."
        )
