"""What is known of machines that run together: the verdict, the rule that gave it, and what was found.

`compatible` makes the answer; here is what it says to people and to programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from convpolicy.verify.evidence.witness import said
from convpolicy.verify.exploration.explore import Failure

__all__ = ["Because", "Conditions", "Safety", "SafetyReport"]


class Safety(StrEnum):
    """`safe` and `unsafe` hold with channels of any size, `explored` is not a proof."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    EXPLORED = "explored"


class Because(StrEnum):
    """The rule that gave a verdict."""

    VISITED = "everything that can happen was visited: no channel ever needs more room"
    COMPATIBLE = "k-multiparty compatibility (Lange and Yoshida, CAV 2019, Theorem 1)"
    REDUCED = "k-multiparty compatibility with reduced output independence (Lange and Yoshida, CAV 2019, Section 4)"
    FAILURE = "a run goes wrong, however much room the channels have"
    EXHAUSTIVE = "a run goes wrong, and no more can happen with more room (k-exhaustive)"
    BOUND = "exploration with a bound on every channel (no proof)"
    TOO_MANY = "there are too many configurations to visit them all (no proof)"


class Conditions(NamedTuple):
    """What holds with a bound. `exact` when the bound never kept a send from happening. None: not known."""

    exact: bool
    obi: bool | None = None
    sibi: bool | None = None
    cibi: bool | None = None
    exhaustive: bool | None = None
    safe: bool | None = None


@dataclass(frozen=True)
class SafetyReport:
    """The answer of `compatible`. True when the machines are safe.

    `k` is the bound that decided, or the last that was tried. `failure` is a shortest run that goes wrong; when the
    verdict is `explored`, the bound may be to blame for it. `held_back` says what keeps the system from being
    k-exhaustive. `configurations` and `transitions` are counted with bound k, and added up over groups of machines that
    have nothing to say to each other.
    """

    roles: tuple[str, ...]
    verdict: Safety
    because: Because
    k: int
    csa: bool
    directed: bool
    conditions: Conditions
    configurations: int
    transitions: int
    failure: Failure | None = None
    held_back: str = ""

    def __bool__(self) -> bool:
        return self.verdict is Safety.SAFE

    def __str__(self) -> str:
        return "\n".join([self.headline, *(f"  {line}" for line in self.remarks())])

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        match self.verdict:
            case Safety.SAFE:
                return "safe, with channels of any size: every message is taken, and nobody waits for ever"
            case Safety.UNSAFE:
                return f"unsafe: {self.failure.reason.removeprefix('stuck: ') if self.failure else ''}"
            case _:
                found = "a run goes wrong that more room may save" if self.failure else "nothing goes wrong"
                return f"not decided: {found} with room for {self.k} a channel"

    def remarks(self) -> Iterator[str]:
        """Yield what else there is to say: the rule, why it is not decided, the run, the sizes."""
        yield f"rule: {self.because}"
        if self.verdict is Safety.EXPLORED:
            yield from self._missing()
        elif self.failure:
            yield f"witness: {said((*self.failure.trace, self.failure.reason))}"
        sizes = f"{self.configurations} configurations, {self.transitions} transitions"
        yield f"{len(self.roles)} machines, k = {self.k}: {sizes}"

    def _missing(self) -> Iterator[str]:
        """Yield what keeps the theorem from being used."""
        if not self.csa:
            yield "not session automata: a machine has two ways after one message, or may send and receive in one state"
        if self.held_back:
            yield f"not {self.k}-exhaustive: {self.held_back}"
        if self.conditions.obi is False:
            yield f"not {self.k}-OBI: a role finds room for one message of a choice and not for another"
        if self.conditions.cibi is False:
            yield f"not {self.k}-IBI: which message a role takes may depend on which of two senders is faster"

    def to_json(self) -> dict[str, str | int | bool | None]:
        """Return the answer for programs. None where something is not known, or there is no witness."""
        _, obi, sibi, cibi, exhaustive, safe = self.conditions
        return {
            "verdict": self.verdict.value,
            "k": self.k,
            "csa": self.csa,
            "directed": self.directed,
            "obi": obi,
            "sibi": sibi,
            "cibi": cibi,
            "exhaustive": exhaustive,
            "safe": safe,
            "configurations": self.configurations,
            "transitions": self.transitions,
            "witness": self.failure.text if self.failure and self.verdict is Safety.UNSAFE else None,
        }
