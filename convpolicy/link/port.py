"""The port between conversations and transports.

A `Link` is what a user passes as `via=`: a description, with no resource behind it. Opening it gives a `Port`,
one open end, which moves whole frames without ever waiting. A port says what became of a frame; what is worth
sending again is known above, in the outboxes of the conversations, so a port keeps no messages of its own.

Any link passes `convpolicy.testing.check_link`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from convpolicy.errors import WiringError
from convpolicy.link.room import Room
from convpolicy.verify.links.carrier import Carrier

__all__ = ["LISTENER", "Address", "Delivery", "Guarantees", "Link", "Port"]

# Whom a frame came from or goes to; only the port that gave it out knows what it means. Empty is the listener.
Address: TypeAlias = bytes
LISTENER: Address = b""


class Delivery(Enum):
    """What became of a frame that was handed to a port."""

    SENT = "sent"  # it is with the transport; whether it arrives, only an acknowledgement says
    BUSY = "busy"  # the transport takes no more now: try again when the port wakes
    GONE = "gone"  # there is nobody at that address


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What a link keeps: the order of frames between two ends, and whether frames travel back."""

    ordered: bool
    answers: bool


class Port(ABC):
    """One open end of a link. Its methods never wait, and belong to the thread that opened it.

    `url` is its address in full. `servers` are the addresses of those that it goes to; there are none when it
    `listens`. `room` is what it may hold for the processes at the other end.
    """

    url: str
    servers: tuple[Address, ...]
    room = Room()

    @property
    def listens(self) -> bool:
        """Whether others come to this end."""
        return not self.servers

    @abstractmethod
    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        """Say how to be woken when frames may have come or room may have appeared.

        A port with a file descriptor passes it to `descriptor`, to be watched for reading; another one calls
        `wake`, from any thread.
        """

    @abstractmethod
    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        """Return up to `limit` frames that have arrived, each with whom it came from."""

    @abstractmethod
    def transmit(self, address: Address, frame: bytes) -> Delivery:
        """Hand one frame over."""

    def renew(self, address: Address) -> None:
        """Give up a connection that brings nothing any more, with what waits for it, and make another one.

        Nothing to do where there is no connection.
        """
        del address

    def line(self, address: Address) -> Address:
        """Return which of several lines an address belongs to: a process is another peer on each of them."""
        del address
        return LISTENER

    def url_at(self, address: Address) -> str:
        """Return where the line of an address is listened at, for people."""
        del address
        return self.url

    def reach(self, link: Link) -> Address:
        """Go to another link as well, and return the address of who listens there.

        Raises:
            WiringError: this end goes nowhere, or not to such a link.
            LinkError: the link's address cannot be used.
        """
        raise WiringError(f"what goes over {self.url} does not go to {link!r}.\n  Move from a Bus to another Bus.")

    @abstractmethod
    def readable(self) -> bool:
        """Return whether another frame has arrived already."""

    @abstractmethod
    def close(self) -> None:
        """Close; what was handed over may still go out for a second. Closing twice is fine."""


class Link(ABC):
    """Where and how frames travel; opening it gives a `Port`."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address, for error texts and logs."""

    @property
    @abstractmethod
    def guarantees(self) -> Guarantees:
        """What the link keeps; policies are checked against it."""

    @property
    def broker(self) -> bool:
        """Whether a service bus listens there, and not another role."""
        return False

    @abstractmethod
    def open(self, *, listen: bool) -> Port:
        """Open one end: the one that others come to (`listen`), or one that goes to it.

        Raises:
            LinkError: the address cannot be used.
        """

    def between(self, sender: str, receiver: str) -> Carrier | None:
        """Say how the link carries what one role says to another; None when it does not.

        Said of every pair of roles here; a link with a direction says it of some.
        """
        del sender, receiver
        return Carrier(
            repr(self), ordered=self.guarantees.ordered, answers=self.guarantees.answers, direct=not self.broker
        )
