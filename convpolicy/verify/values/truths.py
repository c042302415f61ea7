"""What is certainly true of the values at each position: the conditions of the messages that have led there.

A *path* is a set of conditions, and a position has a set of paths, one of which was taken: what follows a choice knows
that one of its branches was. Where a value is said again, what was true of the old one is dropped. A path that says
more than another one adds nothing and is left out, and where there are too many, only what all of them say is kept; so
loops come to an end. Everything that can happen is covered, so what is proved of the paths holds; a counterexample may
be one that a loop's earlier rounds rule out.

In these conditions every name is a *term*: it stands for the same value everywhere, and says of which kind that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import product

from convpolicy.policy.effects import Formula, Slot, Source
from convpolicy.policy.expressions import Binary, Expression, Name, Unary, kind_of_sort, names
from convpolicy.verify.runs.graph import Exchange
from convpolicy.verify.values.flow import Flow, slots_said
from convpolicy.verify.values.knowledge import Knowledge

__all__ = ["Path", "Paths", "Truths", "in_terms", "kind_of_term", "shown", "slot_term", "substituted", "term_of"]

Path = frozenset[Expression]
Paths = frozenset[Path]

MOST = 32  # paths to one position


def slot_term(slot: Slot, kind: str) -> str:
    """Return the term that stands for a slot while it has a value of this kind."""
    frame, name = slot
    return f"{name}@{frame}:{kind}"


def term_of(source: Source) -> str:
    """Return the term that stands for where a value comes from."""
    return f"{source.field}@:{source.kind}" if source.slot is None else slot_term(source.slot, source.kind)


def kind_of_term(term: str) -> str:
    """Return of which kind the value is that a term stands for."""
    return term.rpartition(":")[2]


def shown(term: str) -> str:
    """Return a term as the name that people know it by."""
    return term.partition("@")[0]


def in_terms(formula: Formula, term: Callable[[Source], str] = term_of) -> Expression:
    """Return a formula's expression with a term for each name."""
    return substituted(formula.expression, {source.name: Name(term(source)) for source in formula.sources})


def substituted(expression: Expression, given: Mapping[str, Expression]) -> Expression:
    """Return an expression with others in the places of names."""
    match expression:
        case Name(name):
            return given.get(name, expression)
        case Unary(sign, operand):
            return Unary(sign, substituted(operand, given))
        case Binary(sign, left, right):
            return Binary(sign, substituted(left, given), substituted(right, given))
        case _:
            return expression


class Truths(Flow[Paths]):
    """What is true at each position of a graph: `at[position]` are the paths that may have led there."""

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__(knowledge.graph)
        self._knowledge = knowledge
        formulas = [formula for formula, _ in knowledge.guards.values()] + list(knowledge.always.values())
        formulas += [formula for every in knowledge.values.values() for formula in every if formula is not None]
        self._used = {s.slot for formula in formulas for s in formula.sources if s.slot is not None}
        self.run(frozenset([Path()]))

    def met(self, left: Paths, right: Paths) -> Paths:
        """Return the paths of both ways."""
        return _few(left | right)

    def left(self, position: int, facts: Paths) -> Paths:
        """Return what is true when loops' values have become what they become there."""
        assigned = self.graph.assigned.get(position, ())
        slots = {one.slot for one in assigned}
        new = [in_terms(self._knowledge.always[s]) for s in slots if s in self._knowledge.always]
        for one, formula in zip(assigned, self._knowledge.values.get(position, ()), strict=False):
            if formula is not None and not slots & {source.slot for source in formula.sources}:
                changed = Name(slot_term(one.slot, kind_of_sort(one.variable.sort) or ""))
                new.append(Binary("=", changed, in_terms(formula)))
        return _few(frozenset(path | set(new) for path in self.without(facts, slots)))

    def said(self, position: int, exchange: Exchange, facts: Paths) -> Paths:
        """Return what is true after a message: its condition, of the slots that its fields are kept in."""
        said = list(slots_said(exchange))
        new = [fact for plain, full in zip(said[::2], said[1::2], strict=True) for fact in self._alike(plain[0], *full)]
        if position in self._knowledge.guards:
            guard, _ = self._knowledge.guards[position]
            new += [in_terms(guard, _Kept(said[0::2])), in_terms(guard, _Kept(said[1::2]))]
        dropped = self.without(facts, {slot for slot, _, _ in said})
        return _few(frozenset(path | set(new) for path in dropped))

    def _alike(self, plain: Slot, full: Slot, _: str, sort: str) -> Iterator[Expression]:
        """Yield that a field has one value by its name and with its label's, where conditions speak of both."""
        kind = kind_of_sort(sort)
        if kind and {plain, full} <= self._used:
            yield Binary("=", Name(slot_term(plain, kind)), Name(slot_term(full, kind)))

    def without(self, facts: Paths, slots: set[Slot]) -> Paths:
        """Return what is true whatever becomes of these slots."""
        gone = {slot_term(slot, "") for slot in slots}
        return _few(frozenset(Path(fact for fact in path if gone.isdisjoint(_places(fact))) for path in facts))

    def joined(self, before: Paths, ends: Sequence[Paths]) -> Paths:
        """Return what is true behind a par: what one path of each branch says."""
        if reduce(lambda count, paths: count * len(paths), ends, 1) > MOST:
            ends = [frozenset([_common(paths)]) for paths in ends]
        return _few(frozenset(Path().union(*paths) for paths in product(before, *ends)))


class _Kept:
    """Gives a message's own fields the terms of the slots that they are kept in."""

    def __init__(self, said: Iterable[tuple[Slot, str, str]]) -> None:
        self._slots = {field: slot for slot, field, _ in said}

    def __call__(self, source: Source) -> str:
        slot = self._slots[source.field] if source.slot is None else source.slot
        return slot_term(slot, source.kind)


def _places(fact: Expression) -> Iterator[str]:
    """Yield the terms of a condition without their kinds, as `slot_term` makes them."""
    return (name.name.rpartition(":")[0] + ":" for name in names(fact))


def _few(paths: Paths) -> Paths:
    """Return the paths but for those that only say more than another one; one that covers all where there are many."""
    weakest = frozenset(path for path in paths if not any(other < path for other in paths))
    return weakest if len(weakest) <= MOST else frozenset([_common(weakest)])


def _common(paths: Iterable[Path]) -> Path:
    return reduce(Path.intersection, paths)
