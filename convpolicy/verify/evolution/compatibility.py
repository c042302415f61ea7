"""May a policy change while conversations run? Which role can be upgraded first, and which then.

Processes are upgraded one role after the other, and in between conversations begin whose roles have different
versions. Such a *mixture* is a system of machines, some old, some new (`mixing`). It is safe when nobody gets stuck in
it, and a change can be made under way when some order of the roles passes through safe mixtures only.

How a mixture is decided: where no policy has a `par`, a role whose machine follows the other version (`following`)
can have the other version, and so can several such roles at once, because each of them still takes everything that
may come and goes on wherever the version does. With `par` that holds for one role against all others. Everything else
is explored, exhaustively where no channel fills up, and else without a proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from convpolicy.errors import NotCompatible, one_of
from convpolicy.machine import Direction, symbol_of
from convpolicy.policy.model import AnyRole, Policy, has_conditions
from convpolicy.verify.check import require
from convpolicy.verify.coherence.conditions import Views
from convpolicy.verify.evidence.report import Json
from convpolicy.verify.evolution.following import departure
from convpolicy.verify.evolution.mixing import Version, Versions
from convpolicy.verify.exploration.crashing import explored
from convpolicy.verify.exploration.explore import Failure
from convpolicy.verify.runs.automaton import automaton_of
from convpolicy.verify.runs.graph import graph_of
from convpolicy.verify.runs.shape import loops_meet_pars
from convpolicy.verify.runs.terms import Terms, TooLarge

__all__ = ["Compatibility", "Mixture", "Safety", "compatible", "exchanges", "line_of", "require_fit", "unfit"]

PLACES = 1_500  # states of an interleaved automaton
CONFIGURATIONS = 20_000
BOUNDS = (1, 2, 4)  # messages in a channel, for exploration
MIXTURES = 200  # that are looked at in the search for an order


class Safety(StrEnum):
    """Whether a mixture goes well: `explored` found nothing wrong, and is not a proof."""

    SAFE = "safe"
    BREAKS = "breaks"
    EXPLORED = "explored"


class Mixture(NamedTuple):
    """Conversations in which the roles of `upgraded` have the new version: how they go, and how that is known.

    `stuck` is a shortest run that goes wrong.
    """

    upgraded: frozenset[str]
    safety: Safety
    by: str
    stuck: Failure | None = None


@dataclass(frozen=True)
class Compatibility:
    """Whether `old` may change into `new` while conversations run. True when there is a safe order; print it.

    `order` has the roles in an order in which they can be upgraded, or is None. `alone` has, by role, what happens
    when it is upgraded first; `steps` the mixtures that the order passes through. `reason` says why nothing can be
    mixed at all.
    """

    old: Policy
    new: Policy
    order: tuple[str, ...] | None
    alone: Mapping[str, Mixture]
    steps: tuple[Mixture, ...] = ()
    reason: str | None = None
    whole: bool = True

    @property
    def safety(self) -> Safety:
        """How the best order goes."""
        if self.order is None:
            return Safety.BREAKS if self.whole else Safety.EXPLORED
        proved = all(step.safety is Safety.SAFE for step in self.steps)
        return Safety.SAFE if proved else Safety.EXPLORED

    def __bool__(self) -> bool:
        return self.safety is Safety.SAFE

    @property
    def first(self) -> tuple[str, ...]:
        """The roles that can be upgraded before any other."""
        return tuple(role for role, mixture in self.alone.items() if mixture.safety is Safety.SAFE)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        name = self.new.name
        if self.order is not None:
            can = "can change" if self else "may perhaps change"
            yield f"{name} {can} while conversations run: upgrade {', then '.join(self.order)}"
            yield from (f"  {line_of(self, step)}" for step in self.steps)
        elif self.reason is not None:
            can = "cannot change" if self.whole else "may not be able to change"
            yield f"{name} {can} while conversations run: {self.reason}"
        else:
            unknown = "" if self.whole else f" (among {MIXTURES} mixtures that were looked at)"
            yield f"{name} cannot change while conversations run: no order of its roles is safe{unknown}"
        for role, mixture in self.alone.items():
            if mixture.safety is not Safety.SAFE and mixture not in self.steps:
                yield f"  {role} first: {line_of(self, mixture)}"
        if self.order is None:
            yield (
                "  fix: let the new version allow what the old one does, or give it another name and let the old "
                "conversations finish"
            )

    def to_json(self) -> dict[str, Json]:
        """Return the answer as plain values, with the keys that `convpolicy compat --json` prints."""
        return {
            "old": self.old.fingerprint,
            "new": self.new.fingerprint,
            "safety": self.safety.value,
            "order": None if self.order is None else list(self.order),
            "reason": self.reason,
            "first": {role: _to_json(mixture) for role, mixture in self.alone.items()},
            "steps": [_to_json(mixture) for mixture in self.steps],
        }


def _to_json(mixture: Mixture) -> Json:
    upgraded: list[Json] = [*sorted(mixture.upgraded)]
    stuck = mixture.stuck.text if mixture.stuck else None
    return {"upgraded": upgraded, "safety": mixture.safety.value, "rule": mixture.by, "witness": stuck}


def line_of(found: Compatibility, mixture: Mixture) -> str:
    """Return how a mixture goes, on one line."""
    versions = ", ".join(_versions(found, mixture).values())
    match mixture.safety:
        case Safety.SAFE:
            return f"{versions}: nobody gets stuck: {mixture.by}"
        case Safety.EXPLORED:
            return f"{versions}: no fault was found, but that is not a proof: {mixture.by}"
        case Safety.BREAKS:
            return f"{versions}: {mixture.stuck}"


def _versions(found: Compatibility, mixture: Mixture) -> dict[str, str]:
    return {role: f"{'new' if role in mixture.upgraded else 'old'} {role}" for role in found.alone}


def exchanges(found: Compatibility, mixture: Mixture) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return the messages of the run that goes wrong, and the roles, for a chart: `old Buyer` sends to `new Seller`."""
    called = _versions(found, mixture)
    steps = mixture.stuck.trace if mixture.stuck else ()
    sent = (symbol_of(*step) for step in steps if step.move.direction is Direction.SEND)
    return [(called[each.sender], called[each.receiver], each.label) for each in sent], list(called.values())


