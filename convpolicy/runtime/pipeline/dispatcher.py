"""Tasks, and who has them: what the first role of a pipeline knows. No input, output or clocks.

A task is waiting at a stage, lent to a worker until its lease ends, being fenced at the last role, or over: done
or set aside. Every loan has a higher attempt number than those before it, and only the worker that has the newest
one is believed; what others say of the task is refused.

Tasks of a lot to which the same has happened are one `Job`, and cost together what one would; a job is cut as soon
as something happens to some of its tasks only. What is lent is a job, or its first tasks where a worker takes fewer.

The result of an inner stage is taken here, so this is where it is decided that it counts. The results of the last
stage are counted by the last role; before such a task is lent again, or set aside, that role has to fence it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from copy import copy
from dataclasses import dataclass, field
from enum import Enum

import msgspec
from msgspec import Raw

from convpolicy.runtime.pipeline.items import SET_ASIDE, Token, Verdict
from convpolicy.runtime.pipeline.lots import LOT, Goods, joined, lowest, size_of, tasks_of

__all__ = ["Counts", "Dispatcher", "Job", "Poisoned"]

GRACE = 3.0  # seconds after which a worker that has a task must have said so

DIED = "the worker that had it was not heard of again"


class _Where(Enum):
    WAITING = "waiting"
    LENT = "lent"
    FENCING = "fencing"


_LENT = _Where.LENT  # looking it up costs as much as the rest of a loan (measured)


class Job(msgspec.Struct, eq=False):
    """Tasks of a lot that are not over, `mask`, to which the same has happened. `goods` has what they are, and others.

    `strikes` counts what speaks against them: handlers that raised, workers that died.
    """

    lot: int
    mask: int
    goods: Goods
    stage: int = 0
    attempt: int = 0
    strikes: int = 0
    where: _Where = _Where.WAITING
    holder: Hashable = None
    lent_at: float = 0.0
    until: float = 0.0
    passed: int = 0  # the attempt whose result led to this stage
    reason: str = ""
    fence: int = 0
    answer_by: float = 0.0

    @property
    def size(self) -> int:
        """How many tasks it has."""
        return self.mask.bit_count()

    @property
    def token(self) -> Token:
        """What names its loan."""
        return self.lot, self.mask, self.attempt


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A task that was set aside: after how many attempts, and why the last one failed."""

    task: int
    attempts: int
    reason: str


@dataclass(slots=True)
class Counts:
    """What happened to loans since the start of a batch."""

    lent: int = 0
    expired: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(slots=True)
