"""The service bus as something that runs: a `Switch` on a link, in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from convpolicy.link.port import Link
from convpolicy.policy.model import Policy
from convpolicy.runtime.bus.switch import GRACE, LOST_AFTER, Switch
from convpolicy.runtime.pulse import Pulse
from convpolicy.runtime.running import run_until_signal
from convpolicy.runtime.surroundings import random_bytes

__all__ = ["ServiceBus"]


class ServiceBus:
    """A broker between the players of policies: `ServiceBus(Bus("tcp://*:5555")).run()`.

    Players connect with `Bus(url, broker=True)`. With `enforce`, the policies given are enforced here too, and a
    violation does not reach the other side. `lost_after` is how many seconds of silence make a player lost;
    `grace` for how many seconds after its start the bus gives out no role in what players were in the middle of when
    they came to it, so that those of a bus that was restarted can all say what they hold.

    Raises:
        NotImplementable: a policy to be enforced cannot be followed.
    """

    def __init__(
        self, link: Link, *, enforce: Iterable[Policy] = (), lost_after: float = LOST_AFTER, grace: float = GRACE
    ) -> None:
        self._link, self._enforce = link, tuple(enforce)
        self._lost_after, self._grace = lost_after, grace

    async def start(self) -> None:
        """Open the link and pass on what comes, until `close`.

        Raises:
            LinkError: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        self._port = self._link.open(listen=True)
        self._switch = Switch(
            self._port,
            clock=loop.time,
            new_id=random_bytes(),
            enforce=self._enforce,
            lost_after=self._lost_after,
            grace=self._grace,
        )
        self._pulse = Pulse(self._switch, self._port)

    @property
    def url(self) -> str:
        """The address, with the port that was taken where 0 was asked for."""
        return self._port.url

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many players and open conversations there are."""
        return self._switch.statistics()

    def close(self) -> None:
        """Stop. What the bus knew is forgotten; the players go on when another one listens at its address."""
        self._pulse.close()

    async def serve(self, *, started: Callable[[str], None] | None = None) -> None:
        """Run until the task is cancelled; `started` is called with the address. Raises as `start` does."""
        await self.start()
        if started is not None:
            started(self.url)
        try:
            await asyncio.Event().wait()
        finally:
            self.close()

    def run(self, *, started: Callable[[str], None] | None = None) -> None:
        """Run until SIGINT or SIGTERM. Raises as `start` does."""
        run_until_signal(lambda: self.serve(started=started))
