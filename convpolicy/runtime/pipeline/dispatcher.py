"""Tasks, and who has them: what the first role of a pipeline knows. No input, output or clocks.

A task is waiting at a stage, lent to a worker until its lease ends, being fenced at the last role, or over: done
or set aside. Every loan has a higher attempt number than those before it, and only the worker that has the newest
one is believed; what others say of the task is refused.

The result of an inner stage is taken here, so this is where it is decided that it counts. The results of the last
stage are counted by the last role; before such a task is lent again, or set aside, that role has to fence it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from convpolicy.runtime.pipeline.items import SET_ASIDE, Parcel, Token, Verdict

__all__ = ["Counts", "Dispatcher", "Job", "Poisoned"]

GRACE = 3.0  # seconds after which a worker that has a task must have said so

DIED = "the worker that had it was not heard of again"


class _Where(Enum):
    WAITING = "waiting"
    LENT = "lent"
    FENCING = "fencing"


_LENT = _Where.LENT  # looking it up costs as much as the rest of a loan (measured)


class Job(msgspec.Struct):
    """One task that is not over. `strikes` counts what speaks against it: handlers that raised, workers that died."""

    task: int
    parcel: Parcel
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

    `total` is how many were put in, `done` how many are counted, `quarantined` those that were set aside.
    """

    stages: int = 1
    lease: float = 30.0
    attempts: int = 5
    total: int = 0
    done: int = 0
    quarantined: list[Poisoned] = field(default_factory=list["Poisoned"])
    counts: Counts = field(default_factory=Counts)
    _jobs: dict[int, Job] = field(default_factory=dict[int, Job])
    _waiting: list[deque[int]] = field(default_factory=list["deque[int]"])
    _lent: dict[Hashable, dict[int, Job]] = field(default_factory=dict[Hashable, dict[int, Job]])
    _fencing: dict[int, Job] = field(default_factory=dict[int, Job])

    def __post_init__(self) -> None:
        self._waiting = [deque() for _ in range(self.stages)]

    # ------------------------------------------------------------------------------------------ what there is

    @property
    def open(self) -> int:
        """How many tasks are not over."""
        return len(self._jobs)

    def waiting(self, stage: int) -> int:
        """Return how many tasks wait for a worker of a stage."""
        return len(self._waiting[stage])

    def held(self, holder: Hashable) -> int:
        """Return how many tasks a worker has."""
        return len(self._lent.get(holder, ()))

    @property
    def lent(self) -> int:
        """How many tasks are with workers."""
        return sum(map(len, self._lent.values()))

    # ------------------------------------------------------------------------------------- lending and taking

    def add(self, parcel: Parcel) -> int:
        """Take a new task in; return its number, counting from 1."""
        self.total += 1
        self._jobs[self.total] = Job(self.total, parcel)
        self._waiting[0].append(self.total)
        return self.total

    def lend(self, stage: int, holder: Hashable, count: int, now: float) -> list[Job]:
        """Lend the next tasks of a stage to a worker, `count` of them or as many as wait."""
        waiting = self._waiting[stage]
        jobs = [self._jobs[waiting.popleft()] for _ in range(min(count, len(waiting)))]
        held = self._lent.setdefault(holder, {}) if jobs else {}
        for job in jobs:
            job.attempt += 1
            job.where, job.holder, job.lent_at, job.until = _LENT, holder, now, now + self.lease
            held[job.task] = job
        self.counts.lent += len(jobs)
        return jobs

    def passed(self, stage: int, task: int, attempt: int, parcel: Parcel) -> Verdict:
        """Take the result of an inner stage: the task now waits at the next."""
        job = self._jobs.get(task)
        if job is None or (job.stage > stage and job.passed == attempt):
            return Verdict.AGAIN
        if not _has(job, stage, attempt):
            self.counts.refused += 1
            return Verdict.FENCED
        self._take_back(job)
        job.stage, job.parcel, job.strikes, job.passed = stage + 1, parcel, 0, attempt
        self._wait(job)
        return Verdict.COUNTED

    def finished(self, stage: int, task: int, attempt: int) -> bool:
        """Note that a worker's result was taken by the next role; return whether the worker had the task."""
        job = self._jobs.get(task)
        if job is not None and job.stage > stage and job.passed == attempt:
            return True  # taken here, from `passed`
        if job is None or not _has(job, stage, attempt):
            self.counts.refused += 1
            return False
        self._over(job)
        return True

    def failed(self, stage: int, task: int, attempt: int, reason: str) -> bool:
        """Note that a worker could not do a task; return whether it had it."""
        job = self._jobs.get(task)
        if job is None or not _has(job, stage, attempt):
            self.counts.refused += 1
            return False
        self.counts.failed += 1
        self._take_back(job)
        self._strike(job, reason)
        if job.strikes < self.attempts:
            self._wait(job)  # it says itself that nothing of this attempt was counted, or ever will be
        else:
            self._release(job)
        return True

    # ---------------------------------------------------------------------------------------------- leases

    def holds(self, holder: Hashable, tokens: list[Token], now: float) -> Iterator[Token]:
        """Extend the leases of what a worker says that it has; yield what it has no more.

        What it was lent some time ago and does not name got lost on the way, and waits again.
        """
        named = dict(tokens)
        for job in tuple(self._lent.get(holder, {}).values()):
            if named.get(job.task) == job.attempt:
                job.until = now + self.lease
            elif now >= job.lent_at + GRACE:
                self._release(self._take_back(job))
        for task, attempt in named.items():
            job_held = self._lent.get(holder, {}).get(task)
            if job_held is None or job_held.attempt != attempt:
                self.counts.refused += 1
                yield task, attempt

    def gone(self, holder: Hashable) -> None:
        """Take back what a worker has that leaves on purpose: nothing is wrong with its tasks."""
        for job in tuple(self._lent.get(holder, {}).values()):
            self._release(self._take_back(job))

    def expire(self, now: float) -> list[Hashable]:
        """Take back the tasks whose lease is over; return the workers that had them."""
        late = [job for jobs in self._lent.values() for job in jobs.values() if now >= job.until]
        holders = [job.holder for job in late]
        for job in late:
            self.counts.expired += 1
            self._strike(self._take_back(job), DIED)
            self._release(job)
        return list(dict.fromkeys(holders))

    # ----------------------------------------------------------------------------------------------- fences

    def fences(self, now: float, *, every: float = 1.0) -> list[Token]:
        """Return the tasks that the last role must be asked to fence now, and from which attempt on."""
        due = [job for job in self._fencing.values() if now >= job.answer_by]
        for job in due:
            job.answer_by = now + every
        return [(job.task, job.fence) for job in due]

    def fenced(self, task: int, attempt: int, *, counted: bool) -> None:
        """Take the last role's answer: the task is counted, or can be lent again, or is set aside."""
        job = self._fencing.get(task)
        if job is None or (job.fence != attempt and not counted):
            return
        del self._fencing[task]
        if counted:
            self._over(job)
        elif attempt == SET_ASIDE:
            self._set_aside(job)
        else:
            self._wait(job)

    # ------------------------------------------------------------------------------------------- the moves

    def _wait(self, job: Job) -> None:
        job.where = _Where.WAITING
        self._waiting[job.stage].append(job.task)

    def _take_back(self, job: Job) -> Job:
        jobs = self._lent[job.holder]
        del jobs[job.task]
        if not jobs:
            del self._lent[job.holder]
        job.holder = None
        return job

    def _strike(self, job: Job, reason: str) -> None:
        job.strikes += 1
        job.reason = reason

    def _release(self, job: Job) -> None:
        """Let a task be lent again, or set it aside, as soon as no older result of it can be counted any more."""
        poisoned = job.strikes >= self.attempts
        if job.stage == self.stages - 1:
            job.where, job.fence, job.answer_by = _Where.FENCING, SET_ASIDE if poisoned else job.attempt + 1, 0.0
            self._fencing[job.task] = job
        elif poisoned:
            self._set_aside(job)
        else:
            self._wait(job)

    def _over(self, job: Job) -> None:
        if job.where is _LENT:
            self._take_back(job)
        del self._jobs[job.task]
        self.done += 1

    def _set_aside(self, job: Job) -> None:
        del self._jobs[job.task]
        self.quarantined.append(Poisoned(job.task, job.strikes, job.reason))


def _has(job: Job, stage: int, attempt: int) -> bool:
    """Return whether whoever says so has the task now."""
    return job.where is _LENT and job.stage == stage and job.attempt == attempt
