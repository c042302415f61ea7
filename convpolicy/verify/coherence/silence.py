"""What goes round without a message: a `continue`, or a call, that leads back to where it came from in silence.

There nobody has anything to say or to wait for, and the conversation is not over.
"""

from __future__ import annotations

from convpolicy.policy.model import (
    Again,
    Call,
    Choice,
    Crash,
    Disconnect,
    Interruptible,
    Invite,
    Loop,
    Par,
    Policy,
    Send,
    Seq,
    Statement,
)

__all__ = ["silent_rounds"]

# The loops and the protocols that were entered since the last message.
Entered = frozenset[str]


def silent_rounds(policy: Policy) -> tuple[Again | Call, ...]:
    """Return the statements that start over with nothing said since the last start, in the order of the text."""
    walk = _Walk(policy)
    walk.through(policy.body, frozenset({_protocol(policy.name)}))
    return tuple(walk.found)


def _protocol(name: str) -> str:
    return f"do {name}"  # no loop is called so


class _Walk:
    def __init__(self, policy: Policy) -> None:
        self.found: list[Again | Call] = []
        self._policy = policy
        self._known: set[tuple[str, Entered]] = set()

    def through(self, statement: Statement, entered: Entered) -> Entered:
        """Go through a statement, and return what is entered, and nothing said since, after it."""
        match statement:
            case Send() | Crash() | Invite():
                return frozenset()
            case Disconnect():
                return entered
            case Seq(steps):
                for step in steps:
                    entered = self.through(step, entered)
                return entered
            case Choice(branches=branches) | Par(branches=branches):
                return frozenset[str]().union(*(self.through(branch, entered) for branch in branches))
            case Interruptible(body=body):
                return self.through(body, entered)  # an interrupt is a message, too
            case Loop(name, body):
                return self.through(body, entered | {name})
            case Again(name):
                return self._back(statement, name, entered)
            case Call(name):
                return self._call(statement, name, entered)

    def _back(self, statement: Again | Call, name: str, entered: Entered) -> Entered:
        if name in entered and not any(known is statement for known in self.found):
            self.found.append(statement)
        return frozenset()

    def _call(self, call: Call, name: str, entered: Entered) -> Entered:
        place = _protocol(name)
        if place in entered:
            return self._back(call, place, entered)
        if (name, entered) in self._known:
            return frozenset()
        self._known.add((name, entered))
        # Loops are known by their names, and those of the caller end where the called protocol begins.
        inside = frozenset(word for word in entered if word.startswith("do ")) | {place}
        return self.through(self._policy.protocol(name).body, inside) & entered
