"""Whether blocks that may be interrupted make sense as written.

Something is said in them, an interrupt cannot be taken for a message of its block, and the policy has nothing that
would depend on how far a block has come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from convpolicy.errors import IllFormed
from convpolicy.policy.model import (
    Call,
    Crash,
    Disconnect,
    Interruptible,
    Invite,
    Loop,
    Send,
    Statement,
    labels_in,
    statements,
)

if TYPE_CHECKING:
    from convpolicy.policy.model import Policy

__all__ = ["ensure_blocks", "with_called"]


def ensure_blocks(policy: Policy) -> None:
    """Check every block that may be interrupted.

    Raises:
        IllFormed: nothing is said in one, an interrupt has the name of a message inside of its block, or the policy
            has crash branches, connections or conditions as well.
    """
    bodies = {policy.name: policy.body, **{protocol.name: protocol.body for protocol in policy.protocols}}
    everything = [statement for body in bodies.values() for statement in statements(body)]
    blocks = [statement for statement in everything if isinstance(statement, Interruptible)]
    for block in blocks:
        _something_to_interrupt(block, list(with_called(block.body, bodies)))
    for statement in everything if blocks else ():
        _not_together(statement)


def _something_to_interrupt(block: Interruptible, inside: Iterable[Statement]) -> None:
    if not block.interrupts:
        hint = "end it with `with { Cancel by A; }`, or take `interruptible` away."
        raise IllFormed("nobody may interrupt the block", at=block.at, hint=hint)
    said = {label.name for statement in inside for label in labels_in(statement)}
    if not any(isinstance(statement, Send) for statement in inside):
        raise IllFormed("nothing is said in the block", at=block.at, hint="take the `interruptible` away.")
    named = Counter(f"{interrupt.label.name} by {interrupt.role}" for interrupt in block.interrupts)
    if named.total() > len(named):
        twice = named.most_common(1)[0][0]
        raise IllFormed(f"the interrupt {twice} is named twice", at=block.at, hint="give each interrupt once.")
    for interrupt in block.interrupts:
        name = interrupt.label.name
        if name in said:
            problem = f"{name} interrupts the block, and is a message inside of it as well"
            raise IllFormed(problem, at=interrupt.at, hint="give one of them another name.")


def _not_together(statement: Statement) -> None:
    match statement:
        case Crash():
            what, hint = "branches for roles that stop", "take the `crash` branches away, or the block"
        case Send(connects=True) | Disconnect():
            what, hint = "connections", "let every role be connected from the beginning"
        case Invite():
            what, hint = "calls of nested protocols", "call them before the block, in a policy without any"
        case Send(where=where) if where is not None:
            what, hint = "conditions on values", "take them away: whoever is interrupted does not know the values"
        case Loop(variables=(_, *_)):
            what, hint = "values that a loop carries", "take them away: whoever is interrupted does not know them"
        case _:
            return
    raise IllFormed(f"a policy with interruptible blocks cannot have {what}", at=statement.at, hint=f"{hint}.")


def with_called(statement: Statement, bodies: Mapping[str, Statement]) -> Iterator[Statement]:
    """Yield everything in a statement, and in the protocols that it calls."""
    waiting, entered = [statement], set[str]()
    for each in waiting:  # grows while it is walked
        for found in statements(each):
            yield found
            if isinstance(found, Call) and found.protocol not in entered:
                entered.add(found.protocol)
                waiting += [bodies[found.protocol]] if found.protocol in bodies else []
