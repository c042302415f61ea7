"""The coherence conditions as the paper states them, for policies without `par`: the judge of the real ones.

Pairs of states, one at a time; availability with a set of roles; no entries, no bits, no memory. Slow and literal.
"""

from __future__ import annotations

from itertools import product

from convpolicy.machine import Symbol
from convpolicy.verify.runs.automaton import Automaton


def implementable(automaton: Automaton) -> bool:
    return all(coherent(automaton, role) for role in automaton.terms.graph.roles)


def coherent(automaton: Automaton, role: str) -> bool:
    moves = automaton.moves
    for one, other in alike(automaton, role):
        for symbol, following in product(moves[one], moves[other]):
            sends = symbol.sender == role
            receives = following.receiver == role
            if sends and receives:
                return False
            from_two = symbol.receiver == role and receives and symbol.sender != following.sender
            if from_two and available(automaton, role, symbol, moves[other][following]):
                return False
        for symbol in moves[one]:
            if symbol.sender == role and not can_still(automaton, role, other, symbol):
                return False
    return True


def alike(automaton: Automaton, role: str) -> set[tuple[int, int]]:
    found, waiting = {(0, 0)}, [(0, 0)]
    while waiting:
        one, other = waiting.pop()
        left, right = automaton.moves[one], automaton.moves[other]
        fresh = [(target, other) for symbol, target in left.items() if role not in symbol[:2]]
        fresh += [(one, target) for symbol, target in right.items() if role not in symbol[:2]]
        fresh += [(left[symbol], right[symbol]) for symbol in left if symbol in right and role in symbol[:2]]
        waiting += [pair for pair in fresh if pair not in found]
        found.update(fresh)
    return found


def can_still(automaton: Automaton, role: str, state: int, symbol: Symbol) -> bool:
    found, waiting = {state}, [state]
    while waiting:
        here = waiting.pop()
        if symbol in automaton.moves[here]:
            return True
        fresh = [to for passed, to in automaton.moves[here].items() if role not in passed[:2] and to not in found]
        found.update(fresh)
        waiting += fresh
    return False


def available(automaton: Automaton, role: str, wanted: Symbol, state: int) -> bool:
    found = {(state, frozenset([role]))}
    waiting = list(found)
    while waiting:
        here, blocked = waiting.pop()
        for symbol, target in automaton.moves[here].items():
            if symbol[:2] == wanted[:2]:
                if symbol.sender not in blocked and symbol == wanted:
                    return True
                continue
            node = (target, blocked | {symbol.receiver} if symbol.sender in blocked else blocked)
            if node not in found:
                found.add(node)
                waiting.append(node)
    return False
