"""What one conversation knows of one peer role: what was sent and received, and what is still under way.

Every ordered pair of roles counts its messages from 1. What was sent is kept until it is acknowledged, and sent
again with growing pauses until then; the bytes of a payload never change on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Protocol

import msgspec

from convpolicy.machine import Lane

__all__ = ["WINDOW", "Arrival", "Envelope", "Peering", "Received", "UnderWay", "envelopes", "heads", "plain"]

# How many messages to one peer may be unacknowledged, and how many from one peer may wait to be taken.
WINDOW = 16

# When a message is retransmitted that is not acknowledged: after 1 s, and then after a pause that is drawn from 0 up to
# a bound which doubles from 2 s to 30 s.
FIRST_RESEND, LAST_RESEND = 1.0, 30.0


class Envelope(msgspec.Struct, array_like=True, tag=0, gc=False):
    """A message on its way: which conversation, from and to which role, which number, which label.

    `sender` and `receiver` are the roles' numbers, `label` is the label's index, `seq` counts from 1 for each
    ordered pair of roles, `ack` is the highest number received from the receiver without a gap.
    `payload` is the encoded message in a frame, and may be any value where no bytes are made.
    `policy` is the fingerprint, and there only while the receiver may not know the conversation yet.
    `thread` is there only over a wiring: of which conversation with one of many players this is (`wire.thread`).
    Empty, it says that nobody but who holds the conversation may be given the message.
    `rounds` is there only in blocks that may be interrupted, from the second round of one on: how often the sender had
    left each of the blocks around the message, the outermost first, an inner one counted from the last start of the
    outer.
    """

    conversation: bytes
    sender: int
    receiver: int
    seq: int
    ack: int
    label: int
    payload: msgspec.Raw
    policy: bytes | None = None
    thread: bytes | None = None
    rounds: tuple[int, ...] | None = None


class Received(msgspec.Struct, gc=False):
    """A message that the policy allows now; the machine has moved."""

    label: str
    payload: Any
    sender: str


class Arrival(Enum):
    """What became of an envelope that did not lead to a `Received`."""

    KEPT = "kept"  # it waits to be taken: early, or its role asks for it later
    DUPLICATE = "duplicate"  # seen before: only the acknowledgement is repeated
    FULL = "full"  # more than the window waits already: not acknowledged, so it will come again


class UnderWay:
    """What is unacknowledged at one process, of all conversations with it together, and the most that may be."""

    __slots__ = ("bytes", "messages", "most_bytes", "most_messages")

    def __init__(self, most_messages: int, most_bytes: int) -> None:
        self.most_messages, self.most_bytes = most_messages, most_bytes
        self.messages = self.bytes = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be said to the process before it acknowledges something."""
        return self.messages >= self.most_messages or self.bytes >= self.most_bytes


class Route(Protocol):
    """Whom the runtime sends to, as far as it is looked at here."""

    account: UnderWay | None


