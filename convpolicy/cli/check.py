"""`convpolicy check`: can every role follow the policy? For people, and with `--json` for programs.

With `--role` and `--machine` it asks instead whether a given machine follows it (`cli.machine`).

A file that cannot be read or makes no sense is one more answer, not the end: the other files are checked too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from convpolicy.cli.answers import error_to_json, give, said
from convpolicy.cli.exits import Exit, UsageError
from convpolicy.cli.files import STDIN, expand, module_of
from convpolicy.errors import ConvPolicyError
from convpolicy.policy.module import Module
from convpolicy.show.evidence import explained
from convpolicy.verify.check import check as report_on
from convpolicy.verify.evidence.report import Json, Report, Verdict
from convpolicy.verify.machines.reading import Notation

__all__ = ["check"]

_Also = Callable[[Report], Report]  # what is looked at beside the policy

_Files = Annotated[list[str], typer.Argument(metavar="FILE", help="Policy files, folders of them, or - for stdin.")]
_Protocol = Annotated[str | None, typer.Option(metavar="NAME", help="Check only this protocol.")]
_Over = Annotated[str | None, typer.Option(metavar="FILE", help="Check it over the links of this wiring, too.")]
_Role = Annotated[str | None, typer.Option(metavar="ROLE", help="With --machine: the role that it plays.")]
_Machine = Annotated[
    str | None,
    typer.Option(metavar="MACHINE", help="Check that this machine, MODULE:MACHINE or of a file, follows it."),
]
_Machines = Annotated[bool, typer.Option("--machines", help="The files are machines, not policies.")]
_Format = Annotated[Notation | None, typer.Option("--format", help="With --machines: the notation, if not guessed.")]
_Bound = Annotated[int | None, typer.Option(min=1, metavar="K", help="With --machines: the room in a channel.")]
_UpTo = Annotated[int | None, typer.Option(min=1, metavar="K", help="With --machines: try all to K; 4 when not given.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON array, an object for each answer.")]


def check(
    files: _Files,
    protocol: _Protocol = None,
    over: _Over = None,
    role: _Role = None,
    machine: _Machine = None,
    *,
    machines: _Machines = False,
    notation: _Format = None,
    bound: _Bound = None,
    up_to: _UpTo = None,
    as_json: _Json = False,
) -> None:
    """Prove that every role can follow a policy, or show a run that gets stuck.

    With --machines the files are machines that are given directly, in kmc's notations: prove that they are safe
    together, with channels of any size, or show a run that goes wrong.
    """
    if machines:
        if (protocol, over, role, machine) != (None,) * 4:
            raise UsageError("--protocol, --over, --role and --machine are for policies\n  Leave --machines out.")
        from convpolicy.cli.systems import check_machines  # noqa: PLC0415 - needed here only

        check_machines(files, notation, bound, up_to, as_json=as_json)
    if (notation, bound, up_to) != (None,) * 3:
        raise UsageError("--format, --bound and --up-to are for machines\n  Add --machines, or leave them out.")
    if role is not None or machine is not None:
        from convpolicy.cli.machine import check_machine  # noqa: PLC0415 - needed here only

        raise typer.Exit(check_machine(files, protocol, role, machine, as_json=as_json))
    also = _as_it_is if over is None else _over(over)
    answers = list(_answers(list(expand(files)), protocol, also, named=set(files)))
    give(answers, as_json=as_json)


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
        text = explained(self.result) if isinstance(self.result, Report) else str(self.result)
        return "\n".join([text, *(f"warning: {_as_if_absent(problem)}" for problem in self.ignored)])

    def to_json(self) -> dict[str, Json]:
        if isinstance(self.result, ConvPolicyError):
            return error_to_json(self.file, self.result, self.protocol)
        findings = [*map(_ignored_to_json, self.ignored)]
        whole = self.result.to_json()
        found = whole["findings"]
        return {**whole, "file": self.file, "findings": [*(found if isinstance(found, list) else []), *findings]}


def _as_if_absent(problem: ConvPolicyError) -> str:
    return f"{problem}\n  The check looked at the policy as if this were not there; loading it is refused."


def _ignored_to_json(problem: ConvPolicyError) -> Json:
    return {
        "property": "unsupported",
        "severity": "warning",
        "role": None,
        "line": getattr(problem, "line", None),
        "column": getattr(problem, "column", None),
        "message": f"{said(problem)}: checked as if it were not there",
        "witness": None,
        "fix": None,
    }


# -------------------------------------------------------------------------------------------------- checking


def _as_it_is(report: Report) -> Report:
    return report


def _over(wiring: str) -> _Also:
    from convpolicy.cli.wirings import over_links  # noqa: PLC0415 - links need ZeroMQ, and other checks do not

    return over_links(wiring)


def _answers(files: list[str], protocol: str | None, also: _Also, *, named: set[str]) -> Iterator[_Answer]:
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
            yield _answer(file, module, name, also)


def _answer(file: str, module: Module, name: str, also: _Also) -> _Answer:
    try:
        policy = module.policy(name)
        return _Answer(file, name, also(report_on(policy)), policy.ignored)
    except ConvPolicyError as problem:
        return _Answer(file, name, problem)


def _with_progress(files: list[str]) -> Iterable[str]:
    if len(files) == 1 or STDIN in files or not sys.stderr.isatty():
        return files
    from rich.console import Console  # noqa: PLC0415 - slow to import, and most checks need no bar
    from rich.progress import track  # noqa: PLC0415

    return track(files, "Checking", console=Console(stderr=True), transient=True)
