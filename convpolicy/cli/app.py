"""The commands, put together. What the library refuses becomes one text on stderr and an exit code."""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from convpolicy.cli.bus import bus
from convpolicy.cli.check import check
from convpolicy.cli.compat import compat
from convpolicy.cli.demo import demo
from convpolicy.cli.exits import Exit, code_of
from convpolicy.cli.fmt import fmt
from convpolicy.cli.relay import relay
from convpolicy.cli.run import run
from convpolicy.cli.show import show
from convpolicy.errors import ConvPolicyError

__all__ = ["app"]

_commands = typer.Typer(
    name="convpolicy",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (check, compat, show, fmt, run, bus, relay, demo):
    _commands.command()(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"convpolicy {version('convpolicy')}")
        raise typer.Exit


@_commands.callback()
def _about(  # pyright: ignore[reportUnusedFunction]
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Conversation policies: who may send which message to whom, in what order.

    Exit codes: 0 good, 1 refused by a check, 2 usage or syntax, 3 undecided.
    """


def app() -> NoReturn:
    """Run the command that the arguments name."""
    try:
        _commands()
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
