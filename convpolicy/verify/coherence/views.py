"""What one role can tell: its view of the automaton, and the pairs of states that look alike to it.

A role sees its own sends and receives. Two states are *alike* for it when some two runs that look the same to it
lead there (simultaneous reachability; Li, Stutz, Wies and Zufferey, "Complete Multiparty Session Type Projection
with Automata", CAV 2023). All states that others' moves lead to from one state are alike, so it is enough to keep
pairs of *entries*: the states just after a move of the role, and the start. This needs no subset construction,
whose machines can be exponentially large where the pairs are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from convpolicy.machine import Lane, Symbol, independent
from convpolicy.verify.runs.automaton import Automaton

__all__ = ["Pair", "View"]

Pair = tuple[int, int]


class _Link(NamedTuple):
    """How a pair was found: from an earlier pair, by one move that the role makes in both runs."""

    pair: Pair
    symbol: Symbol


class View:
    """The view of `role`. `pass_own` lets `sure` pass the role's own moves in lanes independent of the send."""

    def __init__(self, automaton: Automaton, role: str, *, pass_own: bool = False) -> None:
        self.automaton, self.role, self.pass_own = automaton, role, pass_own
        self._closures: dict[int, tuple[int, ...]] = {}
        self._after: dict[int, dict[Symbol, tuple[int, ...]]] = {}
        self._unable: dict[tuple[int, Symbol], int | None] = {}
        self._reach: dict[tuple[Symbol, Lane], frozenset[int]] = {}
        self._bits: dict[int, tuple[int, ...]] = {}
        self._sends: dict[int, tuple[Symbol, ...]] = {}
        self._receives: dict[int, tuple[Symbol, ...]] = {}
        self._links: dict[Pair, _Link | None] = {}
        self._all_found = False

    @property
    def turns(self) -> list[int]:
        """The states in which the role may move."""
        return self.automaton.turns.get(self.role, [])

    def mine(self, symbol: Symbol) -> bool:
        """Return whether the role takes part in this exchange."""
        return self.role in (symbol.sender, symbol.receiver)

    # ------------------------------------------------------------------------------------------- from an entry

    def closure(self, entry: int) -> tuple[int, ...]:
        """Return the states that others' moves lead to, the entry first."""
        if entry not in self._closures:
            found = {entry: None}
            waiting = [entry]
            for state in waiting:
                for symbol, target in self.automaton.moves[state].items():
                    if target not in found and not self.mine(symbol):
                        found[target] = None
                        waiting.append(target)
            self._closures[entry] = tuple(found)
        return self._closures[entry]

    def after(self, entry: int) -> dict[Symbol, tuple[int, ...]]:
        """Return the role's next moves from an entry, each with the entries that it leads to."""
        if entry not in self._after:
            moves: dict[Symbol, dict[int, None]] = {}
            for state in self.closure(entry):
                for symbol, target in self.automaton.moves[state].items():
                    if self.mine(symbol):
                        moves.setdefault(symbol, {})[target] = None
            self._after[entry] = {symbol: tuple(targets) for symbol, targets in moves.items()}
        return self._after[entry]

    def sends(self, entry: int) -> tuple[Symbol, ...]:
        """Return what the role may send next."""
        if entry not in self._sends:
            self._sends[entry] = tuple(symbol for symbol in self.after(entry) if symbol.sender == self.role)
        return self._sends[entry]

    def receives(self, entry: int) -> tuple[Symbol, ...]:
        """Return what the role may receive next."""
        if entry not in self._receives:
            self._receives[entry] = tuple(
                symbol for symbol in self.after(entry) if symbol.receiver == self.role != symbol.sender
            )
        return self._receives[entry]

    def source(self, entry: int, symbol: Symbol) -> int:
        """Return the first state of the closure that a move of the role leaves."""
        return next(state for state in self.closure(entry) if symbol in self.automaton.moves[state])

    # ---------------------------------------------------------------------------------- what can still be sent

    def reaches(self, symbol: Symbol, branch: Lane = ()) -> frozenset[int]:
        """Return the states from which others' moves that lie inside `branch` lead to this send of the role."""
        key = symbol, branch
        if key not in self._reach:
            self._reach[key] = self._reaching(symbol, branch)
        return self._reach[key]

    def _reaching(self, symbol: Symbol, branch: Lane) -> frozenset[int]:
        waiting = list(self.automaton.sources.get(symbol, ()))
        found = set(waiting)
        for state in waiting:
            for passed, source in self.automaton.before[state]:
                inside = passed.lane[: len(branch)] == branch
                if inside and source not in found and self._passes(passed, symbol):
                    found.add(source)
                    waiting.append(source)
        return frozenset(found)

    def _passes(self, passed: Symbol, symbol: Symbol) -> bool:
        return not self.mine(passed) or (self.pass_own and independent(passed.lane, symbol.lane))

    def unable(self, entry: int, symbol: Symbol) -> int | None:
        """Return a state of the closure from which this send can no longer be reached; None when there is none."""
        key = entry, symbol
        if key not in self._unable:
            able = self.reaches(symbol)
            self._unable[key] = next((state for state in self.closure(entry) if state not in able), None)
        return self._unable[key]

    # -------------------------------------------------------------------------------------------------- pairs

    def pairs(self) -> Iterator[Pair]:
        """Yield the pairs of entries that look alike, each once and in one order, shortest runs first."""
        if self._all_found:
            yield from self._links
            return
        self._links = links = dict[Pair, _Link | None]({(0, 0): None})
        waiting: list[Pair] = [(0, 0)]
        partners = {0: 1}  # of each entry that was found in a pair, the entries that it was found with, as bits
        for pair in waiting:  # grows while it is walked: breadth-first
            yield pair
            for symbol, found in self._new_after(pair, partners):
                links[found] = _Link(pair, symbol)
                waiting.append(found)
        self._all_found = True

    def _new_after(self, pair: Pair, partners: dict[int, int]) -> Iterator[tuple[Symbol, Pair]]:
        """Yield the pairs that one more move leads to; each is added to the partners.

        One pair often leads to hundreds that are known from others. Bits tell that without going through them.
        """
        theirs = self.after(pair[1])
        for (symbol, lefts), among in zip(self.after(pair[0]).items(), self._bits_after(pair[0]), strict=True):
            for right in theirs.get(symbol, ()):
                new = among & ~partners.get(right, 0)
                for left in lefts if new else ():
                    if new >> left & 1:
                        partners[right] = partners.get(right, 0) | 1 << left
                        partners[left] = partners.get(left, 0) | 1 << right
                        yield symbol, (left, right)

    def _bits_after(self, entry: int) -> tuple[int, ...]:
        """Return where each of the role's next moves leads, in the order of `after`, as bits."""
        if entry not in self._bits:
            self._bits[entry] = tuple(sum(1 << target for target in targets) for targets in self.after(entry).values())
        return self._bits[entry]

    def runs(self, pair: Pair) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...]]:
        """Return two runs from the start that look alike to the role and lead to the two entries."""
        if pair not in self._links:  # kept in the other order
            right, left = self.runs((pair[1], pair[0]))
            return left, right
        lefts: list[tuple[Symbol, ...]] = []
        rights: list[tuple[Symbol, ...]] = []
        link = self._links[pair]
        while link is not None:
            lefts.append(self.step(link.pair[0], link.symbol, pair[0]))
            rights.append(self.step(link.pair[1], link.symbol, pair[1]))
            pair = link.pair
            link = self._links[pair]
        return tuple(chain(*reversed(lefts))), tuple(chain(*reversed(rights)))

    def step(self, entry: int, symbol: Symbol, target: int) -> tuple[Symbol, ...]:
        """Return the shortest run from an entry that ends in this move of the role and leads to `target`."""
        moves = self.automaton.moves
        sources = [state for state in self.closure(entry) if moves[state].get(symbol) == target]
        return (*self.automaton.path(entry, sources, without=self.role), symbol)