# --------------------------------------------------------------------------------------------------- deciding


def compatible(old: Policy, new: Policy) -> Compatibility:
    """Decide whether a policy may change under way, and in which order its roles can be upgraded.

    Raises:
        NotImplementable: one of the versions cannot be followed by itself.
        Unsupported: as `check`.
    """
    require(old)
    require(new)
    ours, theirs = ([role.name for role in policy.roles] for policy in (new, old))
    if ours != theirs:
        reason = f"its roles were {', '.join(theirs)} and are {', '.join(ours)}, and they are fixed in a conversation"
        return Compatibility(old, new, None, {}, reason=reason)
    if old != new and (has_conditions(old) or has_conditions(new)):
        reason = "it has conditions on values, and whether those of two versions fit is not decided"
        return Compatibility(old, new, None, {}, reason=reason, whole=False)
    if old != new and (old.interruptible or new.interruptible):
        reason = "it has blocks that may be interrupted, and whether those of two versions fit is not decided"
        return Compatibility(old, new, None, {}, reason=reason, whole=False)
    if old.nested != new.nested:
        reason = "it starts conversations that are not the same in both, and whether those fit is not decided"
        return Compatibility(old, new, None, {}, reason=reason, whole=False)
    search = _Search(Versions(old, new))
    alone = {role: search.mixture(frozenset([role])) for role in ours}
    for wanted in ({Safety.SAFE}, {Safety.SAFE, Safety.EXPLORED}):
        order = search.order(wanted)
        if order is not None:
            steps = tuple(search.mixture(frozenset(order[:count])) for count in range(1, len(order)))
            return Compatibility(old, new, order, alone, steps)
    return Compatibility(old, new, None, alone, whole=search.whole)


def require_fit(old: Policy, new: Policy, role: AnyRole | str) -> None:
    """Make sure that a new `role` can be in conversations with old roles: see `unfit`.

    Raises:
        NotCompatible: it cannot, or that is not proved, or a version has crash branches; and as `compatible`.
    """
    if old != new and (graph_of(old).crashes or graph_of(new).crashes):
        why = "it has crash branches, and who has stopped is told only among processes of one version"
        raise NotCompatible(new.name, str(role), old.fingerprint, why, None)
    found = unfit(old, new, str(role))
    if found is not None:
        why = line_of(compatible(old, new), found) if isinstance(found, Mixture) else f"{found.reason}"
        raise NotCompatible(new.name, str(role), old.fingerprint, why, found)