class Peering:
    """What one conversation knows of one peer role."""

    __slots__ = (
        "acked",
        "ahead",
        "attempts",
        "full",
        "left",
        "owes_ack",
        "received",
        "resend_at",
        "route",
        "said",
        "sent",
        "unacked",
    )

    def __init__(self) -> None:
        self.sent = self.acked = self.received = 0
        self.unacked: list[Envelope] | None = None
        self.ahead: dict[int, Envelope] | None = None
        self.owes_ack = self.full = False
        self.left = False  # whether it has said that nothing more comes from it
        self.attempts = 0
        self.resend_at = 0.0
        self.route: Any = None  # whom the runtime sends to, as `Route` says
        self.said = 0  # in which of the route's batches something was last sent; not looked at here

    @property
    def account(self) -> UnderWay | None:
        """Where what is unacknowledged counts as well: at the process that the runtime sends to."""
        return None if self.route is None else self.route.account

    def sends(self, envelope: Envelope, now: float) -> None:
        """Keep an envelope until it is acknowledged; it acknowledges on its way whatever was received."""
        self.sent = envelope.seq
        self.owes_ack = False
        if self.unacked is None:
            self.unacked = [envelope]
            self.resend_at, self.attempts = now + FIRST_RESEND, 0
        else:
            self.unacked.append(envelope)
        account = self.account
        if account is not None:
            account.messages += 1
            account.bytes += len(envelope.payload)

    def acknowledge(self, upto: int, now: float) -> int:
        """Drop what the peer has received; return how many messages. A number never sent is ignored."""
        acked, sent = self.acked, self.sent
        if not acked < upto <= sent:
            return 0
        self.acked = upto
        over = self.unacked or ()
        if upto == sent:
            self.unacked = None
        else:
            self.unacked = [envelope for envelope in over if envelope.seq > upto] or None
            over = [envelope for envelope in over if envelope.seq <= upto]
            self.resend_at, self.attempts = now + FIRST_RESEND, 0
        route = self.route
        if route is not None and route.account is not None:
            account = route.account
            account.messages -= len(over)
            for envelope in over:
                account.bytes -= len(envelope.payload)
        return upto - acked

    def leads_to(self, route: Route | None) -> None:
        """Send through `route` from now on, and count there what is unacknowledged."""
        if self.unacked is None:
            self.route = route
            return
        count, size = self.discharge()
        self.route = route
        account = None if route is None else route.account
        if account is not None:
            account.messages += count
            account.bytes += size

    def discharge(self) -> tuple[int, int]:
        """Take what is unacknowledged from the account of the process; return how many messages and bytes that is."""
        under_way = self.unacked or ()
        count, size = len(under_way), sum(len(envelope.payload) for envelope in under_way)
        if self.account is not None:
            self.account.messages -= count
            self.account.bytes -= size
        return count, size

    def in_order(self, envelope: Envelope) -> Iterator[Envelope]:
        """Take in an envelope, and yield those that have come without a gap now."""
        ahead = self.ahead or {}
        ahead[envelope.seq] = envelope
        while self.received + 1 in ahead:
            self.received += 1
            self.owes_ack = True
            yield ahead.pop(self.received)
        self.ahead = ahead or None

    def stop(self, now: float) -> int:
        """Give up what the peer has not received, because it has stopped; return how many messages those are."""
        self.ahead, self.owes_ack, self.left = None, False, True
        return self.acknowledge(self.sent, now)

    def resend(self, now: float, share: float = 1.0) -> list[Envelope]:
        """Return what must be transmitted again at `now`, with today's acknowledgement, oldest first.

        The next pause is this `share`, from 0 to 1, of the longest one that there may be now. Drawn by chance, that is
        full jitter: "Exponential Backoff And Jitter" (Brooker, AWS, 2015) compares it with other ways.
        """
        if self.unacked is None or now < self.resend_at:
            return []
        self.attempts += 1
        self.resend_at = now + share * min(LAST_RESEND, FIRST_RESEND * 2**self.attempts)
        for envelope in self.unacked:
            envelope.ack = self.received
        return list(self.unacked)

    def snapshot(self) -> list[Any]:
        """Return everything as plain values: what `restore` takes."""
        ahead = (self.ahead or {}).values()
        return [self.sent, self.acked, self.received, plain(self.unacked or ()), plain(ahead), self.owes_ack]

    def restore(self, values: list[Any]) -> None:
        """Take over what `snapshot` returned; what is unacknowledged is due at once."""
        self.sent, self.acked, self.received, unacked, ahead, self.owes_ack = values
        self.unacked = envelopes(unacked) or None
        self.ahead = {envelope.seq: envelope for envelope in envelopes(ahead)} or None


def heads(kept: Iterable[Envelope], lanes: Sequence[Lane]) -> list[Envelope]:
    """Return the first envelope of every channel: the same sender and lane are first in, first out."""
    first: dict[tuple[int, Lane], Envelope] = {}
    for envelope in kept:
        first.setdefault((envelope.sender, lanes[envelope.label]), envelope)
    return list(first.values())


def plain(kept: Iterable[Envelope]) -> list[list[Any]]:
    """Return envelopes as lists of their fields."""
    return [list(msgspec.structs.astuple(envelope)) for envelope in kept]


def envelopes(fields: Iterable[list[Any]]) -> list[Envelope]:
    """Return the envelopes that `plain` made lists of."""
    return [Envelope(*values) for values in fields]
