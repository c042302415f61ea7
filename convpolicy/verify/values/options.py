"""Has a role that must send always something that it may send? The conditions must not shut every way.

At every place where messages can come next, and for every path that may have led there, one of them must have values
for which its condition is true: progress. A message that can never have any is pointed out, and so is a loop's value
that may break its own condition.

Source: Zhou, Ferreira, Hu, Neykova, Yoshida, "Statically Verified Refinements for Multiparty Protocols", OOPSLA 2020:
well-formedness asks that refinements can be met; nuScr's ValidateRefinementProgress and -Satisfiability.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from convpolicy.errors import one_of
from convpolicy.machine import CRASH
from convpolicy.policy.effects import Formula
from convpolicy.policy.expressions import Expression, kind_of_sort, names
from convpolicy.verify.runs.graph import END, Exchange, Graph
from convpolicy.verify.values.knowledge import Flaw, Knowledge
from convpolicy.verify.values.solver import Solver, Undecided, satisfied
from convpolicy.verify.values.truths import Path, Truths, in_terms, shown, slot_term, substituted, term_of

__all__ = ["INVARIANT", "PROGRESS", "UNDECIDED", "UNREACHABLE", "shut"]

PROGRESS, INVARIANT = "condition-progress", "condition-invariant"
UNREACHABLE, UNDECIDED = "condition-unreachable", "condition-undecided"

Given = tuple[tuple[str, Expression], ...]  # what terms have become on the way


class _Option(NamedTuple):
    """A message that can come next: at which position, its condition in terms, and which of these are its own."""

    exchange: Exchange
    where: Expression | None
    own: frozenset[str]

    def __str__(self) -> str:
        label = self.exchange.symbol.label or "the message without a name"
        return f"{label} (`{self.exchange.where}`)" if self.where is not None else label


class _Ways(NamedTuple):
    """What can come next: one of `options`, the end, or a par, which can go on where each of its branches can."""

    options: tuple[_Option, ...]
    pars: tuple[tuple[_Ways, ...], ...]
    ends: bool


def shut(knowledge: Knowledge) -> Iterator[Flaw]:
    """Yield the places where conditions may leave a role nothing to send, and what else cannot be."""
    yield from _Search(knowledge).flaws()


class _Search:
    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge, self._graph = knowledge, knowledge.graph
        self._truths = Truths(knowledge)

    @cached_property
    def _solver(self) -> Solver | None:
        """The solver, if there is one: loading it takes longer than most checks, which do not need it."""
        try:
            return Solver()
        except ImportError:
            return None

    def flaws(self) -> Iterator[Flaw]:
        """Yield everything; what is undecided once for each role."""
        stuck: dict[tuple[object, ...], Flaw] = {}
        for group in _groups(self._graph):
            for flaw in self._stuck(group):
                stuck.setdefault((flaw.property, flaw.role, None if flaw.property == UNDECIDED else flaw.at), flaw)
        yield from stuck.values()
        said = {flaw.at for flaw in stuck.values() if flaw.property == PROGRESS}
        for position in self._truths.at:
            yield from self._broken(position)
            yield from (flaw for flaw in self._never(position) if flaw.at not in said or flaw.at is None)

    # ----------------------------------------------------------------------------------------------- progress

    def _stuck(self, group: frozenset[int]) -> Iterator[Flaw]:
        """Yield that nothing may be possible at one of these positions, which look alike."""
        ways = _together([self._ways(position, ()) for position in sorted(group)])
        if not any(o.where is not None for o in _every(ways)) or self._plain(ways):
            return
        first = next(_every(ways)).exchange
        sender = first.symbol.sender
        if self._solver is None:
            yield _undecided(first, f"whether {sender} has always something to send is undecided", _INSTALL)
            return
        solver = self._solver
        asked = sorted({n.name for o in _every(ways) if o.where for n in names(o.where)} - _own(ways))
        try:
            for path in sorted({path for p in group for path in self._truths.at.get(p, ())}, key=len):
                found = solver.model(map(solver.of, path), but=self._possible(ways), shown=asked)
                if found is not None:
                    yield _nothing_left(first, ways, found)
                    return
        except Undecided:
            yield _undecided(first, f"whether {sender} has always something to send is undecided", _HARD)

    def _ways(self, position: int, given: Given, seen: frozenset[int] = frozenset()) -> _Ways:
        """Return what can come next at a position, in terms of the values that were there."""
        graph = self._graph
        if position == END:
            return _Ways((), (), ends=True)
        if position in seen:
            return _Ways((), (), ends=False)
        given = self._changed(position, given)
        onward = [self._ways(target, given, seen | {position}) for target in graph.silent.get(position, ())]
        options = tuple(self._option(position, e, given) for e in graph.exchanges.get(position, ()))
        fork = graph.forks.get(position)
        pars = () if fork is None else (tuple(self._ways(b, given, seen | {position}) for b in fork.branches),)
        return _together(
            [*onward, _Ways(tuple(o for o in options if o.exchange.symbol.label != CRASH), pars, ends=False)]
        )

    def _changed(self, position: int, given: Given) -> Given:
        """Return what the terms stand for behind a position at which loops' values become something."""
        assigned = self._graph.assigned.get(position, ())
        values = zip(assigned, self._knowledge.values.get(position, ()), strict=False)
        new = {
            slot_term(one.slot, kind_of_sort(one.variable.sort) or ""): self._term(formula, given)
            for one, formula in values
            if formula is not None
        }
        return tuple({**dict(given), **new}.items())

    def _term(self, formula: Formula, given: Given) -> Expression:
        return substituted(in_terms(formula), dict(given))

    def _option(self, position: int, exchange: Exchange, given: Given) -> _Option:
        guard = self._knowledge.guards.get(position)
        if guard is None:
            return _Option(exchange, None, frozenset())
        own = frozenset(term_of(s) for s in guard[0].sources if s.slot is None)
        return _Option(exchange, self._term(guard[0], given), own)

    def _plain(self, ways: _Ways) -> bool:
        """Return whether it is plain that something is always possible."""
        sure = (o.where is None or satisfied(o.where, o.own) for o in ways.options)
        return ways.ends or any(sure) or any(all(map(self._plain, branches)) for branches in ways.pars)

    def _possible(self, ways: _Ways) -> Any:
        """Return that something is possible, in the solver's language."""
        solver = self._solver
        assert solver is not None  # noqa: S101 - only asked where there is one
        options = [solver.some(solver.of(o.where), sorted(o.own)) for o in ways.options if o.where is not None]
        free = ways.ends or any(o.where is None for o in ways.options)
        pars = [solver.all_of(map(self._possible, branches)) for branches in ways.pars]
        return solver.any_of([*options, *pars, *([solver.all_of([])] if free else [])])

    # ------------------------------------------------------------------------------------------- what cannot be

    def _never(self, position: int) -> Iterator[Flaw]:
        """Yield that a message's condition can never be true."""
        for exchange in self._graph.exchanges.get(position, ()):
            option = self._option(position, exchange, ())
            if option.where is None or satisfied(option.where, option.own):
                continue
            solver = self._solver
            if solver is None:
                continue
            claim = solver.of(option.where)
            paths = self._truths.at[position]
            try:
                if all(solver.model([claim, *map(solver.of, path)]) is None for path in paths):
                    label = exchange.symbol.label or "the message"
                    message = f"{exchange.symbol.sender} can never send {label}"
                    detail = f"`{exchange.where}` is never true there, after what was said before"
                    yield Flaw(UNREACHABLE, exchange.symbol.sender, exchange.at, message, detail)
            except Undecided:
                continue

    def _broken(self, position: int) -> Iterator[Flaw]:
        """Yield that a loop's value may become something that its own condition does not allow."""
        given = dict(self._changed(position, ()))
        for one in self._graph.assigned.get(position, ()):
            always = self._knowledge.always.get(one.slot)
            if always is None:
                continue
            claim = substituted(in_terms(always), given)
            name, at = one.variable.name, one.value.at or one.variable.at
            paths = sorted(self._truths.at[position], key=len)
            if all(claim in path for path in paths) or satisfied(claim, frozenset()):
                continue
            message = f"`{name}` may become what it must not be"
            yield from self._may_break(Flaw(INVARIANT, None, at, message, str(always.expression)), claim, paths)

    def _may_break(self, flaw: Flaw, claim: Expression, paths: list[Path]) -> Iterator[Flaw]:
        asked, solver = sorted({name.name for name in names(claim)}), self._solver
        broken = f"`{flaw.detail}` must always be true"
        if not asked:
            yield flaw._replace(detail=f"{broken}, and is not")
            return
        undecided = flaw._replace(property=UNDECIDED, message=f"whether {flaw.message} is undecided")
        if solver is None:
            yield undecided._replace(detail=_INSTALL)
            return
        try:
            for path in paths:
                found = solver.model(map(solver.of, path), but=solver.of(claim), shown=asked)
                if found is not None:
                    yield flaw._replace(detail=f"{broken}{_with(found)}, and then is not")
                    return
        except Undecided:
            yield undecided._replace(detail=_HARD)


