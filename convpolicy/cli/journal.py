"""`convpolicy journal`: what is in a journal, whether it holds together, and what to do with what was set aside."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from convpolicy.cli.exits import Exit, UsageError
from convpolicy.cli.stories import stories
from convpolicy.errors import JournalError, one_of
from convpolicy.journal.accounts import Accounts
from convpolicy.journal.port import Account, Ending, Kind, Ledger, Record
from convpolicy.journal.schema import opened_for_reading
from convpolicy.journal.sqlite import SQLite
from convpolicy.show import chart

__all__ = ["journal"]

journal = typer.Typer(no_args_is_help=True, help="Look into a journal, and settle what was set aside in it.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The journal, such as seller.db.")]
Which = Annotated[str, typer.Argument(metavar="CONVERSATION", help="The beginning of its id, or its name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


# ----------------------------------------------------------------------------------------------- looking into it


@journal.command(name="list")
def list_(file: File, *, as_json: AsJson = False) -> None:
    """List the conversations: open, set aside, in doubt, ended."""
    with _reading(file) as accounts:
        found = list(accounts.all())
    if as_json:
        typer.echo(json.dumps([_as_json(account) for account in found], indent=2))
        return
    for account in found:
        opened = datetime.fromtimestamp(account.opened, UTC).strftime("%Y-%m-%d %H:%M:%S")
        opening = account.opening
        parts = [opening.id.hex()[:12], opened, f"{opening.role} of {opening.policy}", opening.name, _status(account)]
        typer.echo("  ".join(filter(None, parts)))
    counts = Counter(map(_status, found))
    what = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
    typer.echo(f"{len(found)} {'conversation' if len(found) == 1 else 'conversations'}: {what}")


@journal.command()
def show(file: File, conversation: Which, *, as_json: AsJson = False) -> None:
    """Show what happened in a conversation, as a sequence chart, and what it waits for."""
    with _reading(file) as accounts:
        story = next(stories(accounts, [_one(accounts, file, conversation)]))
    account, opening = story.account, story.account.opening
    if as_json:
        typer.echo(json.dumps({**_as_json(account), "messages": [list(step) for step in story.steps]}, indent=2))
        return
    name = f", {opening.name}" if opening.name else ""
    typer.echo(f"{opening.role} of {opening.policy}, conversation {opening.id.hex()}{name}: {_status(account)}")
    if story.steps:
        typer.echo(chart(story.steps, story.roles))
    for line in story.remarks:
        typer.echo(line)


@journal.command()
def verify(file: File) -> None:
    """Check the file, and that every conversation in it is a run of its role's machine."""
    with _reading(file) as accounts:
        problems = accounts.damage()
        told = list(stories(accounts, accounts.all()))
    problems += [story.problem for story in told if story.problem]
    unknown = [story for story in told if story.unknown]
    for problem in problems:
        typer.echo(problem, err=True)
    if unknown:
        typer.echo(f"{len(unknown)} conversations are of policies whose text is not in the file", err=True)
    if problems or unknown:
        raise typer.Exit(Exit.REFUSED if problems else Exit.UNDECIDED)
    count = "1 conversation" if len(told) == 1 else f"{len(told)} conversations"
    typer.echo(f"{count}, each a run of its machine; the file is whole")


# ------------------------------------------------------------------------------------------------ settling things


@journal.command()
def retry(file: File, conversation: Which) -> None:
    """Have the handler for which a conversation was set aside called again, when its service starts next."""
    _settle(file, conversation, Kind.RETRIED, "goes on with that handler at the next start")


@journal.command()
def skip(file: File, conversation: Which) -> None:
    """Pass over the message for which a conversation was set aside; the rest goes on at the next start."""
    _settle(file, conversation, Kind.SKIPPED, "goes on after that message at the next start")


@journal.command()
def close(
    file: File,
    conversation: Which,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="What the others are told.")] = "it was closed by hand",
) -> None:
    """End a conversation that is open. The others are told when they are next heard of."""
    with _writing(file) as ledger:
        account = _open(file, conversation)
        ledger.end(account.number, Ending("aborted", [reason], [], account.opening.role))
        ledger.commit()
    typer.echo(f"{account.opening.id.hex()} is closed: {reason}")


def _settle(file: Path, conversation: str, kind: Kind, what: str) -> None:
    with _writing(file) as ledger:
        account = _open(file, conversation)
        if not account.aside:
            raise UsageError(
                f"{account.opening.id.hex()} was not set aside\n  `convpolicy journal list` says which were."
            )
        cause = next(record.cause for _, record in reversed(account.records) if record.kind == Kind.ASIDE)
        ledger.write(account.number, Record(kind, cause=cause))
        ledger.set_aside(account.number, aside=False)
        ledger.commit()
    typer.echo(f"{account.opening.id.hex()} {what}")


def _open(file: Path, conversation: str) -> Account:
    with _reading(file) as accounts:
        account = _one(accounts, file, conversation)
    if account.ended is not None:
        raise UsageError(f"{account.opening.id.hex()} is over\n  Only what is open can be settled.")
    return account


# ------------------------------------------------------------------------------------------------------- the file


@contextmanager
def _reading(file: Path) -> Generator[Accounts]:
    if not file.is_file():
        raise UsageError(f"there is no file {file}\n  Check the path.")
    try:
        with opened_for_reading(str(file)) as database:
            yield Accounts(database)
    except sqlite3.DatabaseError as problem:
        raise JournalError(
            f"cannot read {file}: {problem}.\n  Check the path, or restore it from a backup."
        ) from problem


@contextmanager
def _writing(file: Path) -> Generator[Ledger]:
    if not file.is_file():
        raise UsageError(f"there is no file {file}\n  Check the path.")
    ledger = SQLite(file).open()
    try:
        yield ledger
    finally:
        ledger.close()


def _one(accounts: Accounts, file: Path, which: str) -> Account:
    found = accounts.like(which)
    if not found:
        raise UsageError(f"there is no conversation {which} in {file}\n  `convpolicy journal list` names them.")
    if len(found) > 1:
        ids = one_of((account.opening.id.hex()[:12] for account in found[:5]), word="and")
        raise UsageError(f"{which} may be {ids}\n  Write more of the id.")
    return found[0]


def _status(account: Account) -> str:
    if account.ending is not None:
        return f"{account.ending.kind}, in doubt" if account.ending.doubt else account.ending.kind
    return "set aside" if account.aside else "open"


def _as_json(account: Account) -> dict[str, object]:
    opening, ending = account.opening, account.ending
    return {
        "conversation": opening.id.hex(),
        "policy": opening.policy,
        "fingerprint": opening.fingerprint.hex(),
        "role": opening.role,
        "name": opening.name,
        "opened": account.opened,
        "ended": account.ended,
        "status": _status(account),
        "facts": [] if ending is None else ending.facts,
        "doubt": [] if ending is None else [f"{label} to {role} (message {seq})" for role, seq, label in ending.doubt],
    }
