"""Hypothesis strategies: random policies, for property tests of anything that takes one.

Every policy is well-formed. Whether it can be followed is left open, but a good share can: choosers mostly
speak first in each branch, to every role that must know, with a label of its own; `again` stands only in the
last place of a loop's branches; branches of a `par` mostly have labels of their own. Examples shrink towards
two roles, one message and no structure, because the simplest alternative is always drawn first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple, TypeVar

from convpolicy.errors import MissingExtra
from convpolicy.policy.model import (
    Again,
    AnyRole,
    Call,
    Choice,
    Field,
    Interrupt,
    Interruptible,
    Label,
    Loop,
    Par,
    Policy,
    Protocol,
    Role,
    Send,
    Seq,
    Statement,
    statements,
)

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import DrawFn, SearchStrategy
except ImportError as missing:
    raise MissingExtra("testing", "hypothesis", "convpolicy.testing.strategies") from missing

__all__ = ["delays", "fields", "limits", "policies", "sorts"]

T = TypeVar("T")

_ROLES = tuple("ABCDEFGH")
_PLAIN = ("str", "int", "float", "bool", "bytes", "decimal", "datetime", "uuid", "any")


def policies(
    *,
    roles: tuple[int, int] = (2, 4),
    size: int = 8,
    labels: int = 3,
    choice: bool = True,
    loops: bool = True,
    par: bool = True,
    interrupts: bool = False,
    calls: bool = False,
    payloads: bool = False,
    timers: bool = False,
) -> SearchStrategy[Policy]:
    """Random well-formed policies.

    `roles` is the least and the largest number of roles (at most 8), `size` about how many statements there
    are, `labels` how many labels a block draws from. `choice`, `loops`, `par`, `interrupts` and
    `calls` (of other protocols) say which constructs occur; `payloads` gives labels fields, and messages time limits;
    with `timers` branches of choices begin `after` a time.
    """
    known = (("choice", choice), ("loop", loops), ("par", par), ("interruptible", interrupts))
    kinds = [kind for kind, wanted in known if wanted]
    return _policies(_Shape(roles, size, labels, tuple(kinds), calls, payloads, timers))


def sorts(declared: tuple[str, ...] = ("Address",)) -> SearchStrategy[str]:
    """Sorts of payload fields, nested ones too; `declared` are names of classes to mix in."""
    plain = st.sampled_from((*_PLAIN, *declared))
    return st.recursive(
        plain,
        lambda inner: (
            inner.map("list<{}>".format) | st.tuples(plain, inner).map(lambda pair: f"map<{', '.join(pair)}>")
        ),
        max_leaves=3,
    )


@cache
def fields() -> SearchStrategy[tuple[Field, ...]]:
    """The fields of a payload: different names, and now and then a field that has only a sort."""
    named = st.builds(Field, st.sampled_from(("sku", "quantity", "amount", "note")), sorts())
    unnamed = st.builds(Field, st.just(""), sorts())
    return st.lists(named | unnamed, max_size=3, unique_by=lambda f: f.name or id(f)).map(tuple)


@cache
def delays() -> SearchStrategy[float]:
    """What may stand after `after`, in seconds."""
    return st.integers(1, 10**6).map(float) | st.floats(1e-3, 1e6)


@cache
def limits() -> SearchStrategy[float | None]:
    """What may stand after `within`, in seconds: mostly nothing."""
    numbers = st.integers(1, 10**6).map(float) | st.floats(1e-3, 1e6)
    return st.none() | st.none() | numbers


class _Shape(NamedTuple):
    roles: tuple[int, int]
    size: int
    labels: int
    kinds: tuple[str, ...]
    calls: bool
    payloads: bool
    timers: bool


class _Place(NamedTuple):
    """Where a block stands: its roles, the loops it may end by restarting, and the suffix of its labels."""

    roles: tuple[AnyRole, ...]
    loops: tuple[str, ...] = ()
    lane: str = ""
    ends: bool = False  # something follows the block, so that it has to come to an end
    callable: tuple[Protocol, ...] = ()


@st.composite
def _policies(draw: DrawFn, shape: _Shape) -> Policy:
    grower = _Grower(draw, shape)
    protocols = grower.protocols() if shape.calls else ()
    roles = grower.roles()
    body = grower.block(_Place(roles, callable=tuple(p for p in protocols if len(p.roles) <= len(roles))), shape.size)
    return Policy("P", body, roles, protocols)


class _Grower:
    """Draws the parts of one policy. Sizes are split among the parts, so that growing comes to an end."""

    def __init__(self, draw: DrawFn, shape: _Shape) -> None:
        self._draw, self._shape = draw, shape
        self._fields: dict[str, tuple[Field, ...]] = {}  # a label has one payload
        self._loops = self._blocks = 0

    def roles(self) -> tuple[AnyRole, ...]:
        least, most = self._shape.roles
        return tuple(Role[Any, Any](name) for name in _ROLES[: least + self._pick(most - least + 1)])

    def protocols(self) -> tuple[Protocol, ...]:
        """Draw up to two protocols to be called; the second may call the first."""
        made: list[Protocol] = []
        for name in ("Q", "R")[: self._pick(3)]:
            roles = self.roles()
            fitting = tuple(p for p in made if len(p.roles) <= len(roles))
            made.append(Protocol(name, roles, self.block(_Place(roles, ends=True, callable=fitting), 3)))
        return tuple(made)

    def block(self, place: _Place, size: int) -> Statement:
        """Draw steps one after the other; only the last may restart a loop."""
        steps: list[Statement] = []
        inner = place._replace(loops=(), ends=True)
        while size > 1 and self._pick(3):
            part = 1 + self._pick(size - 1)
            steps.append(self.step(inner, part))
            size -= part
        if place.loops and self._pick(2):
            steps += [self.step(inner, size), Again(self._one(place.loops))]
        else:
            steps.append(self.step(place, size))
        return steps[0] if len(steps) == 1 else Seq(tuple(steps))

    def step(self, place: _Place, size: int) -> Statement:
        kinds = ["send"]
        if place.callable:
            kinds.append("call")
        if size > 1:
            kinds.extend(self._shape.kinds)
        match self._one(kinds):
            case "choice":
                return self.choice(place, size)
            case "loop":
                return self.loop(place, size)
            case "par":
                return self.par(place, size)
            case "interruptible":
                return self.interruptible(place, size)
            case "call":
                return self.call(place)
            case _:
                return self.send(place)

    def send(self, place: _Place) -> Send:
        sender, *others = self._order(place.roles)
        return self._message(sender, self._some(others), self._label(place, self._pick(self._shape.labels)))

    def choice(self, place: _Place, size: int) -> Choice:
        """Draw two or three branches; the first one ends where the block has to."""
        chooser, *others = self._order(place.roles)
        count = 2 + self._pick(2)
        first = place._replace(loops=()) if place.ends else place
        places = [first, *[place._replace(ends=False)] * (count - 1)]
        told = self._some(others) if self._pick(3) == 1 else tuple(others)
        branches = [self._branch(p, chooser, told, n, size // count) for n, p in enumerate(places)]
        return Choice(chooser, tuple(branches))

    def _branch(self, place: _Place, chooser: AnyRole, told: tuple[AnyRole, ...], number: int, size: int) -> Statement:
        if self._rarely():
            return Seq(()) if self._pick(2) else self.block(place, max(1, size))
        known = number if self._shape.labels > number and not self._rarely() else 0
        first = self._message(chooser, told, self._label(place, known))
        if self._shape.timers and number and not self._pick(2):
            first = self._timer(first)
        rest = self.block(place, size) if size else self._end(place)
        return Seq((first, rest))

    def _end(self, place: _Place) -> Statement:
        return Again(self._one(place.loops)) if place.loops and self._pick(2) else Seq(())

    def loop(self, place: _Place, size: int) -> Loop:
        name = f"X{self._loops}"
        self._loops += 1
        inside = place._replace(loops=(*place.loops, name))
        if "choice" in self._shape.kinds:
            return Loop(name, self.choice(inside, size))
        return Loop(name, self.block(place if place.ends else inside, size))

    def par(self, place: _Place, size: int) -> Par:
        shared = self._rarely()
        suffixes = "abc" if self._rarely() else "ab"
        inside = place._replace(loops=(), ends=True)
        return Par(
            tuple(
                self.block(inside._replace(lane=place.lane if shared else place.lane + suffix), max(1, size // 2))
                for suffix in suffixes
            )
        )

    def interruptible(self, place: _Place, size: int) -> Interruptible:
        """Draw a block that one role or two may interrupt, mostly one that comes to an end of its own."""
        self._blocks += 1
        name = f"I{self._blocks}"
        inside = place._replace(loops=(), ends=not self._rarely(), lane=f"{place.lane}i{self._blocks}")
        body = self.block(inside, size)
        if not any(isinstance(each, Send) for each in statements(body)):
            body = Seq((self.send(inside), body))
        by = self._some(list(self._order(place.roles)))[:2]
        ends = tuple(Interrupt(self._label_of(f"{name}{role}"), role) for role in by)
        return Interruptible(body, ends)

    def call(self, place: _Place) -> Call:
        called = self._draw(st.sampled_from(place.callable))
        return Call(called.name, self._order(place.roles)[: len(called.roles)])

    def _message(self, sender: AnyRole, receivers: tuple[AnyRole, ...], name: str) -> Send:
        limit = self._draw(limits()) if self._shape.payloads else None
        return Send(sender, receivers, self._label_of(name), limit)

    def _timer(self, message: Send) -> Send:
        """Draw the time after which a branch begins; what must be said within a time begins earlier than that."""
        delay = self._draw(delays())
        return replace(message, after=delay if message.within is None else message.within / 2)

    def _label_of(self, name: str) -> Label:
        if not self._shape.payloads:
            return Label(name)
        if name not in self._fields:
            self._fields[name] = self._draw(fields())
        return Label(name, self._fields[name])

    def _label(self, place: _Place, number: int) -> str:
        return f"M{number}{place.lane}"

    def _order(self, roles: tuple[AnyRole, ...]) -> tuple[AnyRole, ...]:
        """Draw a sender and its first receiver, and let the others follow in their order."""
        first = self._pick(len(roles))
        rest = roles[:first] + roles[first + 1 :]
        second = self._pick(len(rest))
        return (roles[first], rest[second], *rest[:second], *rest[second + 1 :])

    def _some(self, roles: list[AnyRole]) -> tuple[AnyRole, ...]:
        """Mostly the first role, now and then more of them."""
        return tuple(roles[: 1 + self._pick(len(roles))] if self._rarely() else roles[:1])

    def _rarely(self) -> bool:
        return self._pick(8) == 7

    def _one(self, of: Sequence[T]) -> T:
        return of[self._pick(len(of))]

    def _pick(self, count: int) -> int:
        """Draw one of 0, 1, … `count` - 1; smaller ones are simpler."""
        return self._draw(_below(count))


@cache
def _below(count: int) -> SearchStrategy[int]:
    # One strategy a number: making and validating strategies would cost more than drawing from them.
    return st.integers(0, count - 1)
