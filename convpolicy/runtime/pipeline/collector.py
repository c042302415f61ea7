"""Results, each counted once: what the last role of a pipeline knows of one batch. No input, output or clocks.

A result that is delivered is first *begun*, while the handler runs, and then *counted* or *given up*. What is
counted stays so, and enough of it is kept that another result of the task is recognised, and flagged when it is not
the same: a digest of eight bytes, or the results of a lot as they came, when they are short. To digest each of them
costs more than the rest of counting does, and hardly any is ever asked for. Tasks of a lot with which nothing has gone
wrong are begun and counted together.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from msgspec import Raw

from convpolicy.runtime.pipeline.items import Token, Verdict
from convpolicy.runtime.pipeline.lots import LOT, Goods, bits, size_of, task_of

__all__ = ["Collector", "Results"]

SHORT = 16 * LOT  # bytes of the results of a lot, up to which they are kept as they came

_ALL = (1 << LOT) - 1
_NOTHING = bytes(8 * LOT)


class Results:
    """What came of some tasks, and digests of it, once somebody asks for them.

    Raises Malformed, as `Goods` does, when it is not a result for each of the tasks.
    """

    __slots__ = ("_digests", "_goods")

    def __init__(self, goods: Goods) -> None:
        goods.ensure_whole()
        self._goods = goods
        self._digests: Sequence[int] | None = None

    def digests(self, mask: int) -> Sequence[int]:
        """Return the digests of the results of these tasks, in order."""
        if self._digests is None:
            self._digests = self._goods.digests()
        if mask == self._goods.mask:
            return self._digests
        return [digest for bit, digest in zip(bits(self._goods.mask), self._digests, strict=True) if bit & mask]

    def short(self, mask: int) -> Goods | None:
        """Return what came of these tasks without the frame that it is in, if they are a whole lot, and it is short."""
        goods = self._goods
        if mask != _ALL or size_of(goods.payloads) > SHORT:
            return None
        return Goods(goods.labels, mask, Raw(bytes(goods.payloads)))


class _Lot:
    """What is known of the tasks of a lot. `fenced` are those of which some attempts are refused, `begun` and `counted`
    the others that the opening speaks of.
    """

    __slots__ = ("_digests", "_whole", "begun", "counted", "fenced")

    def __init__(self) -> None:
        self.begun = self.counted = self.fenced = 0
        self._whole: Goods | None = None  # what all of the lot was counted with, as it came
        self._digests: array[int] | None = None

    def keep(self, mask: int, results: Results) -> None:
        """Keep what some tasks are counted with."""
        self._whole = results.short(mask)
        if self._whole is not None:
            return
        digests = self._kept()
        for bit, digest in zip(bits(mask), results.digests(mask), strict=True):
            digests[bit.bit_length() - 1] = digest

    def digest(self, bit: int) -> int:
        """Return the digest of what a task was counted with."""
        return self._kept()[bit.bit_length() - 1]

    def _kept(self) -> array[int]:
        whole, self._whole = self._whole, None
        if whole is not None:
            self._digests = array("q", whole.digests())
        elif self._digests is None:
            self._digests = array("q", _NOTHING)
        return self._digests


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

    def begin(self, token: Token, results: Results) -> tuple[int, list[tuple[Verdict, int]]]:
        """Say what becomes of results: which are to be handled now, and for the others why not.

        COUNTED is never among the reasons: it comes from `count`. A task of which a result is being handled is not
        mentioned: it has to come again.
        """
        lot, mask, _ = token
        known = self._lot(lot)
        if not mask & (known.counted | known.begun | known.fenced):
            known.begun |= mask
            self.busy += mask.bit_count()
            return mask, []
        fresh, refused = 0, list[tuple[Verdict, int]]()
        open_ = mask & ~known.begun
        for bit, digest in zip(bits(open_), results.digests(open_), strict=True):
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
            if known.digest(bit) == digest:
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

    def count(self, token: Token, results: Results) -> None:
        """The handler has done its work: the tasks are over. `results` has what came of them, and of others."""
        lot, mask, _ = token
        known = self._lot(lot)
        known.begun &= ~mask
        known.counted |= mask
        self.busy -= mask.bit_count()
        self.done += mask.bit_count()
        known.keep(mask, results)
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
