"""`convpolicy bus`: a service bus between the players of policies, until SIGINT or SIGTERM."""

from __future__ import annotations

from typing import Annotated

import typer

from convpolicy.cli.files import expand, module_of
from convpolicy.link.bus import Bus
from convpolicy.link.room import MEMORY, PEERS
from convpolicy.runtime.bus.service_bus import ServiceBus
from convpolicy.runtime.bus.switch import GRACE, LOST_AFTER

__all__ = ["bus"]

MIB = 1024 * 1024


def bus(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to listen, for example tcp://127.0.0.1:5555.")],
    enforce: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Policies that the bus enforces; may be repeated.")
    ] = None,
    lost_after: Annotated[
        float, typer.Option(metavar="SECONDS", help="A player that is silent for so long is lost.")
    ] = LOST_AFTER,
    grace: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="How long conversations of an earlier bus wait for their players to come back."
        ),
    ] = GRACE,
    *,
    players: Annotated[int, typer.Option(metavar="N", min=1, help="How many processes may be connected.")] = PEERS,
    memory: Annotated[
        int, typer.Option(metavar="MIB", min=1, help="How much may wait for all of them together, in MiB.")
    ] = MEMORY // MIB,
) -> None:
    """Run a service bus; Ctrl-C ends it, and loses no conversation when another one is started in its place."""
    modules = [module_of(file) for file in expand(enforce or ())]
    policies = [module.policy(name) for module in modules for name in module.names]
    link = Bus(url, peers=players, memory=memory * MIB)
    service_bus = ServiceBus(link, enforce=policies, lost_after=lost_after, grace=grace)
    service_bus.run(started=lambda where: typer.echo(f"the service bus listens at {where}"))
