"""What a check has found in several files: as text or as one JSON array, and as an exit code, where the worst wins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn, Protocol

import typer

from convpolicy.cli.exits import Exit
from convpolicy.errors import ConvPolicyError
from convpolicy.verify.evidence.report import Json

__all__ = ["Answer", "error_to_json", "give", "said"]


class Answer(Protocol):
    """What was found in one file, or one part of it; its `str` is the text for people."""

    @property
    def code(self) -> Exit:
        """What it means for the shell."""
        ...

    def to_json(self) -> dict[str, Json]:
        """Return it for programs."""
        ...


def give(answers: Sequence[Answer], *, as_json: bool) -> NoReturn:
    """Print the answers and leave the command.

    Raises:
        typer.Exit: always, with the worst code.
    """
    if as_json:
        typer.echo(json.dumps([answer.to_json() for answer in answers], indent=2, ensure_ascii=False))
    else:
        _print(answers)
    raise typer.Exit(_worst({answer.code for answer in answers}))


def error_to_json(file: str, problem: ConvPolicyError, protocol: str | None = None) -> dict[str, Json]:
    """Return the answer for a file, or a protocol of it, that makes no sense."""
    line, column = getattr(problem, "line", None), getattr(problem, "column", None)
    named: dict[str, Json] = {"protocol": protocol} if protocol else {}
    error: dict[str, Json] = {"verdict": "error", "error": said(problem), "line": line, "column": column}
    return {"file": file, **named, **error}


def said(problem: ConvPolicyError) -> str:
    """Return an error without its place and its line of text, which programs get as numbers."""
    parts = [getattr(problem, "problem", ""), getattr(problem, "hint", "")]
    return "\n".join(filter(None, parts)) or str(problem)


def _worst(codes: set[Exit]) -> Exit:
    return next((code for code in (Exit.ERROR, Exit.REFUSED, Exit.UNDECIDED) if code in codes), Exit.GOOD)


# -------------------------------------------------------------------------------------------------- printing

_STYLES = {Exit.GOOD: "green", Exit.REFUSED: "bold red", Exit.ERROR: "bold red", Exit.UNDECIDED: "yellow"}


def _print(answers: Sequence[Answer]) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import, and `--json` needs no colours
    from rich.text import Text  # noqa: PLC0415

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
