"""Several open ends as one port: an address begins with the number of the end that it belongs to.

Whoever uses the port need not know that there are several; who wants to know asks for the `line` of an address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from convpolicy.link.port import Address, Delivery, Link, Port
from convpolicy.link.room import together

__all__ = ["Ends"]


class Ends(Port):
    """The ports given, by number. Closing it closes them."""

    def __init__(self, ports: Mapping[int, Port]) -> None:
        self.ports = dict(ports)
        self.url = " ".join(port.url for port in self.ports.values())
        self.servers = tuple(
            _at(edge, server) for edge, port in self.ports.items() if not port.listens for server in port.servers
        )
        self.room = together([port.room for port in self.ports.values()])
        self._attached: Callable[[Port], None] = lambda _port: None

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        """See `Port.attach`."""
        self._attached = lambda port: port.attach(wake, descriptor)
        for port in self.ports.values():
            port.attach(wake, descriptor)

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        """See `Port.drain`."""
        return [
            (_at(edge, address), frame) for edge, port in self.ports.items() for address, frame in port.drain(limit)
        ]

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        """See `Port.transmit`."""
        return self.ports[address[0]].transmit(address[1:], frame)

    def renew(self, address: Address) -> None:
        """See `Port.renew`."""
        self.ports[address[0]].renew(address[1:])

    def line(self, address: Address) -> Address:
        """See `Port.line`."""
        return _at(address[0], self.ports[address[0]].line(address[1:]))

    def url_at(self, address: Address) -> str:
        """See `Port.url_at`."""
        return self.ports[address[0]].url_at(address[1:])

    def reach(self, link: Link) -> Address:
        """See `Port.reach`: over an end that goes there already, or over one more."""
        for edge, port in self.ports.items():
            for server in port.servers:
                if port.url_at(server) == link.url:
                    return _at(edge, server)
        edge = max(self.ports) + 1
        port = self.ports[edge] = link.open(listen=False)
        self._attached(port)
        return _at(edge, port.servers[0])

    def readable(self) -> bool:
        """See `Port.readable`."""
        return any(port.readable() for port in self.ports.values())

    def close(self) -> None:
        """See `Port.close`."""
        for port in self.ports.values():
            port.close()


def _at(edge: int, address: Address) -> Address:
    return bytes([edge]) + address
