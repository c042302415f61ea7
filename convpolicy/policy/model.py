"""A policy as a value: roles, labels, and the statements that order them.

Everything here is immutable and hashable, and nothing here decides anything: whether the policy can be
followed is `convpolicy.verify`'s business. Two policies are equal when they say the same, wherever they
were written; places in a text (`at`) and the Python classes of payloads (`Label.type`) do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from convpolicy.errors import PolicyError, Position
from convpolicy.policy.expressions import Expression
from convpolicy.policy.message import AnyRole, Crashed, Field, Invited, Label, Message, Returned, Role, name_of

__all__ = [
    "Again",
    "AnyRole",
    "Call",
    "Choice",
    "Crash",
    "Crashed",
    "Disconnect",
    "Field",
    "Interrupt",
    "Interruptible",
    "Invite",
    "Invited",
    "Label",
    "Loop",
    "Message",
    "Par",
    "Policy",
    "Protocol",
    "Returned",
    "Role",
    "Send",
    "Seq",
    "Statement",
    "Variable",
    "children",
    "has_conditions",
    "labels_in",
    "name_of",
    "normal",
    "statements",
]

# ------------------------------------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Send:
    """`label from sender to receivers`; to several receivers it is sent to each, in the written order.

    `within` is the number of seconds in which it must be sent once its sender may send it, `after` those before which
    it must not; `where` is what must be true of its fields, and of what was said before. One that `connects` opens the
    connection of the two, in a policy in which roles are connected explicitly: one with such a message.
    """

    sender: AnyRole
    receivers: tuple[AnyRole, ...]
    label: Label
    within: float | None = None
    at: Position | None = field(default=None, compare=False, repr=False)
    where: Expression | None = None
    connects: bool = False
    after: float | None = None


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


@dataclass(frozen=True, slots=True)
class Invite:
    """`caller calls protocol(roles)`: a conversation of its own begins, in which these roles take part.

    `protocol` is one of the policy's `nested` ones; `parts` are the roles of it that they play, in the same order.
    """

    caller: AnyRole
    protocol: str
    roles: tuple[AnyRole, ...]
    parts: tuple[str, ...]
    at: Position | None = field(default=None, compare=False, repr=False)

    @property
    def invitations(self) -> tuple[Send, ...]:
        """What the call says to each role but the caller: as whom it takes part, and in which conversation.

        Where there is none but the caller, it says so to itself: a step of its own, which nobody else sees.
        """
        pairs = tuple(zip(self.roles, self.parts, strict=True))
        others = tuple((role, part) for role, part in pairs if role != self.caller)
        return tuple(
            Send(self.caller, (role,), Label(f"{self.protocol}_as_{part}", INVITATION, at=self.at), at=self.at)
            for role, part in others or pairs
        )


INVITATION = (Field("conversation", "bytes"),)  # what an invitation carries: the id of the conversation that begins


@dataclass(frozen=True, slots=True)
class Interrupt:
    """`label by role`: the role may end the block that it stands behind, with this message to all others in it."""

    label: Label
    role: AnyRole
    at: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Interruptible:
    """`body`, which each of the `interrupts` may end before its end, for everybody who takes part in it.

    What follows the block follows in either case. Messages of the block that come after the interrupt are dropped.
    """

    body: Statement
    interrupts: tuple[Interrupt, ...]
    name: str = ""
    at: Position | None = field(default=None, compare=False, repr=False)


Statement = Send | Crash | Disconnect | Seq | Choice | Par | Interruptible | Loop | Again | Call | Invite


def statements(root: Statement) -> Iterator[Statement]:
    """Yield the statement and everything in it, in the order of the text."""
    waiting = [root]
    while waiting:
        statement = waiting.pop()
        yield statement
        waiting.extend(reversed(children(statement)))


def children(statement: Statement) -> tuple[Statement, ...]:
    """Return the statements right inside of one."""
    match statement:
        case Seq(steps=inside) | Choice(branches=inside) | Par(branches=inside):
            return inside
        case Loop(body=body) | Interruptible(body=body):
            return (body,)
        case _:
            return ()


def same(one: Statement, other: Statement) -> bool:
    """Return whether two statements are equal; as `==`, at any depth."""
    waiting = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        pairs = tuple(zip(children(left), children(right), strict=False))
        if len(pairs) != max(len(children(left)), len(children(right))) or _alone(left) != _alone(right):
            return False
        waiting.extend(pairs)
    return True


def _alone(statement: Statement) -> object:
    """Return what a statement says but for what is in it."""
    match statement:
        case Seq() | Par():
            return type(statement)
        case Choice(chooser):
            return Choice, chooser
        case Loop(name, variables=variables):
            return name, variables
        case Interruptible(_, interrupts, name):
            return Interruptible, name, interrupts
        case _:
            return statement


def labels_in(statement: Statement) -> tuple[Label, ...]:
    """Return the labels that stand in a statement itself, and not in the statements inside of it."""
    if isinstance(statement, Interruptible):
        return tuple(interrupt.label for interrupt in statement.interrupts)
    return (statement.label,) if isinstance(statement, Send) else ()


def has_conditions(policy: Policy) -> bool:
    """Return whether any message of the policy has a condition on values."""
    return any(isinstance(s, Send) and s.where is not None for s in policy.everything())


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
        case Loop(body=body) | Interruptible(body=body):
            return replace(statement, body=normal(body))
        case _:
            return statement


def _flat(steps: tuple[Statement, ...]) -> Iterator[Statement]:
    waiting = [*reversed(steps)]
    while waiting:
        step = waiting.pop()
        if isinstance(step, Seq):
            waiting.extend(reversed(step.steps))
        else:
            yield normal(step)


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
    `nested` are the policies of the conversations that this one starts (`A calls P(B);`), and that those start: they
    are checked with it. Such a policy has itself `fresh` roles, perhaps none: they are played by whoever is found for
    them, and all others by those who are invited. For a policy that is not nested in another, `fresh` is None.

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
    nested: tuple[Policy, ...] = field(default=(), repr=False)
    fresh: tuple[AnyRole, ...] | None = None

    def __post_init__(self) -> None:
        from convpolicy.policy.depth import ensure_shallow  # noqa: PLC0415 - it reads these classes
        from convpolicy.policy.wellformed import ensure  # noqa: PLC0415 - it reads these classes

        for body in (self.body, *(protocol.body for protocol in self.protocols)):
            ensure_shallow(body)
        if not self.roles:
            object.__setattr__(self, "roles", _mentioned(self.body))
        called = _called(self.body, self.protocols)
        protocols = (Protocol(p.name, p.roles, normal(p.body), p.at) for p in self.protocols if p.name in called)
        object.__setattr__(self, "body", normal(self.body))
        known = [role for role in self.roles if role in self.reliable]
        object.__setattr__(self, "reliable", (*known, *(role for role in self.reliable if role not in known)))
        object.__setattr__(self, "protocols", tuple(sorted(protocols, key=lambda p: p.name)))
        object.__setattr__(self, "nested", _invited_to(self, self.nested))
        ensure(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        ours, theirs = self._bodies, other._bodies
        alike = self._heads == other._heads and all(
            same(one, another) for one, another in zip(ours, theirs, strict=True)
        )
        return alike and self.nested == other.nested

    def __hash__(self) -> int:
        return hash((self._heads, self._bodies, self.nested))

    @property
    def _bodies(self) -> tuple[Statement, ...]:
        return (self.body, *(protocol.body for protocol in self.protocols))

    @property
    def _heads(self) -> tuple[object, ...]:
        protocols = tuple((protocol.name, protocol.roles) for protocol in self.protocols)
        return (self.name, self.roles, protocols, self.reliable, self.fresh)

    @cached_property
    def explicit(self) -> bool:
        """Whether roles are connected by the policy itself, and nobody is before that."""
        return any(isinstance(statement, Send) and statement.connects for statement in self.everything())

    @cached_property
    def interruptible(self) -> bool:
        """Whether any block of the policy may be interrupted."""
        return any(isinstance(statement, Interruptible) for statement in self.everything())

    def everything(self) -> Iterator[Statement]:
        """Yield every statement, those of the called protocols too."""
        yield from statements(self.body)
        for protocol in self.protocols:
            yield from statements(protocol.body)

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

    def called(self, name: str) -> Policy:
        """Return the policy of the conversations that calls of the nested protocol `name` start.

        Raises:
            PolicyError: nobody calls one of that name.
        """
        for nested in self.nested:
            if nested.name == name:
                return replace(nested, nested=self.nested)
        known = ", ".join(nested.name for nested in self.nested) or "none"
        raise PolicyError(f"{self.name} calls no nested protocol `{name}`\n  Those that it calls: {known}.")

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """Every label, once, in the order of the text; the body first, then the called protocols."""
        return tuple(dict.fromkeys(label for statement in self.everything() for label in labels_in(statement)))

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


def _invited_to(policy: Policy, nested: Iterable[Policy]) -> tuple[Policy, ...]:
    """Return the nested policies that are called, from the policy or from one that is called, by their names."""
    given = {each.name: each for each in nested}
    names: dict[str, None] = {}
    pending = [policy]
    for each in pending:  # grows while it is walked
        bodies = (each.body, *(protocol.body for protocol in each.protocols))
        called = dict.fromkeys(s.protocol for body in bodies for s in statements(body) if isinstance(s, Invite))
        pending += [given[name] for name in called if name in given and name not in names]
        names |= called
    return tuple(replace(given[name], nested=()) for name in sorted(names) if name in given)


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
            case Invite():
                seen.update(dict.fromkeys((statement.caller, *statement.roles)))
            case _:
                pass
    blocks = (statement for statement in statements(body) if isinstance(statement, Interruptible))
    seen.update(dict.fromkeys(interrupt.role for block in blocks for interrupt in block.interrupts))
    return tuple(seen)
