"""`convpolicy run`: play a service that a module defines, until SIGINT or SIGTERM."""

from __future__ import annotations

from typing import Annotated, Any, TypeGuard

import typer

from convpolicy.cli.modules import defined
from convpolicy.link.bus import Bus
from convpolicy.runtime.service import Service

__all__ = ["run"]

AnyService = Service[Any, Any]


def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:SERVICE", help="For example `shop.seller:seller`.")],
    via: Annotated[
        list[str],
        typer.Option(
            metavar="URL",
            help="Where to listen, such as tcp://127.0.0.1:5555; with --bus, where buses do. Repeatable.",
        ),
    ],
    *,
    bus: Annotated[bool, typer.Option("--bus", help="Connect to service buses instead of listening.")] = False,
    at_most: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many conversations to take at once.")
    ] = None,
) -> None:
    """Run a service; Ctrl-C ends it cleanly."""
    service = defined(target, "service", "shop.seller:seller", _is_service)
    where = "is connected to" if bus else "listens at"
    service.run(
        via=Bus(*via, broker=True) if bus else [Bus(url) for url in via],
        at_most=at_most,
        started=lambda url: typer.echo(f"{service.role} {where} {url}"),
    )


def _is_service(value: object) -> TypeGuard[AnyService]:
    return isinstance(value, Service)