class Dispatcher:
    """The tasks of one batch, on their way through `stages` stages of workers.

    `total` is how many were put in, `open` how many are not over, `done` how many are counted, `quarantined` those that
    were set aside. `bytes` is the size of the lots, as they were put in, of which any task is not over.
    """

    stages: int = 1
    lease: float = 30.0
    attempts: int = 5
    total: int = 0
    done: int = 0
    quarantined: list[Poisoned] = field(default_factory=list["Poisoned"])
    counts: Counts = field(default_factory=Counts)
    open: int = 0
    bytes: int = 0
    _sizes: dict[int, int] = field(default_factory=dict[int, int])  # bytes of a lot
    _waits: list[int] = field(default_factory=list[int])  # how many tasks there are in `_waiting`
    _jobs: dict[int, list[Job]] = field(default_factory=dict[int, "list[Job]"])
    _waiting: list[deque[Job]] = field(default_factory=list["deque[Job]"])
    _lent: dict[Hashable, dict[Job, None]] = field(default_factory=dict[Hashable, dict[Job, None]])
    _held: dict[Hashable, int] = field(default_factory=dict[Hashable, int])  # how many tasks there are in `_lent`
    _fencing: dict[Job, None] = field(default_factory=dict[Job, None])

    def __post_init__(self) -> None:
        self._waiting = [deque() for _ in range(self.stages)]
        self._waits = [0] * self.stages

    # ------------------------------------------------------------------------------------------ what there is

    def waiting(self, stage: int) -> int:
        """Return how many tasks wait for a worker of a stage."""
        return self._waits[stage]

    def held(self, holder: Hashable) -> int:
        """Return how many tasks a worker has."""
        return self._held.get(holder, 0)

    @property
    def lent(self) -> int:
        """How many tasks are with workers."""
        return sum(self._held.values())

    # ------------------------------------------------------------------------------------- lending and taking

    def add(self, labels: tuple[int, ...], payloads: Raw, count: int = 1) -> int:
        """Take new tasks in, which do not reach beyond their lot; return the number of the last, counting from 1."""
        lot, place = divmod(self.total, LOT)
        goods = Goods(labels, ((1 << count) - 1) << place, payloads)
        self.total += count
        self.open += count
        self._waits[0] += count
        size = size_of(payloads)
        self.bytes += size
        self._sizes[lot] = self._sizes.get(lot, 0) + size
        waiting = self._waiting[0]
        last = waiting[-1] if waiting else None
        both = joined(last.goods, goods) if last is not None and _grows(last, lot) else None
        if last is not None and both is not None:
            last.goods, last.mask = both, both.mask
        else:
            job = Job(lot, goods.mask, goods)
            self._jobs.setdefault(lot, []).append(job)
            waiting.append(job)
        return self.total

    def lend(self, stage: int, holder: Hashable, count: int, now: float) -> list[Job]:
        """Lend the next tasks of a stage to a worker: at most `count`, and some if any wait.

        A lot is cut only when nothing would be lent otherwise, and one that a worker has failed or died with is lent
        task by task: that one of them is to blame says nothing of the others.
        """
        jobs: list[Job] = []
        waiting = self._waiting[stage]
        while waiting and count > 0:
            job = waiting[0]
            if job.size > count and jobs and not job.strikes:
                break
            job = self._cut(job, lowest(job.mask, 1 if job.strikes else count))
            if job is waiting[0]:
                waiting.popleft()
            count -= job.size
            jobs.append(job)
        for job in jobs:
            self._lend(job, holder, now)
        return jobs

    def _lend(self, job: Job, holder: Hashable, now: float) -> None:
        size = job.size
        job.attempt += 1
        job.where, job.holder, job.lent_at, job.until = _LENT, holder, now, now + self.lease
        self._lent.setdefault(holder, {})[job] = None
        self._held[holder] = self._held.get(holder, 0) + size
        self._waits[job.stage] -= size
        self.counts.lent += size

    def passed(self, stage: int, lot: int, attempt: int, goods: Goods) -> Iterator[tuple[Verdict, int]]:
        """Take results of an inner stage, whose tasks now wait at the next; yield what became of which."""
        again = goods.mask
        for job, common in self._of(lot, goods.mask):
            if job.stage > stage and job.passed == attempt:
                continue
            again &= ~common
            if _has(job, stage, attempt):
                part = self._take_back(self._cut(job, common))
                part.stage, part.goods, part.strikes, part.passed = stage + 1, goods, 0, attempt
                self._wait(part)
                yield Verdict.COUNTED, common
            else:
                self.counts.refused += common.bit_count()
                yield Verdict.FENCED, common
        if again:
            yield Verdict.AGAIN, again

    def finished(self, stage: int, token: Token) -> int:
        """Note that a worker's results were taken by the next role; return of which tasks the worker had them."""
        lot, mask, attempt = token
        accepted = 0
        for job, common in self._of(lot, mask):
            if job.stage > stage and job.passed == attempt:
                accepted |= common  # taken here, from `passed`
            elif _has(job, stage, attempt):
                accepted |= common
                self._over(self._cut(job, common))
        self.counts.refused += (mask & ~accepted).bit_count()
        return accepted

    def failed(self, stage: int, token: Token, reason: str) -> int:
        """Note that a worker could not do some tasks; return which of them it had."""
        lot, mask, attempt = token
        accepted = 0
        for job, common in self._of(lot, mask):
            if _has(job, stage, attempt):
                accepted |= common
                self._fail(self._take_back(self._cut(job, common)), reason)
        self.counts.refused += (mask & ~accepted).bit_count()
        self.counts.failed += accepted.bit_count()
        return accepted

    def _fail(self, job: Job, reason: str) -> None:
        self._strike(job, reason)
        if job.strikes < self.attempts:
            self._wait(job)  # it says itself that nothing of this attempt was counted, or ever will be
        else:
            self._release(job)

    # ---------------------------------------------------------------------------------------------- leases

    def holds(self, holder: Hashable, tokens: list[Token], now: float) -> Iterator[Token]:
        """Extend the leases of what a worker says that it has; yield what it has no more.

        What it was lent some time ago and does not name got lost on the way, or was let go, and waits again.
        """
        named: dict[tuple[int, int], int] = {}
        for lot, mask, attempt in tokens:
            named[lot, attempt] = named.get((lot, attempt), 0) | mask
        for job in tuple(self._lent.get(holder, ())):
            common = named.get((job.lot, job.attempt), 0) & job.mask
            unnamed = job.mask & ~common
            if common:
                named[job.lot, job.attempt] &= ~common
                self._cut(job, common).until = now + self.lease
            if unnamed and now >= job.lent_at + GRACE:
                self._release(self._take_back(job))
        for (lot, attempt), mask in named.items():
            if mask:
                self.counts.refused += mask.bit_count()
                yield lot, mask, attempt

    def gone(self, holder: Hashable) -> None:
        """Take back what a worker has that leaves on purpose: nothing is wrong with its tasks."""
        for job in tuple(self._lent.get(holder, ())):
            self._release(self._take_back(job))

    def expire(self, now: float) -> list[Hashable]:
        """Take back the tasks whose lease is over; return the workers that had them."""
        late = [job for jobs in self._lent.values() for job in jobs if now >= job.until]
        holders = [job.holder for job in late]
        for job in late:
            self.counts.expired += job.size
            self._strike(self._take_back(job), DIED)
            self._release(job)
        return list(dict.fromkeys(holders))

    # ----------------------------------------------------------------------------------------------- fences

    def fences(self, now: float, *, every: float = 1.0) -> list[Token]:
        """Return the tasks that the last role must be asked to fence now, and from which attempt on."""
        due = [job for job in self._fencing if now >= job.answer_by]
        for job in due:
            job.answer_by = now + every
        return [(job.lot, job.mask, job.fence) for job in due]

    def fenced(self, token: Token, *, counted: bool) -> None:
        """Take the last role's answer: the tasks are counted, or can be lent again, or are set aside."""
        lot, mask, attempt = token
        for job, common in self._of(lot, mask):
            if job.where is not _Where.FENCING or (job.fence != attempt and not counted):
                continue
            part = self._cut(job, common)
            del self._fencing[part]
            if counted:
                self._over(part)
            elif attempt == SET_ASIDE:
                self._set_aside(part)
            else:
                self._wait(part)

    # ------------------------------------------------------------------------------------------- the moves

    def _of(self, lot: int, mask: int) -> list[tuple[Job, int]]:
        """Return the jobs that have any of some tasks, and which of them."""
        return [(job, common) for job in self._jobs.get(lot, ()) if (common := job.mask & mask)]

    def _cut(self, job: Job, mask: int) -> Job:
        """Return a job that has these tasks of another one, which keeps the rest, and is where that is."""
        if mask == job.mask:
            return job
        part = copy(job)
        part.mask = mask
        job.mask &= ~mask
        self._jobs[job.lot].append(part)
        if job.where is _LENT:
            self._lent[job.holder][part] = None
        elif job.where is _Where.FENCING:
            self._fencing[part] = None
        return part

    def _wait(self, job: Job) -> None:
        job.where = _Where.WAITING
        self._waiting[job.stage].append(job)
        self._waits[job.stage] += job.size

    def _take_back(self, job: Job) -> Job:
        jobs = self._lent[job.holder]
        del jobs[job]
        self._held[job.holder] -= job.size
        if not jobs:
            del self._lent[job.holder], self._held[job.holder]
        job.holder = None
        return job

    def _strike(self, job: Job, reason: str) -> None:
        job.strikes += 1
        job.reason = reason

    def _release(self, job: Job) -> None:
        """Let tasks be lent again, or set them aside, as soon as no older result can be counted any more."""
        poisoned = job.strikes >= self.attempts
        if job.stage == self.stages - 1:
            job.where, job.fence, job.answer_by = _Where.FENCING, SET_ASIDE if poisoned else job.attempt + 1, 0.0
            self._fencing[job] = None
        elif poisoned:
            self._set_aside(job)
        else:
            self._wait(job)

    def _over(self, job: Job) -> None:
        if job.where is _LENT:
            self._take_back(job)
        self._forget(job)
        self.done += job.size

    def _set_aside(self, job: Job) -> None:
        self._forget(job)
        self.quarantined += [Poisoned(task, job.strikes, job.reason) for task in tasks_of(job.lot, job.mask)]

    def _forget(self, job: Job) -> None:
        jobs = self._jobs[job.lot]
        jobs.remove(job)
        if not jobs:
            del self._jobs[job.lot]
            self.bytes -= self._sizes.pop(job.lot)
        self.open -= job.size


def _has(job: Job, stage: int, attempt: int) -> bool:
    """Return whether whoever says so has the tasks now."""
    return job.where is _LENT and job.stage == stage and job.attempt == attempt


def _grows(job: Job, lot: int) -> bool:
    """Return whether tasks that are put in now may join those of a job: nothing has happened to these yet."""
    return job.lot == lot and not job.attempt and job.mask == job.goods.mask
