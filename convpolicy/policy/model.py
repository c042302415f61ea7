"""A policy as a value: roles, labels, and the statements that order them.

Everything here is immutable and hashable, and nothing here decides anything: whether the policy can be
followed is `convpolicy.verify`'s business. Two policies are equal when they say the same, wherever they
were written; places in a text (`at`) and the Python classes of payloads (`Label.type`) do not count.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from convpolicy.errors import PolicyError, Position
from convpolicy.policy.expressions import Expression

__all__ = [
    "Again",
    "Call",
    "Choice",
    "Crash",
    "Crashed",
    "Disconnect",
    "Field",
    "Label",
    "Loop",
    "Message",
    "Par",
    "Policy",
    "Protocol",
    "Role",
    "Send",
    "Seq",
    "Statement",
    "Variable",
    "has_conditions",
    "name_of",
    "normal",
    "statements",
]

Sends = TypeVar("Sends", contravariant=True)
Receives = TypeVar("Receives", contravariant=True)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


# No slots: a generic frozen dataclass with slots cannot be instantiated in Python 3.11.
@dataclass(frozen=True)
class Role(Generic[Sends, Receives]):
    """A participant: `Role[Order | Payment, Shipment | Invoice]("Buyer")` sends the first, receives the second.

    The type parameters are for type checkers only; roles are equal when their names are.

    Raises:
        ValueError: the name is not an identifier.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(f"{self.name!r} is not a role name: use letters, digits and _, such as `Buyer`")

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


