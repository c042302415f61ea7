"""Whether a policy makes sense as written, before anybody asks whether it can be followed.

Roles and recursion variables are bound, nobody sends to itself, calls give each parameter a different role,
nothing follows `again`, a recursion variable does not cross the border of a `par`, and on one ordered pair of
roles a label has one payload. Whether recursion is guarded is left to `convpolicy.verify`: an unguarded loop
is well written and cannot be followed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from convpolicy.errors import IllFormed, Position, one_of
from convpolicy.policy.blocks import ensure_blocks, with_called
from convpolicy.policy.model import (
    Again,
    AnyRole,
    Call,
    Choice,
    Crash,
    Disconnect,
    Field,
    Interruptible,
    Invite,
    Label,
    Loop,
    Par,
    Policy,
    Protocol,
    Send,
    Seq,
    Statement,
    children,
    statements,
)
from convpolicy.policy.nearest import did_you_mean, nearest
from convpolicy.policy.payload import SORTS, sort_parts
from convpolicy.policy.timers import ensure_timers

__all__ = [
    "INTERRUPTIBLE",
    "PAR",
    "RESERVED",
    "Outside",
    "ensure",
    "ensure_field",
    "unknown_loop",
    "unknown_protocol",
    "unknown_role",
]

_WORD = re.compile(r"[A-Za-z0-9_]+\Z")
_SORT = re.compile(r"[A-Za-z0-9_]+(<.+>)?\Z")

# The loops around that a `continue` cannot reach, each with the kind of statement whose border is between.
Outside = Mapping[str, str]
PAR, INTERRUPTIBLE = "par", "interruptible"

# How many sorts go inside the `<…>` of a sort.
_INSIDE = {"list": 1, "map": 2}

# They begin statements in a text or join their blocks, so a message of that name could not be written down.
RESERVED = (
    *("choice", "par", "rec", "continue", "do", "connect", "disconnect", "wrap", "interruptible"),
    *("aux", "explicit", "global", "local", "nested", "or", "and", "with"),
)


def ensure(policy: Policy) -> None:
    """Check a policy and every protocol that it calls.

    Raises:
        IllFormed: something makes no sense; with the place where it is known, at the first such thing.
    """
    arities = {p.name: p for p in (policy.protocol(policy.name), *policy.protocols)}
    _one_of_each((policy.name, *(p.name for p in policy.protocols)), "protocol", policy.at)
    for protocol in arities.values():
        _Check(protocol, arities).whole()
    _nested(policy)
    _reliable(policy)
    _connected_in_order(policy)
    ensure_blocks(policy)
    ensure_timers(policy)
    _all_are_there(policy)
    _one_payload_each(policy)


# --------------------------------------------------------------------------------------- names that are not bound


def unknown_role(name: str, protocol: str, roles: Iterable[str], at: Position | None) -> IllFormed:
    """Return the error for a role that the protocol does not have."""
    known = list(roles)
    hint = f"{did_you_mean(name, known)}Its roles are {one_of(known, empty='none', word='and')}."
    return IllFormed(f"`{name}` is not a role of {protocol}", at=at, hint=hint)


def unknown_protocol(name: str, known: Iterable[str], at: Position | None) -> IllFormed:
    """Return the error for a call of a protocol that is not there."""
    listed = list(known)
    hint = f"{did_you_mean(name, listed)}The protocols here: {one_of(listed, word='and')}."
    return IllFormed(f"there is no protocol `{name}`", at=at, hint=hint)


def unknown_loop(name: str, inside: Iterable[str], outside: Outside, at: Position | None) -> IllFormed:
    """Return the error for `continue name`, which stands `inside` some loops, or across a border from its own."""
    if outside.get(name) == INTERRUPTIBLE:
        return IllFormed(
            f"`continue {name}` would leave its `interruptible` block, which ends when its last statement has",
            at=at,
            hint=f"put the `rec {name}` inside the block, or the `continue {name}` after it.",
        )
    if name in outside:
        return IllFormed(
            f"`continue {name}` would leave its branch of the `par` while the others still run",
            at=at,
            hint=f"put the `rec {name}` inside the branch, or the `continue {name}` after the `par`.",
        )
    known = list(inside)
    hint = f"{did_you_mean(name, known)}" + (
        f"The loops around it: {one_of(known, word='and')}." if known else f"Write `rec {name} {{ … }}` around it."
    )
    return IllFormed(f"`continue {name}` is not inside a `rec {name}`", at=at, hint=hint)


# ------------------------------------------------------------------------------------------------ one protocol


_Loops = tuple[str, ...]


class _Check:
    def __init__(self, protocol: Protocol, protocols: Mapping[str, Protocol]) -> None:
        self._protocol, self._protocols = protocol, protocols
        self._roles = {role.name for role in protocol.roles}

    def whole(self) -> None:
        protocol = self._protocol
        _named(protocol.name, "a protocol", protocol.at)
        _one_of_each([role.name for role in protocol.roles], "role", protocol.at)
        waiting: list[tuple[Statement, _Loops, Outside]] = [(protocol.body, (), {})]
        while waiting:
            statement, inside, outside = waiting.pop()
            self.statement(statement, inside, outside)
            match statement:
                case Par():
                    inside, outside = (), {**outside, **dict.fromkeys(inside, PAR)}
                case Interruptible():
                    inside, outside = (), {**outside, **dict.fromkeys(inside, INTERRUPTIBLE)}
                case Loop(name):
                    inside = (*inside, name)
                case _:
                    pass
            waiting.extend((each, inside, outside) for each in reversed(children(statement)))

    def statement(self, statement: Statement, inside: _Loops, outside: Outside) -> None:  # noqa: C901 - one case each
        """Check a statement in the loops `inside`, but for what is in it; those of `outside` are out of reach."""
        match statement:
            case Send():
                self._send(statement)
            case Crash():
                self._crash(statement)
            case Disconnect(one, other, at):
                self._bound((one, other), at)
                _one_of_each((one.name, other.name), "role", at)
            case Seq(steps):
                self._seq(steps)
            case Choice(chooser, branches, at):
                self._bound([chooser], at)
                self._some(branches, f"the choice at {chooser}", at)
            case Par(branches, at):
                self._some(branches, "the par", at)
            case Interruptible():
                self._interruptible(statement)
            case Loop(name, _, at):
                _named(name, "a recursion variable", at)
                _carried(statement)
            case Again(name, at):
                if name not in inside:
                    raise unknown_loop(name, inside, outside, at)
            case Call():
                self._call(statement)
            case Invite():
                self._invite(statement)

    def _some(self, branches: tuple[Statement, ...], what: str, at: Position | None) -> None:
        if not branches:
            raise IllFormed(f"{what} has no branches", at=at, hint="give it one, or take it away.")

    def _seq(self, steps: tuple[Statement, ...]) -> None:
        for step, following in pairwise(steps):
            if isinstance(step, Again):
                hint = f"move it before the `continue {step.name}`, or take it away."
                raise IllFormed(f"nothing can follow `continue {step.name}`", at=following.at, hint=hint)

    def _bound(self, roles: Iterable[AnyRole], at: Position | None) -> None:
        for role in roles:
            if role.name not in self._roles:
                known = [known.name for known in self._protocol.roles]
                raise unknown_role(role.name, self._protocol.name, known, at)

    def _send(self, send: Send) -> None:
        at, label = send.at, send.label.name
        _written(send.label, at)
        self._bound((send.sender, *send.receivers), at)
        if not send.receivers:
            raise IllFormed(f"{label} has no receiver", at=at, hint="name the role that receives it.")
        if send.sender in send.receivers:
            hint = "a message goes to another role; what a role does alone is not part of the policy."
            raise IllFormed(f"{send.sender} sends {label} to itself", at=at, hint=hint)
        _one_of_each([role.name for role in send.receivers], "receiver", at)
        if send.connects and (len(send.receivers) > 1 or send.within is not None):
            hint = "write one `connect` for each role, and no `within`."
            raise IllFormed(f"{label} connects {send.sender} to one role, in its own time", at=at, hint=hint)
        if send.within is not None and not (0 < send.within < math.inf):
            hint = "give a time such as `within 30s`, or leave `within` out."
            raise IllFormed(f"{label} has to be sent within {send.within:g} s, which cannot be", at=at, hint=hint)

    def _interruptible(self, block: Interruptible) -> None:
        for interrupt in block.interrupts:
            self._bound([interrupt.role], interrupt.at)
            _written(interrupt.label, interrupt.at)

    def _crash(self, crash: Crash) -> None:
        self._bound((crash.role, *crash.receivers), crash.at)
        if not crash.receivers:
            hint = "name the role that waits for it."
            raise IllFormed(f"nobody notices the crash of {crash.role}", at=crash.at, hint=hint)
        if crash.role in crash.receivers:
            hint = "name another role: one that waits for it."
            raise IllFormed(f"{crash.role} cannot notice its own crash", at=crash.at, hint=hint)
        _one_of_each([role.name for role in crash.receivers], "receiver", crash.at)

    def _call(self, call: Call) -> None:
        self._bound(call.roles, call.at)
        called = self._protocols.get(call.protocol)
        if called is None:
            raise unknown_protocol(call.protocol, self._protocols, call.at)
        if len(call.roles) != len(called.roles):
            wants = f"{len(called.roles)} role{'s' * (len(called.roles) != 1)}"
            listed = ", ".join(role.name for role in called.roles)
            raise IllFormed(
                f"{call.protocol} has {wants}, and is called with {len(call.roles)}",
                at=call.at,
                hint=f"give a role for each of {call.protocol}({listed}).",
            )
        _one_of_each([role.name for role in call.roles], "role", call.at, where=f" in the call of {call.protocol}")

    def _invite(self, invite: Invite) -> None:
        protocol, parts, at = invite.protocol, invite.parts, invite.at
        self._bound((invite.caller, *invite.roles), at)
        _one_of_each([role.name for role in invite.roles], "role", at, where=f" in the call of {protocol}")
        _one_of_each(parts, "role", at, where=f" of {protocol}")
        if len(invite.roles) != len(parts):
            problem = f"{protocol} has {len(parts)} roles, and is called with {len(invite.roles)}"
            raise IllFormed(problem, at=at, hint=f"give a role for each of {protocol}({', '.join(parts)}).")


def _carried(loop: Loop) -> None:
    """Check the values that a loop carries, and that each `continue` of it gives a value for each or for none."""
    _one_of_each([variable.name for variable in loop.variables], "value", loop.at, where=f" in rec {loop.name}")
    for variable in loop.variables:
        _named(variable.name, "a value", variable.at)
        ensure_field(Field(variable.name, variable.sort), variable.at)
    for again in _agains(loop.body, loop.name):
        if again.values and len(again.values) != len(loop.variables):
            names = one_of((f"`{v.name}`" for v in loop.variables), empty="no value", word="and")
            problem = f"`continue {loop.name}` gives {len(again.values)} values, and the loop carries {names}"
            raise IllFormed(problem, at=again.at, hint="give one for each, in their order, or none to leave them.")


def _agains(body: Statement, name: str) -> Iterator[Again]:
    """Yield every `continue name` of the loop whose body this is; an inner loop of that name has its own."""
    waiting = [body]
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, Again) and statement.name == name:
            yield statement
        if not isinstance(statement, Par) and not (isinstance(statement, Loop) and statement.name == name):
            waiting.extend(reversed(children(statement)))


def _one_of_each(names: Iterable[str], what: str, at: Position | None, where: str = "") -> None:
    for name, count in Counter(names).items():
        if count > 1:
            hint = f"give each {what} once."
            raise IllFormed(f"the {what} {name} is named {_times(count)}{where}", at=at, hint=hint)


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"


# ----------------------------------------------------------------------- names that a text could not write down


def _named(name: str, what: str, at: Position | None) -> None:
    if not _WORD.match(name):
        raise IllFormed(f"{name!r} cannot name {what}", at=at, hint="use letters, digits and _.")


def _written(label: Label, at: Position | None) -> None:
    if label.name:
        _named(label.name, "a message", at)
    if label.name in RESERVED:
        hint = "it is a word of the notation: write it with a capital letter, or another word."
        raise IllFormed(f"`{label.name}` cannot name a message", at=at, hint=hint)
    for field in label.fields:
        ensure_field(field, at)
    _one_of_each([field.name for field in label.fields if field.name], "field", at, where=f" in {label.name}")


def ensure_field(field: Field, at: Position | None) -> None:
    """Check the name and the sort of a field.

    Raises:
        IllFormed: the name is no word, the sort is not well formed, or its name looks like a slip.
    """
    if field.name:
        _named(field.name, "a field", at)
    _sort(field.sort, at, named=bool(field.name))


def _sort(sort: str, at: Position | None, *, named: bool) -> None:
    name, inside = sort_parts(sort)
    if not _SORT.match(sort):
        hint = "use a sort such as `str` or `list<int>`, or the name of a type."
        raise IllFormed(f"{sort!r} is not a sort", at=at, hint=hint)
    if len(inside) != _INSIDE.get(name, 0) and (named or inside):
        hint = "write `list<str>` for a list, `map<str, int>` for a map, and no `<…>` after other sorts."
        raise IllFormed(f"`{sort}` is not a sort", at=at, hint=hint)
    if named:
        _spelt(name, at)
    for part in inside:
        _sort(part, at, named=named)


def _spelt(name: str, at: Position | None) -> None:
    """Refuse `strr` for `str`. Other unknown words are names of types, which may be given in Python.

    Only for fields with names: those without are from other tools, whose sorts have names of their own.
    """
    known = (*SORTS, *_INSIDE)
    if name not in known and name.islower() and nearest(name, known, cutoff=0.75):
        hint = f"{did_you_mean(name, known)}A type of your own begins with a capital letter."
        raise IllFormed(f"there is no sort `{name}`", at=at, hint=hint)


# ------------------------------------------------------------------------------------------ who is connected


def _connected_in_order(policy: Policy) -> None:
    """Refuse to connect in a `par`, where it would be open whether the others are connected already."""
    bodies = {policy.name: policy.body, **{protocol.name: protocol.body for protocol in policy.protocols}}
    for par in (s for body in bodies.values() for s in statements(body) if isinstance(s, Par)):
        found = next((s for s in with_called(par, bodies) if _changes_connections(s)), None)
        if found:
            hint = "connect before the `par`, and disconnect after it."
            raise IllFormed("roles are connected or disconnected inside of a par", at=found.at or par.at, hint=hint)


def _all_are_there(policy: Policy) -> None:
    """Refuse crash branches where roles are connected by the policy: who is not there yet cannot be missed."""
    stops = next((said.at for said, _ in _said(policy) if isinstance(said, Crash)), None)
    if policy.explicit and any(isinstance(said, Crash) for said, _ in _said(policy)):
        hint = "take the crash branches away, or have all roles connected from the start."
        raise IllFormed(f"{policy.name} connects roles, and has crash branches", at=stops, hint=hint)


def _changes_connections(statement: Statement) -> bool:
    return isinstance(statement, Disconnect) or (isinstance(statement, Send) and statement.connects)


# ------------------------------------------------------------------------------------- what is called as nested


def _nested(policy: Policy) -> None:
    """Check that what is called is there, with the roles that are given, and neither here nor there a role stops."""
    for role in policy.fresh or ():
        if role not in policy.roles:
            raise unknown_role(role.name, policy.name, [known.name for known in policy.roles], policy.at)
    if policy.fresh is not None and not policy.nested:
        return  # one of another policy's nested protocols, which has those that it calls
    nested = {each.name: each for each in policy.nested}
    for each in (policy, *policy.nested):
        for invite in _invites(each):
            _invited(invite, nested.get(invite.protocol), nested)
            _goes_on_with_all(each)
            _goes_on_with_all(nested[invite.protocol])


def _invites(policy: Policy) -> Iterator[Invite]:
    for body in (policy.body, *(protocol.body for protocol in policy.protocols)):
        yield from (s for s in statements(body) if isinstance(s, Invite))


def _invited(invite: Invite, called: Policy | None, nested: Mapping[str, Policy]) -> None:
    if called is None:
        known = f"The nested protocols here: {one_of(nested, empty='none', word='and')}."
        raise IllFormed(f"there is no nested protocol `{invite.protocol}`", at=invite.at, hint=known)
    if called.fresh is None:
        hint = f'make it one, with the roles that are found for it: Policy("{called.name}", …, fresh=()).'
        raise IllFormed(f"{called.name} is not a nested protocol, so it is not called", at=invite.at, hint=hint)
    wanted = [role.name for role in called.roles if role not in called.fresh]
    if len(invite.roles) != len(invite.parts) or list(invite.parts) != wanted:
        hint = f"its roles that are not new are {one_of(wanted, empty='none', word='and')}: give one for each."
        raise IllFormed(f"the call of {called.name} does not fit its roles", at=invite.at, hint=hint)


def _goes_on_with_all(policy: Policy) -> None:
    """Refuse crash branches where conversations start conversations: who has stopped here might go on there."""
    for statement, _ in _said(policy):
        if isinstance(statement, Crash):
            hint = "take the crash branches away, or let one conversation do it all."
            problem = f"{policy.name} has crash branches, and has to do with nested protocols"
            raise IllFormed(problem, at=statement.at, hint=hint)


# ------------------------------------------------------------------------------------------- who may stop


def _reliable(policy: Policy) -> None:
    known = [role.name for role in policy.roles]
    for role in policy.reliable:
        if role not in policy.roles:
            raise unknown_role(role.name, policy.name, known, policy.at)
    for statement, binding in _said(policy):
        if isinstance(statement, Crash) and binding[statement.role] in policy.reliable:
            role = binding[statement.role]
            hint = f"take the branch away, or the `reliable` from `role {role}`."
            raise IllFormed(f"{role} is reliable, so it does not stop", at=statement.at, hint=hint)


# ------------------------------------------------------------------------------------- one payload for a label


def _one_payload_each(policy: Policy) -> None:
    """On one ordered pair a label has one payload, or its receiver could not tell what it is to read.

    Existing Scribble files use one label with several payloads without field names, and with several names
    for a field of one sort; both are let pass.
    """
    seen: dict[tuple[str, str, str], Label] = {}
    for sender, receiver, label in _exchanges(policy):
        first = seen.setdefault((sender, receiver, label.name), label)
        if _sorts(first) != _sorts(label) and any(field.name for field in (*first.fields, *label.fields)):
            raise IllFormed(
                f"{label.name} from {sender} to {receiver} is declared in two ways: {first} and {label}",
                at=label.at,
                hint=f"make them the same, or give one another name.{_elsewhere(first.at)}",
            )


def _sorts(label: Label) -> list[str]:
    return [field.sort for field in label.fields]


def _elsewhere(at: Position | None) -> str:
    return f" The first is at {at}." if at else ""


def _exchanges(policy: Policy) -> Iterator[tuple[str, str, Label]]:
    """Yield each message as sender, receiver and label, in the names of the policy's own roles."""
    for statement, binding in _said(policy):
        if isinstance(statement, Send):
            sender, label = binding[statement.sender].name, statement.label
            yield from ((sender, binding[receiver].name, label) for receiver in statement.receivers)
        elif isinstance(statement, Interruptible):
            for interrupt in statement.interrupts:
                sender = binding[interrupt.role].name
                yield from ((sender, role.name, interrupt.label) for role in policy.roles if role.name != sender)


def _said(policy: Policy) -> Iterator[tuple[Send | Crash | Interruptible, Mapping[AnyRole, AnyRole]]]:
    """Yield what is said and what may stop, each with the policy's own roles by the names that it uses."""
    pending = [(policy.name, policy.roles)]
    for name, roles in pending:  # grows while it is walked: every call with every choice of roles, once
        protocol = policy.protocol(name)
        binding = dict(zip(protocol.roles, roles, strict=True))
        for statement in statements(protocol.body):
            match statement:
                case Send() | Crash() | Interruptible():
                    yield statement, binding
                case Invite():
                    yield from ((invitation, binding) for invitation in statement.invitations)
                case Call(called, passed):
                    target = (called, tuple(binding[role] for role in passed))
                    if target not in pending:
                        pending.append(target)
                case _:
                    pass
