"""The commands, put together. What the library refuses becomes one text on stderr and an exit code.

Only the command that is called is loaded, each with what it needs: a check is over before ZeroMQ would be there.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from convpolicy.cli.exits import Exit, code_of
from convpolicy.errors import ConvPolicyError

__all__ = ["app"]

_COMMANDS = (
    "check",
    "compat",
    "show",
    "fmt",
    "simulate",
    "run",
    "bus",
    "relay",
    "demo",
    "journal",
    "bench",
)  # convpolicy.cli.check.check, …


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - slow to import, and needed here only

        typer.echo(f"convpolicy {version('convpolicy')}")
        raise typer.Exit


def _about(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Conversation policies: who may send which message to whom, in what order.

    Exit codes: 0 good, 1 refused by a check, 2 usage or syntax, 3 undecided.
    """


def _put_together(names: Sequence[str]) -> typer.Typer:
    together = typer.Typer(
        name="convpolicy",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_about,
    )
    for name in names:
        command = getattr(import_module(f"convpolicy.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            together.add_typer(command, name=name)
        else:
            together.command()(command)
    return together


def _asked_for(arguments: Sequence[str]) -> Sequence[str]:
    """Return the command that comes first; all, for the list of them, where another word does."""
    return arguments[:1] if arguments[:1] and arguments[0] in _COMMANDS else _COMMANDS


def app() -> NoReturn:
    """Run the command that the arguments name."""
    try:
        _put_together(_asked_for(sys.argv[1:]))()
    except ConvPolicyError as problem:
        _leave(str(problem), code_of(problem))
    except BrokenPipeError:  # `convpolicy … | head`: nobody reads on, which is no error
        sys.stderr.close()
        sys.exit(Exit.GOOD)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit(Exit.GOOD)


def _leave(text: str, code: int) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    sys.exit(code)
