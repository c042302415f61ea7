"""Results, each counted once: what the last role of a pipeline knows of one batch. No input, output or clocks.

A result that is delivered is first *begun*, while the handler runs, and then *counted* or *given up*. What is
counted stays so; of every counted task eight bytes are kept, so that another result of it is recognised, and
flagged when it is not the same. Tasks of a lot with which nothing has gone wrong are begun and counted together.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from convpolicy.runtime.pipeline.items import Token, Verdict
from convpolicy.runtime.pipeline.lots import LOT, bits, task_of

__all__ = ["Collector", "digests_of"]

_NOTHING = bytes(8 * LOT)


class _Lot:
    """What is known of the tasks of a lot. `fenced` are those of which some attempts are refused, `begun` and `counted`
    the others that the opening speaks of; `digests` has a number for each counted one.
    """

    __slots__ = ("begun", "counted", "digests", "fenced")

    def __init__(self) -> None:
        self.begun = self.counted = self.fenced = 0
        self.digests = array("q", _NOTHING)


class Collector:
    """The results of one batch. `done` is how many are counted, `refused` how many came in vain, `busy` how many are
    being handled.
    """

    __slots__ = ("_failed", "_fences", "_lots", "busy", "differing", "done", "refused")

    def __init__(self) -> None:
        self.busy = self.done = self.refused = 0
        self.differing: set[int] = set()
        self._lots: dict[int, _Lot] = {}
        self._failed: dict[int, int] = {}
        self._fences: dict[int, int] = {}

    def begin(self, token: Token, digests: Sequence[int]) -> tuple[int, list[tuple[Verdict, int]]]:
        """Say what becomes of results: which are to be handled now, and for the others why not.

        `digests` has a number for each of the token's tasks. COUNTED is never among the reasons: it comes from `count`.
        A task of which a result is being handled is not mentioned: it has to come again.
        """
        lot, mask, _ = token
        known = self._lot(lot)
        if not mask & (known.counted | known.begun | known.fenced):
            known.begun |= mask
            self.busy += mask.bit_count()
            return mask, []
        fresh, refused = 0, list[tuple[Verdict, int]]()
        open_ = mask & ~known.begun
        for bit, digest in zip(bits(open_), digests_of(digests, mask, open_), strict=True):
            verdict = self._verdict(known, (lot, bit, token[2]), digest)
            if verdict is None:
                fresh |= bit
            else:
                refused.append((verdict, bit))
        known.begun |= fresh
        self.busy += fresh.bit_count()
        self.refused += len(refused)
        return fresh, refused

    def _verdict(self, known: _Lot, token: Token, digest: int) -> Verdict | None:
        """Say why the result of one task is refused, or None."""
        lot, bit, attempt = token
        task = task_of(lot, bit)
        if known.counted & bit:
            if known.digests[bit.bit_length() - 1] == digest:
                return Verdict.AGAIN
            self.differing.add(task)
            return Verdict.DIFFERS
        if attempt < self._fences.get(task, 0):
            return Verdict.FAILED if self._failed.get(task) == attempt else Verdict.FENCED
        return None

    def has(self, task: int) -> bool:
        """Return whether the task is counted."""
        lot, place = divmod(task - 1, LOT)
        return lot in self._lots and bool(self._lots[lot].counted >> place & 1)

    def count(self, token: Token, digests: Sequence[int]) -> None:
        """The handler has done its work: the tasks are over. `digests` is as for `begin`."""
        lot, mask, _ = token
        known = self._lot(lot)
        known.begun &= ~mask
        known.counted |= mask
        self.busy -= mask.bit_count()
        self.done += mask.bit_count()
        if len(digests) == LOT:
            known.digests = array("q", digests)
        else:
            for bit, digest in zip(bits(mask), digests, strict=True):
                known.digests[bit.bit_length() - 1] = digest
        for bit in bits(mask & known.fenced):
            self._fences.pop(task_of(lot, bit), None)
            self._failed.pop(task_of(lot, bit), None)
        known.fenced &= ~mask

    def give_up(self, token: Token) -> None:
        """The handler has failed: this attempt at the tasks will not be counted, however often it comes."""
        lot, mask, attempt = token
        known = self._lot(lot)
        known.begun &= ~mask
        known.fenced |= mask
        self.busy -= mask.bit_count()
        for bit in bits(mask):
            task = task_of(lot, bit)
            self._failed[task] = attempt
            self._fences[task] = max(attempt + 1, self._fences.get(task, 0))

    def fence(self, token: Token) -> Iterator[tuple[int, bool]]:
        """Refuse lower attempts from now on; yield which tasks are counted already, and which are not.

        Those of which a result is being handled are neither.
        """
        lot, mask, attempt = token
        known = self._lot(lot)
        if counted := mask & known.counted:
            yield counted, True
        if refused := mask & ~known.counted & ~known.begun:
            known.fenced |= refused
            for bit in bits(refused):
                task = task_of(lot, bit)
                self._fences[task] = max(attempt, self._fences.get(task, 0))
            yield refused, False

    def _lot(self, lot: int) -> _Lot:
        known = self._lots.get(lot)
        if known is None:
            known = self._lots[lot] = _Lot()
        return known


def digests_of(digests: Sequence[int], mask: int, chosen: int) -> Sequence[int]:
    """Return the digests of the chosen tasks out of those of a mask, of which there is one for each."""
    if mask == chosen:
        return digests
    return [digest for bit, digest in zip(bits(mask), digests, strict=True) if bit & chosen]
