"""The formats by name: what may follow the colon in `f"{policy:mermaid}"` and `f"{machine:table}"`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from convpolicy.errors import one_of
from convpolicy.machine import Machine, drawings
from convpolicy.policy import printing
from convpolicy.policy.model import Policy
from convpolicy.show import mermaid
from convpolicy.show.chart import drawn
from convpolicy.show.diagram import diagram_of
from convpolicy.show.dot import dot
from convpolicy.show.prose import prose
from convpolicy.show.score import Score, of_policy
from convpolicy.show.table import table

__all__ = ["formats", "markdown", "render"]


_MACHINE: dict[str, Callable[[Machine], str]] = {
    "table": lambda machine: table(diagram_of(machine)),
    "prose": prose,
    "mermaid": lambda machine: mermaid.states(diagram_of(machine)),
    "dot": lambda machine: dot(diagram_of(machine)),
}
_POLICY: dict[str, Callable[[Policy], str]] = {
    "scribble": printing.render,
    "sequence": lambda policy: drawn(of_policy(policy)),
    "mermaid": lambda policy: mermaid.sequence(of_policy(policy)),
}
_SCORE: dict[str, Callable[[Score], str]] = {"sequence": drawn, "mermaid": mermaid.sequence}

# Machines cannot import what draws them, which stands above them; so it is handed down.
drawings.update(_MACHINE)

Shown = Machine | Policy | Score


def formats(value: Shown) -> tuple[str, ...]:
    """Return the names of the formats in which this value can be drawn; the plainest comes first."""
    return tuple(_formats(value))


def render(value: Shown, format: str) -> str:  # noqa: A002 - what `format()` calls it too
    """Draw a policy, a machine or a score.

    Raises:
        ValueError: there is no such format for this value; the message lists those that there are.
    """
    known = _formats(value)
    if format not in known:
        kind = type(value).__name__.lower()
        raise ValueError(f"a {kind} cannot be shown as {format!r}; it can be shown as {one_of(known)}")
    return known[format]()


def markdown(value: Shown) -> str:
    """Return the value's diagram as a Markdown block, which notebooks and forges draw."""
    return f"```mermaid\n{render(value, 'mermaid')}\n```"


def _formats(value: Shown) -> dict[str, Callable[[], str]]:
    match value:
        case Machine():
            return {name: partial(draw, value) for name, draw in _MACHINE.items()}
        case Policy():
            return {name: partial(draw, value) for name, draw in _POLICY.items()}
        case Score():
            return {name: partial(draw, value) for name, draw in _SCORE.items()}
