"""Who knows what, and where: whether every condition can be worked out by the role that has to keep it.

A value is known to those who took part in the message that said it last, and a recursion variable to the roles that
it names. What is known at a position of the graph is what is known on every way there: a dataflow, whose facts only
become fewer, so it ends. In a `par` a branch knows nothing of what another branch says at the same time; after it,
everything that one branch alone has said.

A condition is the sender's to keep, so its sender must know every value in it. A receiver that knows them all as well
holds the sender to it; one that does not takes the message as it comes.

Source: Zhou, Ferreira, Hu, Neykova, Yoshida, "Statically Verified Refinements for Multiparty Protocols", OOPSLA 2020,
sections 3 and 4 (a refinement may speak only of variables that its role knows; recursion variables `x@p`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from convpolicy.errors import Position, one_of
from convpolicy.policy.effects import Change, Effect, Formula, Keep, Slot, Source
from convpolicy.policy.expressions import Expression, IllTyped, Name, kind_of, kind_of_sort, names
from convpolicy.policy.nearest import did_you_mean
from convpolicy.verify.runs.graph import Assigned, Exchange, Graph, Scope
from convpolicy.verify.values.flow import Flow, slots_said

__all__ = ["KNOWLEDGE", "TYPE", "Flaw", "Knowledge", "Known", "merged"]


class Known(NamedTuple):
    """A value: of which kind (None: one that conditions cannot speak of), and to whom it is known."""

    kind: str | None
    roles: frozenset[str]


class Flaw(NamedTuple):
    """What is wrong with a condition: `property` is `condition-type` or `condition-knowledge`."""

    property: str
    role: str | None
    at: Position | None
    message: str
    detail: str


TYPE, KNOWLEDGE = "condition-type", "condition-knowledge"
Facts = Mapping[Slot, Known]


class _Here(NamedTuple):
    """Where an expression stands: in `message`, or in a loop. `what` is said of it in errors."""

    what: str
    scope: Scope
    facts: Facts
    message: Exchange | None = None

    @property
    def at(self) -> Position | None:
        return self.message.at if self.message else None


class Knowledge(Flow[Facts]):
    """What is known at each position of a graph: `at[position]`. `flaws` are the conditions that cannot be kept."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.flaws: list[Flaw] = []
        self.guards: dict[int, tuple[Formula, frozenset[str]]] = {}  # and who works them out
        self.values: dict[int, tuple[Formula | None, ...]] = {}  # what loops' values become, by position
        self.always: dict[Slot, Formula] = {}  # what is always true of them
        self.run({})
        for position, facts in self.at.items():
            self._look(position, facts)

    # ------------------------------------------------------------------------------------------- the dataflow

    def met(self, left: Facts, right: Facts) -> Facts:
        """Return what is known on both ways."""
        return {
            slot: Known(known.kind, known.roles & right[slot].roles)
            for slot, known in left.items()
            if slot in right and right[slot].kind == known.kind
        }

    def left(self, position: int, facts: Facts) -> Facts:
        """Return what is known when a position is left."""
        return {**facts, **{one.slot: _assigned(one) for one in self.graph.assigned.get(position, ())}}

    def said(self, position: int, exchange: Exchange, facts: Facts) -> Facts:  # noqa: ARG002 - what a flow gives
        """Return what is known after a message: its fields, to those who took part."""
        roles = frozenset((exchange.symbol.sender, *exchange.heard))
        return {**facts, **{slot: Known(kind_of_sort(sort), roles) for slot, _, sort in slots_said(exchange)}}

    def without(self, facts: Facts, slots: set[Slot]) -> Facts:
        """Return what is known but for these slots."""
        return {slot: known for slot, known in facts.items() if slot not in slots}

    def joined(self, before: Facts, ends: Sequence[Facts]) -> Facts:
        """Return what is known behind a par."""
        return dict(before) | {slot: known for end in ends for slot, known in end.items()}

    # ---------------------------------------------------------------------------------------- the conditions

    def _look(self, position: int, facts: Facts) -> None:
        """Resolve the conditions at a position, and note what is wrong with them."""
        for exchange in self.graph.exchanges.get(position, ()):
            if exchange.where is not None:
                self._guard(position, exchange, exchange.where, facts)
        assigned = self.graph.assigned.get(position, ())
        if assigned:
            self.values[position] = tuple(self._value(one, facts) for one in assigned)

    def _guard(self, position: int, exchange: Exchange, where: Expression, facts: Facts) -> None:
        sender, receiver, label, _ = exchange.symbol
        what = f"the condition of {label or 'the message'}"
        formula = self._formula(where, "bool", _Here(what, exchange.scope, facts, exchange))
        if formula is None:
            return
        lost = self._unknown(formula, sender, facts)
        if lost:
            message = f"{sender} cannot know whether it may send {label or 'its message'}"
            detail = f"its condition is `{where}`, and {self._whose(lost, facts)}"
            self._flaw(KNOWLEDGE, sender, _at(where, lost[0], exchange.at), message, detail)
            return
        able = {sender} if self._unknown(formula, receiver, facts) else {sender, receiver}
        self.guards[position] = formula, frozenset(able)

    def _value(self, one: Assigned, facts: Facts) -> Formula | None:
        name, at = one.variable.name, one.variable.at
        for role in one.roles:
            if role not in self.graph.roles:
                hint = f"{did_you_mean(role, self.graph.roles)}Its roles are {one_of(self.graph.roles, word='and')}"
                message = f"`{role}`, which `{name}` is known to, is not a role of {self.graph.policy.name}"
                self._flaw(KNOWLEDGE, None, at, message, hint)
        kind = kind_of_sort(one.variable.sort)
        if kind is None:
            self._flaw(
                TYPE, None, at, f"`{name}` is {one.variable.sort}", "a loop can carry bool, int, decimal and str"
            )
            return None
        self._always(one, facts)
        formula = self._formula(one.value, kind, _Here(f"what `{name}` becomes", one.scope, facts))
        if formula is not None:
            self._reckoned(one, formula, facts)
        return formula

    def _reckoned(self, one: Assigned, formula: Formula, facts: Facts) -> None:
        """Note the roles that cannot work out what a loop's value becomes."""
        for role in one.roles:
            lost = self._unknown(formula, role, facts)
            if lost:
                message = f"{role} cannot work out what `{one.variable.name}` becomes"
                detail = f"it becomes `{one.value}`, and {self._whose(lost, facts)}"
                self._flaw(KNOWLEDGE, role, _at(one.value, lost[0], one.variable.at), message, detail)

    def _always(self, one: Assigned, facts: Facts) -> None:
        """Resolve what is always true of a loop's value: it may speak of the value itself, and of what came before."""
        if one.variable.where is None or one.slot in self.always:
            return
        scope = one.scope._replace(carried={**one.scope.carried, one.variable.name: one.slot})
        about = {**facts, one.slot: _assigned(one)}
        what = f"the condition of `{one.variable.name}`"
        formula = self._formula(one.variable.where, "bool", _Here(what, scope, about))
        if formula is not None:
            self.always[one.slot] = formula

    def _unknown(self, formula: Formula, role: str, facts: Facts) -> list[Source]:
        """Return the names of a formula whose values a role does not know."""
        nobody = Known(None, frozenset())
        return [s for s in formula.sources if s.slot is not None and role not in facts.get(s.slot, nobody).roles]

    def _whose(self, lost: Iterable[Source], facts: Facts) -> str:
        def known(source: Source) -> str:
            roles = facts[source.slot].roles if source.slot is not None else ()
            return f"`{source.name}` is known to {one_of(sorted(roles), empty='nobody', word='and')} only"

        return f"{one_of(map(known, lost), word='and')}; have it said in a message before"

    def _formula(self, expression: Expression, kind: str, here: _Here) -> Formula | None:
        """Return an expression with its names resolved, when it makes sense and comes to a value of this kind."""
        sources: dict[str, Source] = {}
        for name in names(expression):
            source = _resolved(name.name, here)
            if isinstance(source, str):
                self._flaw(TYPE, None, name.at or here.at, f"{here.what} speaks of `{name.name}`", source)
                return None
            sources[name.name] = source
        try:
            found = kind_of(expression, {name: source.kind for name, source in sources.items()})
        except IllTyped as problem:
            self._flaw(TYPE, None, problem.at or here.at, f"{here.what} makes no sense", problem.problem)
            return None
        if found != kind and not (found == "int" and kind == "decimal"):
            detail = f"`{expression}` is {found}, and must be {kind}"
            self._flaw(TYPE, None, expression.at or here.at, f"{here.what} makes no sense", detail)
            return None
        return Formula(expression, tuple(sources.values()))

    def _flaw(self, property: str, role: str | None, at: Position | None, message: str, detail: str) -> None:  # noqa: A002
        flaw = Flaw(property, role, at, message, detail)
        if flaw not in self.flaws:
            self.flaws.append(flaw)

    # ------------------------------------------------------------------------------------------- for one role

    def needed(self, role: str) -> frozenset[Slot]:
        """Return the slots whose values a role has to keep: its conditions and its recursion variables use them."""
        formulas = [formula for formula, able in self.guards.values() if role in able]
        changes = [change for position in self.values for change in self.changes(role, position)]
        formulas += [formula for change in changes for formula in (change.value, change.always) if formula]
        return frozenset(s.slot for formula in formulas for s in formula.sources if s.slot is not None)

    def changes(self, role: str, position: int) -> tuple[Change, ...]:
        """Return what a role's recursion variables become when the position is left."""
        assigned = zip(self.graph.assigned.get(position, ()), self.values.get(position, ()), strict=False)
        mine = [(one.slot, value) for one, value in assigned if value is not None and role in one.roles]
        return tuple(Change(slot, value, self._kept(slot, role, position)) for slot, value in mine)

    def _kept(self, slot: Slot, role: str, position: int) -> Formula | None:
        """Return what is always true of a loop's value, when a role can work it out once a position is left."""
        always = self.always.get(slot)
        facts = self.left(position, self.at[position])
        return None if always is None or self._unknown(always, role, facts) else always

    def effect(self, role: str, position: int, needed: frozenset[Slot]) -> Effect:
        """Return what the message at a position asks of a role that takes part in it."""
        guard, able = self.guards.get(position, (None, frozenset[str]()))
        keeps = (Keep(s, f) for e in self.graph.exchanges[position] for s, f, _ in slots_said(e) if s in needed)
        return Effect((), guard if role in able else None, tuple(keeps))


