"""What came of many runs: true when no rule was broken; otherwise the first run in which one was, made small."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from convpolicy.testing.simulation.drawing import picture
from convpolicy.testing.simulation.faults import Fault
from convpolicy.testing.simulation.record import Event
from convpolicy.testing.simulation.shrinking import Failing
from convpolicy.testing.simulation.world import World
from convpolicy.verify.evidence.report import Json

__all__ = ["Failure", "Report"]

MOST_RAISED = 5  # exceptions that are shown


@dataclass(frozen=True)
class Failure:
    """A run that breaks rules: its seed, in words what happened, the faults that are enough for it, and a chart.

    `raised` are the exceptions of handlers, and the lines that raised them.
    """

    seed: int
    problems: tuple[str, ...]
    faults: tuple[Fault, ...]
    chart: str
    events: tuple[Event, ...] = field(repr=False)
    raised: tuple[str, ...] = ()

    @classmethod
    def of(cls, failing: Failing) -> Failure:
        """Return what there is to say of a failing run."""
        record = failing.world.record
        concerned = {problem.conversation for problem in failing.problems if problem.conversation}
        shown = tuple(id for id in record.parts if id in concerned or not concerned)  # noqa: A001
        words = tuple(f"{problem.words}{_in(problem.conversation)}" for problem in failing.problems)
        return cls(
            failing.seed,
            words,
            failing.faults,
            picture(failing.world, shown),
            tuple(record.events),
            tuple(failing.world.raised),
        )

    def __str__(self) -> str:
        enough = [f"  {fault}" for fault in self.faults] or ["  nothing has to go wrong for it"]
        raised = ["what is raised:", *(f"  {words}" for words in self.raised[:MOST_RAISED])] if self.raised else []
        problems = [f"  {words}" for words in self.problems]
        return "\n".join([f"seed {self.seed}", *problems, *raised, "what goes wrong:", *enough, self.chart])


def _in(conversation: bytes) -> str:
    return f" (conversation {conversation.hex()[:6]})" if conversation else ""


@dataclass
class Report:
    """What came of the runs: how many, what happened in them, and the first `failure` there was, if any."""

    policy: str
    seeds: int = 0
    conversations: int = 0
    ended_early: int = 0
    messages: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    failing: list[int] = field(default_factory=list[int])
    failure: Failure | None = None

    def count(self, world: World) -> None:
        """Add one run."""
        self.seeds += 1
        for parts in world.record.parts.values():
            if world.setting.durable and all(part.ended is None for part in parts):
                continue  # killed before it was in a journal, and so nobody has heard of it
            self.conversations += 1
            later = {part.process.name: part for part in parts}  # the last process's part, where one was started again
            self.ended_early += not all(part.well for part in later.values())
            self.messages += sum(len(part.moves) for part in parts) // 2
        self.faults.update(fault.kind for fault in world.plan.happened)

    def __bool__(self) -> bool:
        return not self.failing

    def __str__(self) -> str:
        wrong = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items())) or "nothing went wrong"
        first = "every rule was kept" if self else f"rules were broken with seed {', '.join(map(str, self.failing))}"
        lines = [
            f"{self.policy}: {first} in {self.seeds:,} runs",
            f"  {self.conversations:,} conversations of {self.messages:,} messages; {self.ended_early:,} ended early",
            f"  {wrong}",
        ]
        return "\n".join([*lines, *([str(self.failure)] if self.failure else [])])

    def to_json(self) -> dict[str, Json]:
        """Return it for programs."""
        failure = self.failure
        shown: Json = None
        if failure is not None:
            faults: list[Json] = [[fault.kind, fault.where, fault.at, fault.value] for fault in failure.faults]
            shown = {"seed": failure.seed, "problems": list(failure.problems), "faults": faults, "chart": failure.chart}
            shown["raised"] = list(failure.raised)
        return {
            "policy": self.policy,
            "good": bool(self),
            "seeds": self.seeds,
            "conversations": self.conversations,
            "ended_early": self.ended_early,
            "messages": self.messages,
            "faults": dict(self.faults),
            "failing": list(self.failing),
            "failure": shown,
        }
