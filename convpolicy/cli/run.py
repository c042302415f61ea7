"""`convpolicy run`: play a service that a module defines, until SIGINT or SIGTERM."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypeGuard

import typer

from convpolicy.cli.exits import UsageError
from convpolicy.errors import one_of
from convpolicy.link.bus import Bus
from convpolicy.runtime.service import Service

__all__ = ["run"]

AnyService = Service[Any, Any]


def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:SERVICE", help="For example `shop.seller:seller`.")],
    via: Annotated[
        list[str],
        typer.Option(metavar="URL", help="Where to listen, such as tcp://127.0.0.1:5555; with --bus, where buses do."),
    ],
    *,
    bus: Annotated[bool, typer.Option("--bus", help="Connect to service buses instead of listening.")] = False,
    at_most: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many conversations to take at once.")
    ] = None,
) -> None:
    """Run a service; Ctrl-C ends it cleanly."""
    service = _service(target)
    where = "is connected to" if bus else "listens at"
    service.run(
        via=Bus(*via, broker=bus),
        at_most=at_most,
        started=lambda url: typer.echo(f"{service.role} {where} {url}"),
    )


def _service(target: str) -> AnyService:
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise UsageError(f"{target!r} does not name a service\n  Write MODULE:SERVICE, for example shop.seller:seller.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not f"{module_name}.".startswith(f"{problem.name}."):
            raise  # the module is there, and imports something that is not
        raise UsageError(f"there is no module {module_name} in {Path.cwd()} or among what is installed") from problem
    found: object = getattr(module, name, None)
    if not _is_service(found):
        services = [name for name, value in vars(module).items() if _is_service(value)]
        raise UsageError(
            f"{name} is not a service of {module_name}\n  Its services are {one_of(services, empty='none')}."
        )
    return found


def _is_service(value: object) -> TypeGuard[AnyService]:
    return isinstance(value, Service)