def merged(effects: Iterable[Effect], *, sends: bool) -> Effect | None:
    """Return the one effect of a move that a role may make in several places which it cannot tell apart.

    None when there is none: what it has to keep to, or what its variables become, depends on the place. A receiver
    need not hold its peer to a condition, so where those differ it does not.
    """
    first, *others = dict.fromkeys(effects)
    keeps = dict.fromkeys(first.keeps)
    guard = first.guard
    for other in others:
        if other.changes != first.changes or (sends and other.guard != first.guard):
            return None
        keeps.update(dict.fromkeys(other.keeps))
        guard = guard if guard == other.guard else None
    return Effect(first.changes, guard, tuple(keeps))


def _assigned(one: Assigned) -> Known:
    return Known(kind_of_sort(one.variable.sort), frozenset(one.roles))


def _resolved(name: str, here: _Here) -> Source | str:
    """Return where the value of a name comes from, or why it has none."""
    own = list(slots_said(here.message)) if here.message else []
    for slot, field, sort in own:
        if slot[1] == name:
            kind = kind_of_sort(sort)
            return Source(name, kind, None, field) if kind else _of_no_kind(name, sort)
    slot = here.scope.carried.get(name, (here.scope.frame, name))
    known = here.facts.get(slot)
    if known is None:
        there = {n for frame, n in here.facts if frame == here.scope.frame} | {n for (_, n), _, _ in own}
        hint = did_you_mean(name, sorted(there | set(here.scope.carried)))
        return f"{hint}no message that has certainly come before has it, and no loop carries it"
    return Source(name, known.kind, slot) if known.kind else _of_no_kind(name, "of another sort")


def _of_no_kind(name: str, sort: str) -> str:
    return f"`{name}` is {sort}, and conditions are about bool, int, decimal, float and str"


def _at(expression: Expression, source: Source, otherwise: Position | None) -> Position | None:
    """Return where a name stands in an expression."""
    found: Iterator[Name] = names(expression)
    return next((name.at for name in found if name.name == source.name and name.at), otherwise)
