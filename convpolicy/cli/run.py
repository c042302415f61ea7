"""`convpolicy run`: play a service that a module defines, until SIGINT or SIGTERM."""

from __future__ import annotations

from typing import Annotated, Any, TypeGuard

import typer

from convpolicy.cli.exits import UsageError
from convpolicy.cli.modules import defined
from convpolicy.cli.wirings import wiring_of
from convpolicy.link.bus import Bus
from convpolicy.link.port import Link
from convpolicy.runtime.services.parting import ExitReport
from convpolicy.runtime.services.service import Service

__all__ = ["run"]

AnyService = Service[Any, Any]


def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:SERVICE", help="For example `shop.seller:seller`.")],
    via: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Where to listen, such as tcp://127.0.0.1:5555; with --bus, where buses do. Repeatable."
        ),
    ] = None,
    over: Annotated[
        str | None, typer.Option(metavar="FILE", help="The wiring to play over, instead: trees, pipelines, buses.")
    ] = None,
    *,
    bus: Annotated[bool, typer.Option("--bus", help="Connect to service buses instead of listening.")] = False,
    at_most: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many conversations to take at once.")
    ] = None,
    per_peer: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many of one process, where no bus is between.")
    ] = None,
) -> None:
    """Run a service; Ctrl-C ends it cleanly."""
    service = defined(target, "service", "shop.seller:seller", _is_service)
    where = "is connected to" if bus else "plays over" if over else "listens at"
    service.run(
        via=_links(via or [], over, bus=bus),
        at_most=at_most,
        per_peer=per_peer,
        started=lambda url: typer.echo(f"{service.role} {where} {url}"),
        ended=lambda report: _tell(service.role, report),
    )


def _tell(role: str, report: ExitReport) -> None:
    if report.open:
        typer.echo("\n  ".join([f"{role} has ended, {report}", *report.left]))


def _links(urls: list[str], over: str | None, *, bus: bool) -> Link | list[Link]:
    if (over is None) == (not urls) or (over is not None and bus):
        raise UsageError(
            "a service plays at addresses or over a wiring\n  Give --via URL, or --over FILE without --bus."
        )
    if over is not None:
        return wiring_of(over)
    return Bus(*urls, broker=True) if bus else [Bus(url) for url in urls]


def _is_service(value: object) -> TypeGuard[AnyService]:
    return isinstance(value, Service)