AnyRole = Role[Any, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a payload: `sku: str`. `name` is empty where the text names only the sort.

    A sort is kept without blanks but after a comma, as in `map<str, list<int>>`, however it was written.
    """

    name: str
    sort: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sort", "".join(self.sort.split()).replace(",", ", "))

    def __str__(self) -> str:
        return f"{self.name}: {self.sort}" if self.name else self.sort


@dataclass(frozen=True, slots=True)
class Label:
    """The name of a message and the fields of its payload. Calling it makes a message.

    >>> Order = Label("Order", (Field("sku", "str"), Field("quantity", "int")))
    >>> Order(sku="chair", quantity=2)
    Order(sku='chair', quantity=2)
    """

    name: str
    fields: tuple[Field, ...] = ()
    type: type[Any] | None = field(default=None, compare=False, repr=False)
    at: Position | None = field(default=None, compare=False, repr=False)

    def __call__(self, /, **payload: Any) -> Message:
        """Make a message with this label; whether the payload fits is checked when it is sent."""
        return Message(self.name, payload)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.fields))})"

    @property
    def names(self) -> tuple[str, ...]:
        """The field names; a field without one is called by its place, `_1`, `_2`, …."""
        return tuple(f.name or f"_{place}" for place, f in enumerate(self.fields, 1))


class Message:
    """A message whose label has no Python class: a label and a dictionary of fields.

    `case Message("Invoice", {"amount": amount})` takes one apart.
    """

    __slots__ = ("fields", "label")
    __match_args__ = ("label", "fields")

    def __init__(self, label: str | Label, fields: Mapping[str, Any] | None = None) -> None:
        self.label = label.name if isinstance(label, Label) else label
        self.fields = dict(fields or {})

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.label == other.label and self.fields == other.fields

    __hash__ = None  # type: ignore[assignment]  # the payload is a dictionary

    def __repr__(self) -> str:
        return f"{self.label}({', '.join(f'{name}={value!r}' for name, value in self.fields.items())})"


@dataclass(frozen=True, slots=True)
class Crashed:
    """`role` has stopped, and the conversation goes on by the branch for that; `why` says how it was noticed.

    Scripts receive it and services handle it like a message: `@seller.on(Crashed)`, `case Crashed(role)`.
    """

    role: AnyRole
    why: str = field(default="", compare=False)


def name_of(message: object) -> str:
    """Return the label that a message goes under: its class's name, or what a `Message` says."""
    return message.label if type(message) is Message else type(message).__name__


# ------------------------------------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Send:
    """`label from sender to receivers`; to several receivers it is sent to each, in the written order.

    `within` is the number of seconds in which it must be sent once its sender may send it; `where` is what must be
    true of its fields, and of what was said before. One that `connects` opens the connection of the two, in a policy in
    which roles are connected explicitly: one with such a message.
    """

    sender: AnyRole
    receivers: tuple[AnyRole, ...]
    label: Label
    within: float | None = None
    at: Position | None = field(default=None, compare=False, repr=False)
    where: Expression | None = None
    connects: bool = False


@dataclass(frozen=True, slots=True)
class Disconnect:
    """`disconnect one and other`: neither says anything to the other any more, until they are connected again."""

    one: AnyRole
    other: AnyRole
    at: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Crash:
    """`crash from role to receivers`: the role has stopped, which the receivers notice where they wait for it.

    It begins a branch of a choice at the role, and nobody sends it.
    """

    role: AnyRole
    receivers: tuple[AnyRole, ...]
    at: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Seq:
    """The steps one after the other. `Seq(())` does nothing."""

    steps: tuple[Statement, ...] = ()
    at: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """`chooser` takes one of the branches."""

    chooser: AnyRole
    branches: tuple[Statement, ...]
    at: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Par:
    """All branches, interleaved in any way. Each has its own channels (*lanes*)."""

    branches: tuple[Statement, ...]
    at: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that a loop carries from round to round: `rounds<Server>: int = 0`.

    `roles` reckon with it: each works out for itself what it is, `start` at first and then what `Again` says.
    `where` is always true of it.
    """

    name: str
    sort: str
    roles: tuple[AnyRole, ...]
    start: Expression
    where: Expression | None = None
    at: Position | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        kind = self.sort if self.where is None else f"({self.name}: {self.sort}{{{self.where}}})"
        return f"{self.name}<{', '.join(role.name for role in self.roles)}>: {kind} = {self.start}"


@dataclass(frozen=True, slots=True)
class Loop:
    """`body`, in which `Again(name)` starts over. `variables` are the values that it carries."""

    name: str
    body: Statement
    at: Position | None = field(default=None, compare=False, repr=False)
    variables: tuple[Variable, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """Go back to the head of the enclosing `Loop` of that name. Nothing can follow it.

    `values` are what the loop's variables become; without any they stay as they are.
    """

    name: str
    at: Position | None = field(default=None, compare=False, repr=False)
    values: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """Go on as another protocol of the policy, with these roles in its parameters' places."""

    protocol: str
    roles: tuple[AnyRole, ...]
    at: Position | None = field(default=None, compare=False, repr=False)


Statement = Send | Crash | Disconnect | Seq | Choice | Par | Loop | Again | Call


def statements(root: Statement) -> Iterator[Statement]:
    """Yield the statement and everything in it, in the order of the text."""
    yield root
    match root:
        case Seq(steps=inside) | Choice(branches=inside) | Par(branches=inside):
            for statement in inside:
                yield from statements(statement)
        case Loop(body=body):
            yield from statements(body)
        case _:
            pass


def has_conditions(policy: Policy) -> bool:
    """Return whether any message of the policy has a condition on values."""
    bodies = (policy.body, *(protocol.body for protocol in policy.protocols))
    return any(isinstance(s, Send) and s.where is not None for body in bodies for s in statements(body))


def normal(statement: Statement) -> Statement:
    """Return the statement with nested sequences flattened, as its text form shows it."""
    match statement:
        case Seq(steps, at):
            flat = tuple(_flat(steps))
            return flat[0] if len(flat) == 1 else Seq(flat, at)
        case Choice(chooser, branches, at):
            return Choice(chooser, tuple(map(normal, branches)), at)
        case Par(branches, at):
            return Par(tuple(map(normal, branches)), at)
        case Loop(body=body):
            return replace(statement, body=normal(body))
        case _:
            return statement


def _flat(steps: tuple[Statement, ...]) -> Iterator[Statement]:
    for step in map(normal, steps):
        if isinstance(step, Seq):
            yield from step.steps
        else:
            yield step


# --------------------------------------------------------------------------------------------- policies


@dataclass(frozen=True, slots=True)
class Protocol:
    """A named statement over its own roles, to be called from a policy."""

    name: str
    roles: tuple[AnyRole, ...]
    body: Statement
    at: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Policy:
    """A policy: a name, its roles, what they say (`body`), and the protocols that the body calls.

    `roles` defaults to the order of first appearance. Of `protocols` those are kept that are called, from the
    body or from one another, in the order of their names; so more may be given than are needed. `ignored` is
    what a text also says and nothing here looks at, such as a refinement of a payload: such a policy can be
    checked as if it were not there, but `scribble.load` refuses it. Every role may stop in the middle of a
    conversation but those that are `reliable`, which matters where the policy has branches that begin with a `Crash`.
    `nested` are the policies of the conversations that this one starts (`A calls P(B);`): they are checked with it.

    Raises:
        IllFormed: a name is unbound, a role sends to itself, a call has the wrong roles, and so on.
    """

    name: str
    body: Statement
    roles: tuple[AnyRole, ...] = ()
    protocols: tuple[Protocol, ...] = ()
    at: Position | None = field(default=None, compare=False, repr=False)
    ignored: tuple[PolicyError, ...] = field(default=(), compare=False, repr=False)
    reliable: tuple[AnyRole, ...] = ()
    nested: tuple[Policy, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        from convpolicy.policy.wellformed import ensure  # noqa: PLC0415 - wellformed reads these classes

        if not self.roles:
            object.__setattr__(self, "roles", _mentioned(self.body))
        called = _called(self.body, self.protocols)
        protocols = (Protocol(p.name, p.roles, normal(p.body), p.at) for p in self.protocols if p.name in called)
        object.__setattr__(self, "body", normal(self.body))
        known = [role for role in self.roles if role in self.reliable]
        object.__setattr__(self, "reliable", (*known, *(role for role in self.reliable if role not in known)))
        object.__setattr__(self, "protocols", tuple(sorted(protocols, key=lambda p: p.name)))
        ensure(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self._said == other._said

    def __hash__(self) -> int:
        return hash(self._said)

    @property
    def _said(self) -> tuple[object, ...]:
        return (self.name, self.body, self.roles, self.protocols, self.reliable)

    @cached_property
    def explicit(self) -> bool:
        """Whether roles are connected by the policy itself, and nobody is before that."""
        bodies = (self.body, *(protocol.body for protocol in self.protocols))
        return any(isinstance(s, Send) and s.connects for body in bodies for s in statements(body))

    def protocol(self, name: str) -> Protocol:
        """Return the protocol that a `Call` names, the policy itself included.

        Raises:
            KeyError: there is none of that name.
        """
        if name == self.name:
            return Protocol(self.name, self.roles, self.body, self.at)
        for protocol in self.protocols:
            if protocol.name == name:
                return protocol
        raise KeyError(name)

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """Every label, once, in the order of the text; the body first, then the called protocols."""
        bodies = (self.body, *(protocol.body for protocol in self.protocols))
        sends = (s for body in bodies for s in statements(body) if isinstance(s, Send))
        return tuple(dict.fromkeys(send.label for send in sends))

    @cached_property
    def canonical(self) -> str:
        """The policy as one text that does not depend on variable names, comments or payload classes."""
        from convpolicy.policy.canonical import lines  # noqa: PLC0415 - canonical reads these classes

        return "\n".join(lines(self))

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of `canonical`, in hexadecimal: what two sides compare before they talk."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()


def _called(body: Statement, protocols: Iterable[Protocol]) -> set[str]:
    """Return the names that are called, from `body` or from a protocol that is called."""
    bodies = {p.name: p.body for p in protocols}
    names: set[str] = set()
    pending = [body]
    while pending:
        calls = {s.protocol for s in statements(pending.pop()) if isinstance(s, Call)}
        pending += [bodies[name] for name in calls - names if name in bodies]
        names |= calls
    return names


def _mentioned(body: Statement) -> tuple[AnyRole, ...]:
    seen: dict[AnyRole, None] = {}
    for statement in statements(body):
        match statement:
            case Send():
                seen.update(dict.fromkeys((statement.sender, *statement.receivers)))
            case Crash():
                seen.update(dict.fromkeys((statement.role, *statement.receivers)))
            case Disconnect(one, other):
                seen.update(dict.fromkeys((one, other)))
            case Choice():
                seen.setdefault(statement.chooser)
            case Call():
                seen.update(dict.fromkeys(statement.roles))
            case _:
                pass
    return tuple(seen)
