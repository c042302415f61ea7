"""`convpolicy fmt`: lay out policy files anew. Comments stay, and what the policy says does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convpolicy.cli.exits import Exit
from convpolicy.cli.files import STDIN, expand, text_of
from convpolicy.errors import ConvPolicyError
from convpolicy.policy.scribble import format_text

__all__ = ["fmt"]


def fmt(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Policy files, folders of them, or - for stdin.")],
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when a file would change.")] = False,
) -> None:
    """Lay out policy files anew, in place; - goes from stdin to stdout."""
    codes = [_format(file, check=check) for file in expand(files)]
    raise typer.Exit(Exit.ERROR if Exit.ERROR in codes else max(codes))


def _format(file: str, *, check: bool) -> Exit:
    try:
        before = text_of(file)
        after = format_text(before, "<stdin>" if file == STDIN else file)
    except ConvPolicyError as problem:
        typer.echo(str(problem), err=True)
        return Exit.ERROR
    if file == STDIN and not check:
        typer.echo(after, nl=False)
        return Exit.GOOD
    if before == after:
        return Exit.GOOD
    typer.echo(f"{'would lay out' if check else 'laid out'} {file}", err=True)
    if check:
        return Exit.REFUSED
    Path(file).write_text(after, encoding="utf-8", newline="\n")
    return Exit.GOOD
