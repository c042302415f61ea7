"""kmc's notation of state machines: a list of `state peer !|? message state`, one machine after the other.

    .outputs
    .state graph
    idle 1 ! order waiting
    waiting 1 ? invoice paid
    .marking idle
    .end

Machines have no names: they are 0, 1, 2, … in the order of the file. A state that nothing leaves is final.
"""

from __future__ import annotations

from convpolicy.machine import Direction, Move, State
from convpolicy.verify.machines.local import Edge, LocalAutomaton
from convpolicy.verify.machines.notation import Tokens

__all__ = ["read_fsm"]


def read_fsm(text: str, file: str) -> dict[str, LocalAutomaton]:
    """Read every machine of a text.

    Raises:
        PolicySyntaxError: the text is not in the notation.
    """
    tokens = Tokens(text, file, directives=True)
    found: dict[str, LocalAutomaton] = {}
    while tokens.next.text or not found:
        role = str(len(found))
        found[role] = _machine(tokens, role)
    return found


def _machine(tokens: Tokens, role: str) -> LocalAutomaton:
    tokens.take(".outputs")
    tokens.take(".state")
    tokens.take("graph")
    written: list[tuple[str, Move, str]] = []
    while tokens.next.kind == "word":
        written.append(_edge(tokens))
    tokens.take(".marking", as_="a move such as `q0 1 ! order q1`, or `.marking`")
    start = tokens.take(kind="word", as_="the state in which it starts").text
    tokens.take(".end")
    return _numbered(role, start, written)


def _edge(tokens: Tokens) -> tuple[str, Move, str]:
    source = tokens.take(kind="word", as_="a state").text
    peer = tokens.take(kind="word", as_="the number of a machine").text
    if tokens.next.text not in ("!", "?"):
        raise Tokens.refused(tokens.next, "`!` or `?`", "a move is `state peer ! message state`, or with `?`.")
    direction = Direction(tokens.take().text)
    label = tokens.message()
    target = tokens.take(kind="word", as_="the state that this leads to").text
    return source, Move(direction, peer, label), target


def _numbered(role: str, start: str, written: list[tuple[str, Move, str]]) -> LocalAutomaton:
    names = tuple(dict.fromkeys([start, *(name for source, _, target in written for name in (source, target))]))
    numbers: dict[str, State] = {name: number for number, name in enumerate(names)}
    edges = dict.fromkeys(Edge(numbers[source], move, numbers[target]) for source, move, target in written)
    left = {edge.source for edge in edges}
    return LocalAutomaton(role, tuple(edges), frozenset(numbers.values()) - left, names)
