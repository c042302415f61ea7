"""How deeply a policy may be nested: far beyond what anybody can read, and what Python can recurse into."""

from __future__ import annotations

from convpolicy.errors import IllFormed
from convpolicy.policy.model import Seq, Statement, children

__all__ = ["DEEPEST", "ensure_shallow"]

DEEPEST = 150  # choices, pars, blocks and loops in one another


def ensure_shallow(body: Statement) -> None:
    """Check, before anything else, that a body is not nested too deeply to be looked at.

    Raises:
        IllFormed: more than `DEEPEST` choices, pars and loops stand in one another.
    """
    waiting = [(body, 0)]
    while waiting:
        statement, depth = waiting.pop()
        if depth > DEEPEST:
            hint = "take inner parts out, as protocols that are called."
            raise IllFormed(
                f"more than {DEEPEST} choices, pars and loops stand in one another", at=statement.at, hint=hint
            )
        deeper = depth if isinstance(statement, Seq) else depth + 1
        waiting += [(inside, deeper) for inside in children(statement)]
