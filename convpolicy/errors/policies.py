"""The root of the tree of exceptions, and what is wrong with a policy or with how it is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = [
    "ConvPolicyError",
    "IllFormed",
    "MissingExtra",
    "NotCompatible",
    "NotImplementable",
    "PolicyError",
    "PolicySyntaxError",
    "Position",
    "ServiceError",
    "Unsupported",
    "WiringError",
    "one_of",
]


class Position(NamedTuple):
    """A place in a policy's text: `line` and `column` count from 1, `source` is the text of that line."""

    file: str
    line: int
    column: int
    source: str = ""
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def caret(self) -> str:
        """Return the line with a caret under the place, indented for an error text."""
        gutter = f"{self.line:>5} | "
        blank = " " * (len(gutter) - 2) + "| "
        return f"{gutter}{self.source.rstrip()}\n{blank}{' ' * (self.column - 1)}{'^' * max(1, self.width)}"


def one_of(names: Iterable[str], *, empty: str = "nothing", word: str = "or") -> str:
    """Join names for a sentence: `A`, `A or B`, `A, B or C`."""
    listed = list(names)
    if not listed:
        return empty
    if len(listed) == 1:
        return listed[0]
    return f"{', '.join(listed[:-1])} {word} {listed[-1]}"


class ConvPolicyError(Exception):
    """Everything that convpolicy raises on purpose."""


class MissingExtra(ConvPolicyError, ImportError):
    """An optional dependency is not installed; the message is the line that installs it."""

    def __init__(self, extra: str, needs: str, why: str) -> None:
        self.extra, self.needs = extra, needs
        super().__init__(f'{why} needs {needs}: install it with  pip install "convpolicy[{extra}]"')


# ---------------------------------------------------------------------------------------------- policies


class PolicyError(ConvPolicyError):
    """Something is wrong with a policy or with how it is used."""


class _PlacedError(PolicyError):
    """A policy error that may have a place in a text."""

    def __init__(self, problem: str, *, at: Position | None = None, hint: str = "") -> None:
        self.problem, self.at, self.hint = problem, at, hint
        self.file = at.file if at else None
        self.line = at.line if at else None
        self.column = at.column if at else None
        lines = [f"{at}: {problem}" if at else problem]
        if at and at.source:
            lines.append(at.caret())
        if hint:
            lines.append(f"  {hint}")
        super().__init__("\n".join(lines))


class PolicySyntaxError(_PlacedError):
    """The text is not in the policy language: `file`, `line`, `column`, `problem`, `hint`."""


class Unsupported(_PlacedError):
    """The text uses a construct of Scribble that convpolicy reads but does not carry out; `construct` names it."""

    def __init__(self, construct: str, *, at: Position | None = None, hint: str = "") -> None:
        self.construct = construct
        super().__init__(f"`{construct}` is not supported yet", at=at, hint=hint)


class IllFormed(_PlacedError):
    """The policy makes no sense as written: an unbound name, a message to oneself, a wrong number of roles."""


class NotImplementable(PolicyError):
    """The policy cannot be followed by its roles; `report` has every finding, with witness and fix."""

    def __init__(self, policy: str, text: str, report: object, *, role: str | None = None) -> None:
        self.policy, self.report, self.role = policy, report, role
        super().__init__(text)


class NotCompatible(PolicyError):
    """A role cannot speak with those that have another version of its policy; `report` has what was found."""

    def __init__(self, policy: str, role: str, other: str, why: str, report: object) -> None:
        self.policy, self.role, self.other, self.report = policy, role, other, report
        super().__init__(
            f"{role} of {policy} cannot speak with the version {other[:12]}\n  {why}\n"
            f"  Upgrade in another order, which `convpolicy compat OLD NEW` shows, or let the old conversations finish."
        )


class WiringError(_PlacedError):
    """The link cannot carry the policy, a role is used where it does not belong, or a wiring's file is wrong."""


class ServiceError(PolicyError):
    """A service's handlers do not fit its role."""
