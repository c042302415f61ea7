"""Wirings, as they are named on a command line: what `--over` asks for."""

from __future__ import annotations

from collections.abc import Callable

from convpolicy.cli.exits import UsageError
from convpolicy.cli.files import unreadable
from convpolicy.errors import WiringError
from convpolicy.link.wiring import Wiring, carriers
from convpolicy.verify.evidence.report import Report
from convpolicy.verify.links.carrying import carried

__all__ = ["over_links", "wiring_of"]


def over_links(name: str) -> Callable[[Report], Report]:
    """Read a wiring's file; return what adds to a report what its links cannot carry.

    Raises:
        UsageError: the file cannot be read, or is not a wiring; the text shows the line.
    """
    wiring = wiring_of(name)
    return lambda report: carried(report, carriers(wiring, report.policy.roles))


def wiring_of(name: str) -> Wiring:
    """Read a wiring's file. Raises as `over_links` does."""
    try:
        return Wiring.load(name)
    except WiringError as problem:
        raise UsageError(str(problem)) from problem
    except OSError as problem:
        raise unreadable(name, problem) from problem
