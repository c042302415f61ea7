"""kmc's notation of local types: each role with what it does, message by message.

    Buyer:  Seller!order; {Seller?invoice; Seller!payment; end, Seller?sold; end}
    Seller: rec again. Buyer?order; {Buyer!invoice; Buyer?payment; again, Buyer!sold; end}

`{…, …}` is a choice, `rec x. …` names a place to which `x` comes back. An automaton is built with silent edges, from
a choice to its branches and from `x` to its place, which are then taken away.
"""

from __future__ import annotations

from convpolicy.machine import Direction, Move, State
from convpolicy.verify.machines.local import Edge, LocalAutomaton
from convpolicy.verify.machines.notation import Tokens

__all__ = ["read_types"]

_DEEPEST = 100  # choices in choices: far beyond what anybody can read, and below what Python can recurse into


def read_types(text: str, file: str) -> dict[str, LocalAutomaton]:
    """Read the type of every role of a text.

    Raises:
        PolicySyntaxError: the text is not in the notation.
        IllFormed: a recursion variable is not bound or comes back before anything has happened, or a role is there
            twice.
    """
    tokens = Tokens(text, file)
    found: dict[str, LocalAutomaton] = {}
    while tokens.next.text or not found:
        name = tokens.take(kind="word", as_="a role")
        if name.text in found:
            raise Tokens.senseless(name, f"{name} is described twice", "give each role one type.")
        tokens.take(":")
        found[name.text] = _Type(tokens, name.text).automaton()
    return found


class _Type:
    """The type of one role, on its way to an automaton. States are numbered as they are met."""

    def __init__(self, tokens: Tokens, role: str) -> None:
        self._tokens, self._role = tokens, role
        self._edges: list[list[tuple[Move, State]]] = [[]]
        self._silent: list[list[State]] = [[]]
        self._ends: set[State] = set()

    def automaton(self) -> LocalAutomaton:
        self._term(0, {}, frozenset(), 0)
        return _without_silence(self._role, self._edges, self._silent, self._ends)

    def _fresh(self) -> State:
        self._edges.append([])
        self._silent.append([])
        return len(self._edges) - 1

    def _term(self, here: State, places: dict[str, State], idle: frozenset[str], depth: int) -> None:
        """Read a term that begins in state `here`; nothing has happened since the variables in `idle` were bound."""
        while True:
            token = self._tokens.next
            if token.text == "{":
                return self._choice(here, places, idle, depth + 1)
            if self._tokens.takes("end"):
                self._ends.add(here)
                return None
            if self._tokens.takes("rec"):
                variable = self._tokens.take(kind="word", as_="a recursion variable").text
                self._tokens.take(".")
                places, idle = {**places, variable: here}, idle | {variable}
            elif self._tokens.ahead(1).text in ("!", "?"):
                here, idle = self._action(here), frozenset()
            else:
                return self._back(here, places, idle)

    def _choice(self, here: State, places: dict[str, State], idle: frozenset[str], depth: int) -> None:
        opening = self._tokens.take("{")
        if depth > _DEEPEST:
            raise self._tokens.senseless(opening, "choices are nested too deeply here", "write a shorter type.")
        while True:
            branch = self._fresh()
            self._silent[here].append(branch)
            self._term(branch, places, idle, depth)
            if not self._tokens.takes(","):
                self._tokens.take("}", as_="`,` or `}`")
                return

    def _action(self, here: State) -> State:
        peer = self._tokens.take(kind="word", as_="a role").text
        direction = Direction(self._tokens.take().text)
        label = self._tokens.message()
        self._tokens.take(";")
        target = self._fresh()
        self._edges[here].append((Move(direction, peer, label), target))
        return target

    def _back(self, here: State, places: dict[str, State], idle: frozenset[str]) -> None:
        token = self._tokens.take(kind="word", as_="a message such as `Seller!order;`, `{`, `rec`, `end` or a variable")
        if token.text not in places:
            known = f"bound here: {', '.join(places) or 'nothing'}."
            raise self._tokens.senseless(token, f"the recursion variable {token} is not bound", known)
        if token.text in idle:
            hint = f"put a message between `rec {token.text}.` and {token}."
            raise self._tokens.senseless(token, f"{token} comes back before anything has happened", hint)
        self._silent[here].append(places[token.text])


def _without_silence(
    role: str, edges: list[list[tuple[Move, State]]], silent: list[list[State]], ends: set[State]
) -> LocalAutomaton:
    """Number the states that a message leads to, breadth-first, each with what it can do after silent edges."""
    numbers: dict[State, State] = {0: 0}
    found: dict[Edge, None] = {}
    finals: set[State] = set()
    for state, number in (todo := list(numbers.items())):  # grows while it is walked
        alike = _closure(state, silent)
        if ends.intersection(alike):
            finals.add(number)
        for move, written in (edge for one in alike for edge in edges[one]):
            target = _settled(written, silent, ends)
            if target not in numbers:
                numbers[target] = len(numbers)
                todo.append((target, numbers[target]))
            found[Edge(number, move, numbers[target])] = None
    return LocalAutomaton(role, tuple(found), frozenset(finals))


def _settled(state: State, silent: list[list[State]], ends: set[State]) -> State:
    """Return the place that a state only comes back to, so that a loop is one state and not unrolled once."""
    while len(silent[state]) == 1 and state not in ends:
        state = silent[state][0]
    return state


def _closure(state: State, silent: list[list[State]]) -> list[State]:
    found = dict.fromkeys([state])
    for here in (todo := list(found)):  # grows while it is walked
        new = [state for state in silent[here] if state not in found]
        found.update(dict.fromkeys(new))
        todo += new
    return list(found)
