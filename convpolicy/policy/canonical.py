"""The canonical form of a policy, which two sides compare: what it says, and not how it is written.

The main protocol first, then what it calls in the order of first call, so that names of protocols do not
matter; recursion variables are numbered by depth (de Bruijn), so that their names do not matter either. The nested
protocols come last, in the order of their names, which travel in invitations.
Roles, which of them are reliable, labels, fields, structure, connections, time limits and conditions do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from convpolicy.policy.expressions import Expression
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
    Variable,
    children,
    statements,
)

__all__ = ["lines"]


def lines(policy: Policy) -> Iterator[str]:
    """Yield the canonical form, a line for each protocol."""
    order = _call_order(policy)
    numbers = {name: number for number, name in enumerate(order)}
    for name in order:
        protocol = policy.protocol(name)
        reliable = policy.reliable if name == policy.name else ()
        fresh = (policy.fresh or ()) if name == policy.name else ()
        old = (role for role in protocol.roles if role not in fresh)
        roles = " ".join(f"reliable {role}" if role in reliable else role.name for role in old)
        kind = "nested protocol" if policy.fresh is not None and name == policy.name else "protocol"
        new = "".join(f" new {role}" for role in fresh)
        yield f"{kind} {numbers[name] or policy.name} ({roles}{new}) {_term(protocol.body, (), numbers)}"
    for nested in policy.nested:
        yield from lines(nested)


def _call_order(policy: Policy) -> list[str]:
    order = [policy.name]
    for name in order:  # grows while it is walked: a breadth-first closure
        protocol = policy.protocol(name)
        called = (s.protocol for s in statements(protocol.body) if isinstance(s, Call))
        order.extend(dict.fromkeys(name for name in called if name not in order))
    return order


def _term(  # noqa: C901 - one case a statement
    statement: Statement, loops: tuple[str, ...], numbers: Mapping[str, int]
) -> str:
    inside: list[str] = []  # in a plain loop: a policy may be nested far deeper than this module looks
    for each in children(statement):
        inside.append(_term(each, (statement.name, *loops) if isinstance(statement, Loop) else loops, numbers))  # noqa: PERF401
    match statement:
        case Send(sender, receivers, label, within, where=where, connects=connects, after=after):
            limit = ("" if after is None else f" after {after!r}") + ("" if within is None else f" within {within!r}")
            guard = "" if where is None else f" where {where}"
            new = " connects" if connects else ""
            return f"({sender} -> {' '.join(r.name for r in receivers)} : {label}{limit}{guard}{new})"
        case Disconnect(one, other):
            return f"(disconnect {one} {other})"
        case Crash(role, receivers):
            return f"(crash {role} -> {' '.join(r.name for r in receivers)})"
        case Seq():
            return f"(seq {' '.join(inside)})"
        case Choice(chooser):
            return f"(choice {chooser} {' '.join(inside)})"
        case Par():
            return f"(par {' '.join(inside)})"
        case Interruptible(interrupts=interrupts):
            ends = " ".join(f"({interrupt.label} by {interrupt.role})" for interrupt in interrupts)
            return f"(interruptible {inside[0]} {ends})"
        case Loop(variables=variables):
            return f"(loop{_listed(variables)} {inside[0]})"
        case Again(name, values=values):
            return f"(again {loops.index(name)}{_listed(values)})"
        case Call(protocol, roles):
            return f"(call {numbers[protocol]} {' '.join(r.name for r in roles)})"
        case Invite(caller, protocol, roles, parts):
            given = (f"{role} as {part}" for role, part in zip(roles, parts, strict=True))
            return f"({caller} calls {protocol} {' '.join(given)})"


def _listed(parts: Iterable[Variable | Expression]) -> str:
    text = ", ".join(map(str, parts))
    return f" [{text}]" if text else ""