@lru_cache(maxsize=64)
def unfit(old: Policy, new: Policy, role: str) -> Compatibility | Mixture | None:
    """Return what speaks against a new `role` in conversations with old roles; None when nothing does.

    Other roles may be new in them as well, if they may by themselves: every such mixture has to be safe.
    Raises as `compatible` does.
    """
    found = compatible(old, new)
    if found.reason is not None:
        return found
    able = [other for other in found.first if other != role]
    if old != new and (old.interruptible or new.interruptible):
        reason = "it has blocks that may be interrupted, and whether those of two versions fit is not decided"
        return Compatibility(old, new, None, {}, reason=reason, whole=False)
    search = _Search(Versions(old, new))
    for count in range(min(len(able), len(found.alone) - 2) + 1):
        for others in combinations(able, count):
            mixture = search.mixture(frozenset([role, *others]))
            if mixture.safety is not Safety.SAFE:
                return mixture
    return None


class _Search:
    """The mixtures of two versions, each decided once."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._known: dict[frozenset[str], Mixture] = {}
        self._fitting: dict[tuple[str, bool], bool] = {}
        self._views: dict[bool, Views | None] = {}
        self._lanes = bool(versions.old.graph.forks or versions.new.graph.forks)
        self.whole = True

    def mixture(self, upgraded: frozenset[str]) -> Mixture:
        if upgraded not in self._known:
            self._known[upgraded] = self._decide(upgraded)
        return self._known[upgraded]

    def order(self, wanted: set[Safety]) -> tuple[str, ...] | None:
        """Return an order of the roles through mixtures that are wanted; roles of the policy's front first."""
        everyone = frozenset(self._versions.roles)
        dead: set[frozenset[str]] = set()

        def onward(done: tuple[str, ...]) -> tuple[str, ...] | None:
            here = frozenset(done)
            if here == everyone:
                return done
            for role in self._versions.roles:
                after = here | {role}
                if role in here or after in dead or not self._passes(after, wanted):
                    continue
                found = onward((*done, role))
                if found:
                    return found
            dead.add(here)
            return None

        return onward(())

    def _passes(self, upgraded: frozenset[str], wanted: set[Safety]) -> bool:
        if len(upgraded) == len(self._versions.roles):
            return True
        if upgraded not in self._known and len(self._known) >= MIXTURES:
            self.whole = False
            return False
        return self.mixture(upgraded).safety in wanted

    # --------------------------------------------------------------------------------------------- one mixture

    def _decide(self, upgraded: frozenset[str]) -> Mixture:
        rest = frozenset(self._versions.roles) - upgraded
        for new, few, base in ((True, upgraded, "old"), (False, rest, "new")):
            if (len(few) == 1 or not self._lanes) and all(self._fits(role, new=new) for role in few):
                verb = "follows" if len(few) == 1 else "follow"
                tested = ", with lanes for par (tested, not proved)" if self._lanes else ""
                names = one_of(sorted(few), word="and")
                return Mixture(upgraded, Safety.SAFE, f"{names} {verb} the {base} version{tested}")
        return self._explored(upgraded)

    def _fits(self, role: str, *, new: bool) -> bool:
        """Return whether the role's machine of one version follows the other version."""
        key = role, new
        if key not in self._fitting:
            self._fitting[key] = self._follows(role, self._versions.new if new else self._versions.old)
        return self._fitting[key]

    def _follows(self, role: str, version: Version) -> bool:
        machine = self._versions.among(role, version)
        views = self._views_of(self._versions.other(version))
        return machine is not None and views is not None and departure(views, machine) is None

    def _views_of(self, version: Version) -> Views | None:
        """Return the places of a version; None when they cannot be listed, or not be relied upon by themselves."""
        new = version is self._versions.new
        if new not in self._views:
            self._views[new] = None if loops_meet_pars(version.graph) or version.graph.crashes else _views(version)
        return self._views[new]

    def _explored(self, upgraded: frozenset[str]) -> Mixture:
        system, (old, new) = self._versions.system(upgraded), (self._versions.old.graph, self._versions.new.graph)
        stopping = set(old.stopping) & set(new.stopping)
        for bound in BOUNDS:
            search = explored(system, stopping, bound, limit=CONFIGURATIONS)
            if search.failure:
                return Mixture(upgraded, Safety.BREAKS, f"explored up to {bound} messages a channel", search.failure)
            if search.exact:
                return Mixture(upgraded, Safety.SAFE, "everything that can happen was explored")
        return Mixture(upgraded, Safety.EXPLORED, f"explored up to {BOUNDS[-1]} messages a channel")


def _views(version: Version) -> Views | None:
    graph = version.graph
    try:
        return Views(automaton_of(Terms(graph, cap=PLACES), cap=PLACES if graph.forks else 10**9))
    except TooLarge:
        return None
