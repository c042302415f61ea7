"""Are machines that are given directly safe together, with channels of any size?

The machines are let run with at most k messages in a channel, every way there is. Two rules prove them safe: the bound
never kept a send from happening, so that nothing else can happen with more room; or they are k-multiparty compatible,
by a theorem of Lange and Yoshida. A failure that the bound cannot be blamed for proves them unsafe. When neither is
known with k, more room may tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from convpolicy.machine import Machine
from convpolicy.verify.evidence.witness import said
from convpolicy.verify.exploration.explore import Failure
from convpolicy.verify.machines.chained import chained_inputs
from convpolicy.verify.machines.local import LocalAutomaton, directed, session_automata
from convpolicy.verify.machines.mishaps import Mishap, mishaps
from convpolicy.verify.machines.multiparty import Held, held_back, independent_outputs, strongly_independent_inputs
from convpolicy.verify.machines.reduced import reduced
from convpolicy.verify.machines.safety import Because, Conditions, Safety, SafetyReport
from convpolicy.verify.machines.space import Space, groups

__all__ = ["compatible"]

Progress = Callable[[int, int], None]


def compatible(
    machines: Mapping[str, Machine | LocalAutomaton],
    k: int | None = None,
    *,
    up_to: int | None = None,
    limit: int = 300_000,
    progress: Progress = lambda _k, _configurations: None,
) -> SafetyReport:
    """Decide whether machines are safe together: every message can be taken, and nobody waits for ever.

    `k` is how many messages a channel may hold. With `up_to`, the bounds from `k` (or 1) to it are tried until one
    decides; with neither, the bounds to 4. At most `limit` configurations are visited with each bound; `progress` is
    told the bound and how many were, now and then. A role that is spoken to and not given is one that does nothing.

    A role of a `Machine` may stop in its final states although it could still receive there; otherwise who can only
    receive must be able to, as in the paper.

    Source: Lange and Yoshida, "Verifying Asynchronous Interactions via Communicating Session Automata", CAV 2019. The
    searches are those of its Section 3, on the whole space and not on a reduced one.

    Raises:
        ValueError: a bound or the limit is not positive, or `up_to` is less than `k`.
    """
    first = 1 if k is None else k
    last = (4 if k is None else k) if up_to is None else up_to
    if not 0 < first <= last or limit < 1:
        raise ValueError(f"cannot try the bounds from {k} to {up_to} with {limit} configurations: start at 1 or more")
    parts = groups({role: _automaton(given) for role, given in machines.items()})
    for bound in range(first, last):
        answer = _with_bound(parts, bound, limit, progress)
        if answer.verdict is not Safety.EXPLORED or answer.because is Because.TOO_MANY:
            return answer
    return _with_bound(parts, last, limit, progress)


def _automaton(given: Machine | LocalAutomaton) -> LocalAutomaton:
    return given if isinstance(given, LocalAutomaton) else LocalAutomaton.of(given)


def _with_bound(parts: list[dict[str, LocalAutomaton]], bound: int, limit: int, progress: Progress) -> SafetyReport:
    found = [_looked_at(part, bound, limit, progress) for part in parts]
    automata = [automaton for part in parts for automaton in part.values()]
    verdict, because = _together(found)
    failures = [part.failure for part in found if part.failure and part.verdict is verdict]
    return SafetyReport(
        roles=tuple(automaton.role for automaton in automata),
        verdict=verdict,
        because=because,
        k=bound,
        csa=session_automata(automata),
        directed=directed(automata),
        conditions=_all([part.conditions for part in found]),
        configurations=sum(part.configurations for part in found),
        transitions=sum(part.transitions for part in found),
        failure=min(failures, key=lambda failure: len(failure.trace), default=None),
        held_back=next((part.held_back for part in found if part.held_back), ""),
    )


def _together(found: Sequence[_Part]) -> tuple[Safety, Because]:
    """Return the verdict of a system from those of its groups: unsafe when one is, safe when all are."""
    for verdict in (Safety.UNSAFE, Safety.EXPLORED):
        for part in found:
            if part.verdict is verdict:
                return verdict, part.because
    used = {part.because for part in found}
    return Safety.SAFE, next((rule for rule in (Because.REDUCED, Because.COMPATIBLE) if rule in used), Because.VISITED)


def _all(conditions: Sequence[Conditions]) -> Conditions:
    exact = all(one.exact for one in conditions)
    return Conditions(exact, *(_every(column) for column in zip(*(one[1:] for one in conditions), strict=True)))


def _every(answers: Iterable[bool | None]) -> bool | None:
    """Return whether something holds of all groups: not when it fails for one, unknown when it is for one."""
    known = set(answers)
    return False if False in known else None if None in known else True


# --------------------------------------------------------------------------------------- one group, one bound


class _Part(NamedTuple):
    """What was found in one group of machines."""

    verdict: Safety
    because: Because
    conditions: Conditions
    configurations: int
    transitions: int
    failure: Failure | None
    held_back: str


def _looked_at(automata: Mapping[str, LocalAutomaton], bound: int, limit: int, progress: Progress) -> _Part:
    space = Space(automata, bound, limit, lambda visited: progress(bound, visited))
    wrong = mishaps(space)
    conditions, held_back = _conditions(space, wrong, limit)
    verdict, because = _decided(space, conditions, wrong)
    failure = wrong[0].failure if wrong else None
    return _Part(verdict, because, conditions, len(space.configurations), len(space.sources), failure, held_back)


def _conditions(space: Space, wrong: Sequence[Mishap], limit: int) -> tuple[Conditions, str]:
    if not space.complete:
        return Conditions(exact=False, safe=False if any(one.certain for one in wrong) else None), ""
    held = next(held_back(space), None)
    strong = strongly_independent_inputs(space)
    conditions = Conditions(
        exact=not space.blocked,
        obi=independent_outputs(space),
        sibi=strong,
        cibi=strong or chained_inputs(space, limit),
        exhaustive=held is None,
        safe=not wrong,
    )
    return conditions, _said(space, held) if held else ""


def _said(space: Space, held: Held) -> str:
    sender, receiver, _ = space.channels[held.channel]
    return f"a message from {sender} to {receiver} may never have room, after {said(space.trace(held.here))}"


def _decided(space: Space, conditions: Conditions, wrong: Sequence[Mishap]) -> tuple[Safety, Because]:
    if any(mishap.certain for mishap in wrong):
        return Safety.UNSAFE, Because.FAILURE
    if not space.complete:
        return Safety.EXPLORED, Because.TOO_MANY
    if conditions.exact:
        return Safety.SAFE, Because.VISITED  # what goes wrong in an exact space is certain
    theorem = _theorem(space, conditions)
    if theorem is None:
        return Safety.EXPLORED, Because.BOUND
    return (Safety.UNSAFE, Because.EXHAUSTIVE) if wrong else (Safety.SAFE, theorem)


def _theorem(space: Space, conditions: Conditions) -> Because | None:
    """Return the theorem by which nothing else can happen with more room; None when none can be used."""
    if not (session_automata(space.automata.values()) and conditions.cibi and conditions.exhaustive):
        return None
    if conditions.obi:
        return Because.COMPATIBLE
    return Because.REDUCED if independent_outputs(space, reduced(space)) else None
