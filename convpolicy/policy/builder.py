"""The words a policy is written with in Python: `send seq choice par loop again call calls`, `crash`, `interruptible`,
and `roles`, `labels`.

    purchase = Policy("Purchase", seq(
        send(Buyer, Seller, Order),
        par(
            send(Seller, Buyer, Shipment),
            seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment)),
        ),
    ))

A type checker sees that a role is made to send only what its declaration says it sends.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from convpolicy.policy.guards import condition
from convpolicy.policy.model import (
    Again,
    Call,
    Choice,
    Crash,
    Disconnect,
    Interrupt,
    Interruptible,
    Invite,
    Label,
    Loop,
    Par,
    Policy,
    Protocol,
    Role,
    Send,
    Seq,
    Statement,
    Variable,
)
from convpolicy.policy.payload import label, label_of

__all__ = [
    "again",
    "call",
    "calls",
    "choice",
    "connect",
    "crash",
    "disconnect",
    "interrupt",
    "interruptible",
    "label",
    "labels",
    "loop",
    "par",
    "roles",
    "send",
    "seq",
    "variable",
]

M = TypeVar("M")


def roles(*names: str) -> tuple[Role[Any, Any], ...]:
    """Make roles without declaring what they send: `Buyer, Seller = roles("Buyer", "Seller")`."""
    return tuple(Role[Any, Any](name) for name in names)


def labels(*names: str) -> tuple[Label, ...]:
    """Make labels whose payloads are plain dictionaries of undeclared fields."""
    return tuple(Label(name) for name in names)


def send(
    sender: Role[M, Any],
    receiver: Role[Any, M] | tuple[Role[Any, M], ...],
    message: type[M] | Label,
    *,
    within: float | timedelta | None = None,
    after: float | timedelta | None = None,
    where: str | None = None,
) -> Send:
    """`message` goes from `sender` to `receiver`, or to each of several.

    `within` (seconds, or a timedelta) is how soon it must be sent once the sender may send it. With `after` it begins
    a branch of a choice that is its sender's timer: it must not be sent before that time has passed. `where` is what
    must be true of it: of its fields, and with `Label.field` of the last message with that label.

    Raises:
        TypeError: the message is neither a label nor a class whose fields can be read.
        PolicySyntaxError: `where` is not a condition.
    """
    receivers = receiver if isinstance(receiver, tuple) else (receiver,)
    guard = None if where is None else condition(where)
    return Send(sender, receivers, label_of(message), _seconds(within), where=guard, after=_seconds(after))


def _seconds(time: float | timedelta | None) -> float | None:
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    return None if seconds is None else float(seconds)


def seq(*steps: Statement) -> Seq:
    """One step after the other."""
    return Seq(steps)


def choice(chooser: Role[Any, Any], *branches: Statement) -> Choice:
    """`chooser` takes one of the branches; an empty one is `seq()`."""
    return Choice(chooser, branches)


def connect(caller: Role[Any, Any], called: Role[Any, Any], message: Label | type[Any] | None = None) -> Send:
    """`caller` connects to `called`, with a message, or `Connect`; before that neither may say anything to the other.

    A policy with a `connect` is explicit: nobody is connected at first. Hu and Yoshida, "Explicit Connection Actions in
    Multiparty Session Types", FASE 2017.
    """
    return Send(caller, (called,), Label("Connect") if message is None else label_of(message), connects=True)


def disconnect(one: Role[Any, Any], other: Role[Any, Any]) -> Disconnect:
    """The two say nothing to each other any more, until they are connected again."""
    return Disconnect(one, other)


def crash(role: Role[Any, Any], *, at: Role[Any, Any] | tuple[Role[Any, Any], ...]) -> Crash:
    """`role` has stopped, and the role or the roles that it is noticed `at` go on with what follows.

    It begins a branch of `choice(role, …)`, and is never sent. Barwell, Hou, Yoshida and Zhou, "Designing Asynchronous
    Multiparty Protocols with Crash-Stop Failures", ECOOP 2023.
    """
    return Crash(role, at if isinstance(at, tuple) else (at,))


def interruptible(*steps: Statement, by: Interrupt | tuple[Interrupt, ...], name: str = "") -> Interruptible:
    """The steps, which may be ended before their end, for everybody who takes part in them, `by` an interrupt.

    What follows the block follows in either case. `name` is for readers. Hu, Neykova, Yoshida, Demangeon and Honda,
    "Practical Interruptible Conversations", RV 2013.
    """
    body = steps[0] if len(steps) == 1 else Seq(steps)
    return Interruptible(body, by if isinstance(by, tuple) else (by,), name)


def interrupt(role: Role[M, Any], message: type[M] | Label) -> Interrupt:
    """`role` may end an `interruptible` block with `message`, which goes to all others in the block.

    Raises:
        TypeError: the message is neither a label nor a class whose fields can be read.
    """
    return Interrupt(label_of(message), role)


def par(*branches: Statement) -> Par:
    """All branches, in any interleaving."""
    return Par(branches)


def loop(name: str, *steps: Statement, carrying: tuple[Variable, ...] = ()) -> Loop:
    """The steps, with `again(name)` inside them to start over; `carrying` are values that go from round to round."""
    return Loop(name, steps[0] if len(steps) == 1 else Seq(steps), variables=carrying)


def again(name: str, *values: str) -> Again:
    """Back to the head of the enclosing `loop(name, …)`, with `values` for what the loop carries.

    Raises:
        PolicySyntaxError: a value is not an expression.
    """
    return Again(name, values=tuple(map(condition, values)))


def variable(name: str, sort: type | str, *roles: Role[Any, Any], start: str, where: str | None = None) -> Variable:
    """A value that a loop carries: `loop("X", …, carrying=(variable("tries", int, Server, start="0"),))`.

    The `roles` reckon with it: each works out for itself what it is, `start` at first and then what `again` says;
    `where` must always be true of it.

    Raises:
        PolicySyntaxError: `start` or `where` is not an expression.
    """
    (declared,) = label("", **{name: sort}).fields
    always = None if where is None else condition(where)
    return Variable(name, declared.sort, roles, condition(start), always)


def call(protocol: Protocol | Policy | str, *roles: Role[Any, Any]) -> Call:
    """Go on as `protocol`, with `roles` in its parameters' places. The policy must be given the protocol."""
    return Call(protocol if isinstance(protocol, str) else protocol.name, roles)


def calls(caller: Role[Any, Any], protocol: Policy, *roles: Role[Any, Any]) -> Invite:
    """A conversation of its own begins, which follows `protocol`, with `roles` in the places of all but its new roles.

    Until it is over for a role that takes part, that role says nothing else that depends on it. `protocol` is a policy
    with `fresh` roles, perhaps none: `Policy("Paying", …, fresh=(Bank,))`; the policy must be given it, as `nested`.
    Demangeon and Honda, "Nested Protocols in Session Types", CONCUR 2012.
    """
    parts = tuple(role.name for role in protocol.roles if role not in (protocol.fresh or ()))
    return Invite(caller, protocol.name, roles, parts)
