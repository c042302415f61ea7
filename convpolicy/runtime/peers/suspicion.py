"""Processes that may be gone: who is suspected, since when, on what evidence, and who is trusted again.

Nobody can tell a process that has died from one that is slow (Chandra and Toueg, "Unreliable Failure Detectors for
Reliable Distributed Systems", 1996), so a suspicion decides nothing. It is an event for whoever wants to know early:
conversations go on until the process counts as lost, and only policies with branches for that go on without it.

There are two kinds of evidence. Of the link: its connection is down, or takes nothing; tcp asks an idle one for a
sign of life. Of the application: the event loop at the other end, which answers pings and everything else, says
nothing.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from convpolicy.runtime.peers.processes import Peer

__all__ = ["Evidence", "Suspicion", "Suspicions", "Verdict"]

_log = logging.getLogger(__name__)

SUSPECT_AFTER = 3.0  # seconds of silence: an answer is asked for after one, so three are missing

Evidence: TypeAlias = Literal["link", "application"]
Verdict: TypeAlias = Literal["suspected", "trusted", "lost"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What is thought of a process that plays `role`: it is `suspected`, `trusted` again, or given up as `lost`.

    `process` tells processes of one role apart; started again, it is another one unless it has a journal. It was heard
    last at `since`, in seconds since 1970, `silent` seconds ago. `evidence` is `link`, `application` or both, and `why`
    says it in words. `conversations` is how many go through it.
    """

    verdict: Verdict
    role: str
    process: str
    since: float
    silent: float
    evidence: tuple[Evidence, ...]
    why: str
    conversations: int

    def __str__(self) -> str:
        return f"{self.role} ({self.process}) is {self.verdict}: {self.why}"


class Suspicions:
    """The suspicions of one port. `listeners` are told of every change; `after` is how long silence is no evidence."""

    def __init__(self, lost_after: float) -> None:
        self._after = min(SUSPECT_AFTER, lost_after / 2)
        self._suspected: dict[Peer, Suspicion] = {}
        self._looked = self._awake = -math.inf  # when it was looked last, and since when without a pause
        self.listeners: list[Callable[[Suspicion], object]] = []

    def __len__(self) -> int:
        return len(self._suspected)

    def current(self) -> tuple[Suspicion, ...]:
        """Return the processes that are suspected now, those heard least recently first."""
        return tuple(sorted(self._suspected.values(), key=lambda suspicion: suspicion.since))

    def look(self, peers: Iterable[Peer], now: float) -> None:
        """Once a second: find out who is to be suspected, and who was wrongly."""
        if now >= self._looked + SUSPECT_AFTER:
            self._awake = now  # this process has slept: it has heard nobody
        self._looked = now
        present = {peer: None for peer in peers if peer.hello is not None}
        for peer in present:
            silent = now - max(peer.heard, self._awake)
            evidence = self._evidence(peer, silent)
            if evidence:
                self._suspect(peer, evidence, silent)
            elif peer in self._suspected:
                self._acquit(peer, "trusted", "it was heard again")
        for peer in [each for each in self._suspected if each not in present]:
            self._acquit(peer, "lost", "it was given up")

    def _evidence(self, peer: Peer, silent: float) -> tuple[Evidence, ...]:
        is_silent = silent >= self._after
        link: tuple[Evidence, ...] = ("link",) if peer.gone or (is_silent and peer.frames) else ()
        return (*link, "application") if is_silent else link

    def _suspect(self, peer: Peer, evidence: tuple[Evidence, ...], silent: float) -> None:
        known = self._suspected.get(peer)
        suspicion = Suspicion(
            "suspected",
            peer.role,
            _name(peer),
            time.time() - silent,
            silent,
            evidence,
            _words(peer, evidence, silent),
            len(peer.conversations),
        )
        if known is not None:
            suspicion = replace(suspicion, since=known.since)
        self._suspected[peer] = suspicion
        if known is None or known.evidence != evidence:
            self._tell(suspicion)

    def _acquit(self, peer: Peer, verdict: Verdict, why: str) -> None:
        suspicion = self._suspected.pop(peer)
        self._tell(replace(suspicion, verdict=verdict, why=why, conversations=len(peer.conversations)))

    def _tell(self, suspicion: Suspicion) -> None:
        for listener in self.listeners:
            try:
                listener(suspicion)
            except Exception:  # noqa: BLE001 - whatever it is, it is not the conversations' fault
                _log.exception("whoever is told of suspicions failed")


def _words(peer: Peer, evidence: tuple[Evidence, ...], silent: float) -> str:
    link = "its connection is down" if peer.gone else "its connection takes nothing"
    silence = f"nothing was heard from it for {silent:.1f} s"
    return " and ".join(link if each == "link" else silence for each in evidence)


def _name(peer: Peer) -> str:
    """Return a name that tells processes apart; what a process is known by is nobody else's business."""
    identity = peer.hello.identity if peer.hello is not None else peer.address
    return hashlib.sha256(identity).hexdigest()[:8]
