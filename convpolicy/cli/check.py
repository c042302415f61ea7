"""`convpolicy check`: can every role follow the policy? For people, and with `--json` for programs.

With `--role` and `--machine` it asks instead whether a given machine follows it (`cli.machine`).

A file that cannot be read or makes no sense is one more answer, not the end: the other files are checked too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.text import Text

from convpolicy.cli.exits import Exit
from convpolicy.cli.files import STDIN, expand, module_of, wiring_of
from convpolicy.cli.machine import check_machine
from convpolicy.errors import ConvPolicyError
from convpolicy.link.wiring import Wiring, carriers
from convpolicy.policy.module import Module
from convpolicy.verify.carrying import carried
from convpolicy.verify.check import check as report_on
from convpolicy.verify.report import Json, Report, Verdict

__all__ = ["check"]


def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Policy files, folders of them, or - for stdin.")],
    protocol: Annotated[str | None, typer.Option(metavar="NAME", help="Check only this protocol.")] = None,
    over: Annotated[
        str | None, typer.Option(metavar="FILE", help="Check it over the links of this wiring, too.")
    ] = None,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="With --machine: the role that it plays.")] = None,
    machine: Annotated[
        str | None,
        typer.Option(metavar="MODULE:MACHINE", help="Check that this machine, which a module defines, follows it."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, an object for each protocol.")] = False,
) -> None:
    """Prove that every role can follow a policy, or show a run that gets stuck."""
    if role is not None or machine is not None:
        raise typer.Exit(check_machine(files, protocol, role, machine, as_json=as_json))
    wiring = None if over is None else wiring_of(over)
    answers = list(_answers(list(expand(files)), protocol, wiring, named=set(files)))
    if as_json:
        typer.echo(json.dumps([answer.to_json() for answer in answers], indent=2, ensure_ascii=False))
    else:
        _print(answers)
    raise typer.Exit(_worst(answers))


@dataclass(frozen=True)
class _Answer:
    """What there is to say of one protocol, or of a file that cannot be read."""

    file: str
    protocol: str | None
    result: Report | ConvPolicyError
    ignored: tuple[ConvPolicyError, ...] = ()

    @property
    def code(self) -> Exit:
        if isinstance(self.result, ConvPolicyError):
            return Exit.ERROR
        if self.result.errors:
            return Exit.REFUSED
        return Exit.UNDECIDED if self.result.verdict is Verdict.EXPLORED else Exit.GOOD

    def __str__(self) -> str:
        return "\n".join([str(self.result), *(f"warning: {_as_if_absent(problem)}" for problem in self.ignored)])

    def to_json(self) -> dict[str, Json]:
        if isinstance(self.result, ConvPolicyError):
            return self._error_to_json(self.result)
        findings = [*map(_ignored_to_json, self.ignored)]
        whole = self.result.to_json()
        found = whole["findings"]
        return {**whole, "file": self.file, "findings": [*(found if isinstance(found, list) else []), *findings]}

    def _error_to_json(self, problem: ConvPolicyError) -> dict[str, Json]:
        line, column = getattr(problem, "line", None), getattr(problem, "column", None)
        protocol: dict[str, Json] = {"protocol": self.protocol} if self.protocol else {}
        error: dict[str, Json] = {"verdict": "error", "error": _said(problem), "line": line, "column": column}
        return {"file": self.file, **protocol, **error}


def _said(problem: ConvPolicyError) -> str:
    """Return an error without its place and its line of text, which programs get as numbers."""
    parts = [getattr(problem, "problem", ""), getattr(problem, "hint", "")]
    return "\n".join(filter(None, parts)) or str(problem)


def _as_if_absent(problem: ConvPolicyError) -> str:
    return f"{problem}\n  The check looked at the policy as if this were not there; loading it is refused."


def _ignored_to_json(problem: ConvPolicyError) -> Json:
    return {
        "property": "unsupported",
        "severity": "warning",
        "role": None,
        "line": getattr(problem, "line", None),
        "column": getattr(problem, "column", None),
        "message": f"{_said(problem)}: checked as if it were not there",
        "witness": None,
        "fix": None,
    }


# -------------------------------------------------------------------------------------------------- checking


def _answers(files: list[str], protocol: str | None, wiring: Wiring | None, *, named: set[str]) -> Iterator[_Answer]:
    """Yield the answers; a file without a policy is an error only when it is `named`, not when a folder has it."""
    for file in _with_progress(files):
        try:
            module = module_of(file)
            names = [protocol] if protocol else module.names
            if not names and file in named:
                module.policy()  # which raises, saying what is missing
        except ConvPolicyError as problem:
            yield _Answer(file, protocol, problem)
            continue
        for name in names:
            yield _answer(file, module, name, wiring)


def _answer(file: str, module: Module, name: str, wiring: Wiring | None) -> _Answer:
    try:
        policy = module.policy(name)
        report = report_on(policy)
        if wiring is not None:
            report = carried(report, carriers(wiring, policy.roles))
        return _Answer(file, name, report, policy.ignored)
    except ConvPolicyError as problem:
        return _Answer(file, name, problem)


def _with_progress(files: list[str]) -> Iterable[str]:
    if len(files) == 1 or STDIN in files or not sys.stderr.isatty():
        return files
    return track(files, "Checking", console=Console(stderr=True), transient=True)


def _worst(answers: Iterable[_Answer]) -> Exit:
    codes = {answer.code for answer in answers}
    return next((code for code in (Exit.ERROR, Exit.REFUSED, Exit.UNDECIDED) if code in codes), Exit.GOOD)


# -------------------------------------------------------------------------------------------------- printing

_STYLES = {Exit.GOOD: "green", Exit.REFUSED: "bold red", Exit.ERROR: "bold red", Exit.UNDECIDED: "yellow"}


def _print(answers: Iterable[_Answer]) -> None:
    console = Console(highlight=False)
    for place, answer in enumerate(answers):
        if place:
            console.print()
        first, *others = str(answer).split("\n")
        console.print(Text(first, _STYLES[answer.code]), soft_wrap=True)
        for line in others:
            console.print(Text(line, _style(line)), soft_wrap=True)


def _style(line: str) -> str:
    """Colour what starts a line of a report; the rest stays plain."""
    words = {"fix:": "green", "witness:": "cyan"}
    return words.get(line.split(maxsplit=1)[0], "") if line.strip() else ""