_INSTALL = 'it takes a solver to find out: pip install "convpolicy[z3]"'
_HARD = "z3 has not found out; say it with fewer products and texts"


def _undecided(first: Exchange, message: str, detail: str) -> Flaw:
    return Flaw(UNDECIDED, first.symbol.sender, first.at, message, detail)


def _nothing_left(first: Exchange, ways: _Ways, found: Mapping[str, str]) -> Flaw:
    options = one_of(dict.fromkeys(map(str, _every(ways))), word="and")
    detail = f"it has only {options}{_with(found)}; leave it a message for that, or ask for less"
    sender = first.symbol.sender
    return Flaw(PROGRESS, sender, first.at, f"{sender} may have nothing that it may send", detail)


def _with(found: Mapping[str, str]) -> str:
    """Return the values of a counterexample in words."""
    listed = one_of((f"{shown(term)} = {value}" for term, value in found.items()), word="and")
    return f", with {listed}" if found else ""


def _together(every: list[_Ways]) -> _Ways:
    options = {(o.exchange.symbol, o.where): o for ways in every for o in ways.options}
    pars = tuple(par for ways in every for par in ways.pars)
    return _Ways(tuple(options.values()), pars, any(ways.ends for ways in every))


def _every(ways: _Ways) -> Iterator[_Option]:
    """Yield the messages that can come next, those of pars too."""
    yield from ways.options
    for branches in ways.pars:
        for branch in branches:
            yield from _every(branch)


def _own(ways: _Ways) -> set[str]:
    return {term for option in _every(ways) for term in option.own}


def _groups(graph: Graph) -> list[frozenset[int]]:
    """Return the places of the policy, those together to which the same messages lead."""
    groups = [frozenset([graph.start])]
    for group in groups:  # grows while it is walked
        targets: dict[Any, set[int]] = {}
        forks: list[int] = []
        for position in _silently(graph, group):
            for exchange in graph.exchanges.get(position, ()):
                targets.setdefault(exchange.symbol, set()).add(exchange.target)
            fork = graph.forks.get(position)
            forks += (*fork.branches, fork.target) if fork else ()
        new = [frozenset(found) for found in targets.values()] + [frozenset([start]) for start in forks]
        groups += [found for found in dict.fromkeys(new) if found not in groups]
    return groups


def _silently(graph: Graph, group: frozenset[int]) -> list[int]:
    found = list(group)
    for here in found:  # grows while it is walked
        found += [target for target in graph.silent.get(here, ()) if target not in found]
    return found
