"""Results, each counted once: what the last role of a pipeline knows of one batch. No input, output or clocks.

A result that is delivered is first *begun*, while the handler runs, and then *counted* or *given up*. What is
counted stays so; of every counted task eight bytes are kept, so that another result of it is recognised, and
flagged when it is not the same.
"""

from __future__ import annotations

from convpolicy.runtime.pipeline.items import Verdict

__all__ = ["Collector"]

_SIZE = 8  # bytes of a digest
_NOTHING = bytes(_SIZE)


class Collector:
    """The results of one batch. `done` is how many are counted, `refused` how many came in vain."""

    __slots__ = ("_begun", "_digests", "_failed", "_fences", "differing", "done", "refused")

    def __init__(self) -> None:
        self.done = self.refused = 0
        self.differing: set[int] = set()
        self._digests = bytearray()
        self._begun: dict[int, int] = {}
        self._failed: dict[int, int] = {}
        self._fences: dict[int, int] = {}

    def begin(self, task: int, attempt: int, digest: bytes) -> Verdict | None:
        """Say what becomes of a result; None when it is to be handled now.

        COUNTED is never returned: it comes from `count`. While a task is `busy` it must not be begun again.
        """
        known = self._digest(task)
        if known is not None:
            self.refused += 1
            if known == digest:
                return Verdict.AGAIN
            self.differing.add(task)
            return Verdict.DIFFERS
        if attempt < self._fences.get(task, 0):
            self.refused += 1
            return Verdict.FAILED if self._failed.get(task) == attempt else Verdict.FENCED
        self._begun[task] = attempt
        return None

    def has(self, task: int) -> bool:
        """Return whether the task is counted."""
        return self._digest(task) is not None

    def busy(self, task: int) -> bool:
        """Return whether a result of the task is being handled."""
        return task in self._begun

    def count(self, task: int, digest: bytes) -> None:
        """The handler has done its work: the task is over."""
        del self._begun[task]
        self._fences.pop(task, None)
        self._failed.pop(task, None)
        end = task * _SIZE
        if len(self._digests) < end:
            self._digests.extend(bytes(max(end - len(self._digests), len(self._digests))))
        # An all-zero digest would read as "nothing counted"; one in 2**64 is nudged instead.
        self._digests[end - _SIZE : end] = digest if digest != _NOTHING else b"\1" * _SIZE
        self.done += 1

    def give_up(self, task: int) -> None:
        """The handler has failed: this attempt will not be counted, however often it comes."""
        attempt = self._begun.pop(task)
        self._failed[task] = attempt
        self._fences[task] = max(attempt + 1, self._fences.get(task, 0))

    def fence(self, task: int, attempt: int) -> bool | None:
        """Refuse lower attempts from now on; return whether the task is counted already, None while it is handled."""
        if self._digest(task) is not None:
            return True
        if task in self._begun:
            return None
        self._fences[task] = max(attempt, self._fences.get(task, 0))
        return False

    def _digest(self, task: int) -> bytes | None:
        found = bytes(self._digests[(task - 1) * _SIZE : task * _SIZE])
        return found if len(found) == _SIZE and found != _NOTHING else None
