"""`convpolicy relay`: forward a distribution tree, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from convpolicy.link.relay import KEEP, KEEP_BYTES, Relay
from convpolicy.runtime.running import run_until_signal

__all__ = ["relay"]


def relay(
    upstream: Annotated[
        str, typer.Option("--from", metavar="URL", help="The root of the tree, or a relay: tcp://127.0.0.1:6000.")
    ],
    url: Annotated[str, typer.Option("--to", metavar="URL", help="Where to listen; the next port is used too.")],
    *,
    keep: Annotated[int, typer.Option(help="Messages to keep and say again; with 0 the root says them again.")] = KEEP,
    keep_bytes: Annotated[int, typer.Option(help="Bytes to keep, at most.")] = KEEP_BYTES,
) -> None:
    """Relay a distribution tree; Ctrl-C ends it cleanly."""

    async def forward() -> None:
        with Relay(upstream, url, keep=keep, keep_bytes=keep_bytes) as running:
            typer.echo(f"relay listens at {running.url}")
            await asyncio.Event().wait()

    run_until_signal(forward)
