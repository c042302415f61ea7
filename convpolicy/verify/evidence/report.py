"""The answer of a check: a verdict, by which rule, and findings; for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from convpolicy.machine import Direction, Symbol, symbol_of
from convpolicy.policy.model import Policy
from convpolicy.verify.coherence.overtaking import Channel
from convpolicy.verify.decide import Verdict
from convpolicy.verify.evidence.findings import Finding, Severity
from convpolicy.verify.evidence.witness import OneRun, StuckRun, TwoRuns, Witness

__all__ = ["Json", "Report", "Verdict"]

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True)
class Report:
    """What a check says of a policy. True when the policy may be used: implementable, and no finding is an error.

    `implementable` is None where only exploration could be asked. `fair_progress` and `unfair_progress` are None
    where they were not decided. `roles` maps each role to the number of states of its machine, None when they are
    too many to count. `bounds` maps each channel to the most messages that can be in flight, None when there is
    no such number. `nested` has the reports of the conversations that the policy starts, which must be good as well.
    """

    policy: Policy
    verdict: Verdict
    fair_progress: bool | None
    unfair_progress: bool | None
    rule: str
    findings: tuple[Finding, ...]
    roles: Mapping[str, int | None]
    bounds: Mapping[Channel, int | None]
    nested: tuple[Report, ...] = ()

    @property
    def implementable(self) -> bool | None:
        """Whether every role can follow the policy; None when that is not known."""
        verdicts = {self.verdict, *(report.verdict for report in self.nested)}
        if Verdict.REJECTED in verdicts:
            return False
        return None if Verdict.EXPLORED in verdicts else True

    def __bool__(self) -> bool:
        return self.implementable is True and not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that refuse the policy, or one that it starts."""
        own = (finding for finding in self.findings if finding.severity is Severity.ERROR)
        return (*own, *(finding for report in self.nested for finding in report.errors))

    def __str__(self) -> str:
        return self.told()

    def told(self, drawing: Callable[[Finding], str] | None = None) -> str:
        """Return the report for people; `drawing` draws the witness of a finding, below which it then stands."""
        nested = (f"nested: {report.told(drawing)}" for report in self.nested)
        return "\n".join([*self._summary(), *self._details(drawing), *nested])

    def _details(self, drawing: Callable[[Finding], str] | None) -> Iterator[str]:
        said: set[str] = set()
        for finding in self.findings:
            fix = str(finding.fix or "")
            yield from _lines(self, finding)
            if drawing and finding.severity is Severity.ERROR and fix not in said:
                yield from (f"    {line}".rstrip() for line in drawing(finding).splitlines())
            if fix:
                yield f"  fix: {'as above' if fix in said else fix}"
                said.add(fix)

    def _summary(self) -> Iterator[str]:
        name = self.policy.name
        if self.errors:
            count = f"{len(self.errors)} error{'s' if len(self.errors) > 1 else ''}"
            yield f"{name} cannot be used as it is: {count}"
        elif self.verdict is Verdict.EXPLORED:
            yield f"{name} is undecided: no fault was found, but that is not a proof"
            yield f"  by {self.rule}"
        else:
            sizes = ", ".join(f"{role} {_count(size)}" for role, size in self.roles.items())
            yield f"{name} is implementable: every role can follow it without getting stuck"
            yield f"  by {self.rule}"
            yield f"  states: {sizes}"
            yield f"  in flight at most: {', '.join(self._in_flight()) or 'nothing'}"

    def _in_flight(self) -> Iterator[str]:
        most: dict[tuple[str, str], int | None] = {}
        for (sender, receiver, _), bound in self.bounds.items():  # the lanes of two roles together
            so_far = most.get((sender, receiver), 0)
            most[sender, receiver] = None if bound is None or so_far is None else so_far + bound
        for (sender, receiver), bound in most.items():
            yield f"{sender}→{receiver} {'no limit' if bound is None else bound}"

    def to_json(self) -> dict[str, Json]:
        """Return the report as plain values, with the keys that `convpolicy check --json` prints."""
        at = self.policy.at
        nested: dict[str, Json] = {"nested": [report.to_json() for report in self.nested]} if self.nested else {}
        return {
            "file": at.file if at else None,
            "protocol": self.policy.name,
            "verdict": self.verdict.value,
            "implementable": self.implementable,
            "fair_progress": self.fair_progress,
            "unfair_progress": self.unfair_progress,
            "rule": self.rule,
            "findings": [_finding_to_json(finding) for finding in self.findings],
            "roles": dict(self.roles),
            "bounds": {channel_name(channel): bound for channel, bound in self.bounds.items()},
            **nested,
        }

    def sequence(self) -> str:
        """Return the first witness as a Mermaid sequence chart; empty when there is none."""
        witness = next((finding.witness for finding in self.findings if finding.witness), None)
        return "" if witness is None else "\n".join(_chart(self.policy, witness))


def channel_name(channel: Channel) -> str:
    """Return a channel in one word: `Buyer→Seller`, with the lane's branches after a slash inside a par."""
    lane = "".join(f"/{par}.{branch}" for par, branch in channel.lane)
    return f"{channel.sender}→{channel.receiver}{lane}"


def _count(size: int | None) -> str:
    return "too many to count" if size is None else str(size)


# ----------------------------------------------------------------------------------------------- for people


def _lines(report: Report, finding: Finding) -> Iterator[str]:
    place = finding.at or report.policy.name
    warning = "warning: " if finding.severity is Severity.WARNING else ""
    yield f"{place}: {warning}{finding.message}"
    if finding.at and finding.at.source:
        yield f"{finding.at.caret()} {finding.detail}"
    else:
        yield f"  {finding.detail}"
    if finding.witness:
        first, *others = finding.witness.lines()
        yield f"  witness: {first}"
        yield from (f"           {line}" for line in others)


def _finding_to_json(finding: Finding) -> Json:
    return {
        "property": str(finding.property),
        "severity": finding.severity.value,
        "role": finding.role,
        "line": finding.at.line if finding.at else None,
        "column": finding.at.column if finding.at else None,
        "message": f"{finding.message}: {finding.detail}",
        "witness": str(finding.witness) if finding.witness else None,
        "fix": str(finding.fix) if finding.fix else None,
    }


# -------------------------------------------------------------------------------------------------- charts


def _chart(policy: Policy, witness: Witness) -> Iterator[str]:
    yield "sequenceDiagram"
    yield from (f"  participant {role}" for role in policy.roles)
    match witness:
        case TwoRuns(role=role, left=left, right=right, symbol=symbol):
            yield "  alt one run"
            yield from (f"    {_arrow(exchanged)}" for exchanged in (*left, symbol))
            yield f"  else another run, the same for {role}"
            yield from (f"    {_arrow(exchanged)}" for exchanged in right)
            yield "  end"
        case OneRun(run=run):
            yield from (f"  {_arrow(exchanged)}" for exchanged in run)
        case StuckRun(stuck):
            for step in stuck.trace:
                if step.stops:
                    yield f"  Note over {step.role}: stops"
                elif step.move.direction is Direction.SEND:
                    yield f"  {_arrow(symbol_of(*step))}"


def _arrow(symbol: Symbol) -> str:
    return f"{symbol.sender}->>{symbol.receiver}: {symbol.label}"
