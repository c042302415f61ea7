"""Frames: one ZeroMQ frame is one MessagePack array of items, so that many messages share a socket call.

An item is an array whose first element says what it is: an `Envelope` (0), or one of the control items here.
A frame is at most `MAX_FRAME` bytes; anything that is not exactly such an array is `Malformed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from convpolicy.conversation import Envelope

__all__ = [
    "MAX_FRAME",
    "MAX_PAYLOAD",
    "VERSION",
    "Acknowledged",
    "Draining",
    "Ended",
    "Forget",
    "Framing",
    "Full",
    "Given",
    "Goodbye",
    "Hello",
    "Holds",
    "Item",
    "Malformed",
    "Move",
    "Moved",
    "Ping",
    "Plays",
    "Refused",
    "Stopped",
    "Superseded",
    "Unknown",
    "Unplayed",
    "decode",
    "encode",
]

VERSION = 1
MAX_FRAME = 64 * 1024
MAX_ITEMS = 10_000
MAX_PAYLOAD = MAX_FRAME - 256  # of one message, so that it fits into a frame with its envelope


class Malformed(ValueError):
    """The bytes are not a frame; the text says why. It never leaves the library."""


class Plays(msgspec.Struct, array_like=True, gc=False):
    """One policy that the other side plays a role in. `text` is its canonical form, to say what differs.

    `roles` are all the roles of the policy, in the order of their numbers. `most` is how many conversations the process
    takes at once, 0 any number. Where the policy has branches for roles that stop, `stops` are the numbers of those
    that may, and `wakes` are, for each role, those whose stopping is the first that it learns of a conversation.
    `invited` are the numbers of the roles that are played by invitation only, in conversations that others start.
    """

    policy: str
    role: str
    fingerprint: bytes
    text: str
    labels: list[str]
    roles: list[str]
    most: int = 0
    stops: list[int] = []
    wakes: list[list[int]] = []
    invited: list[int] = []


class Hello(msgspec.Struct, array_like=True, tag=1, gc=False):
    """The first item on a connection. `nonce` is new for every process; `answer` asks for the other's Hello.

    A service bus, which plays nothing and passes on what others say, says that it is a `bus`. `holds` is whether the
    process is in the middle of conversations that go through the other end: a bus that is new has to wait for it.
    A process with a journal says which one that is (16 bytes), and how often it was opened, `epoch`.
    """

    version: int
    nonce: bytes
    plays: list[Plays]
    answer: bool
    bus: bool = False
    holds: bool = False
    journal: bytes = b""
    epoch: int = 0

    @property
    def identity(self) -> bytes:
        """Who it is that says it: its journal outlives the process, the nonce does not."""
        return self.journal or self.nonce


class Acknowledged(msgspec.Struct, array_like=True, tag=2, gc=False):
    """`sender` has received everything from `receiver` up to `upto`; with `room`, send again what is left.

    `confirmed` is how many messages of its own `receiver` had acknowledged to it, where that seems to know of fewer.
    """

    conversation: bytes
    sender: int
    receiver: int
    upto: int
    room: bool = False
    confirmed: int = 0


class Refused(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The message `seq` from `receiver` was not allowed: it is dropped, the conversation of `sender` goes on."""

    conversation: bytes
    sender: int
    receiver: int
    seq: int
    label: str
    reason: str


class Ended(msgspec.Struct, array_like=True, tag=4, gc=False):
    """The conversation is over for `sender` before its end.

    `kind` is aborted, expired, quarantined or lost; `facts` are what the error of that name is made from.
    """

    conversation: bytes
    sender: int
    kind: str
    facts: list[str | int | float]


class Unknown(msgspec.Struct, array_like=True, tag=5, gc=False):
    """`sender` knows no such conversation: it was never opened, or the process that knew it is gone.

    `receiver` is the role that had spoken of it.
    """

    conversation: bytes
    sender: int
    receiver: int


class Forget(msgspec.Struct, array_like=True, tag=6, gc=False):
    """These conversations are finished for `sender`: everything was received, and nothing will be sent again.

    When its first messages in them were `repeated`, a copy may still be on its way, and must not open them anew.
    """

    sender: int
    conversations: list[bytes]
    repeated: bool = False


class Ping(msgspec.Struct, array_like=True, tag=7, gc=False):
    """A sign of life; with `answer` it wants one back."""

    answer: bool


class Goodbye(msgspec.Struct, array_like=True, tag=8, gc=False):
    """The other side is leaving on purpose; its conversations are over."""


class Holds(msgspec.Struct, array_like=True, tag=9, gc=False):
    """To a bus that was restarted, or is moved to: the process plays `sender` in these conversations of the policy.

    Those that have `begun` just now, by an invitation, no bus before it can have known. Those who play `roles` in them
    are on their way to it, too.
    """

    policy: bytes
    sender: int
    conversations: list[bytes]
    begun: bool = False
    roles: list[int] = []


class Draining(msgspec.Struct, array_like=True, tag=10, gc=False):
    """To a bus: the process finishes its conversations and takes no new ones."""


class Unplayed(msgspec.Struct, array_like=True, tag=11, gc=False):
    """Nobody is there to play `role` in this conversation yet; `reason` says more.

    A bus says it; and whoever has as many conversations as it takes, which is `busy`, of itself.
    """

    conversation: bytes
    role: int
    reason: str
    busy: bool = False


class Stopped(msgspec.Struct, array_like=True, tag=12, gc=False):
    """Whoever played `role` in this conversation is gone; it goes on by the policy's branches for that.

    `policy` is the fingerprint, and there only when the receiver may not know the conversation yet.
    """

    conversation: bytes
    role: int
    reason: str
    policy: bytes | None = None


class Move(msgspec.Struct, array_like=True, tag=13, gc=False):
    """`sender` would have the conversation go on through the process `to`, a nonce; with `go` it does.

    `count` is how often it was moved, this time included. A bus passes it on to whoever plays another role of it, and
    returns it to the sender with `roles`, those who play in it.
    """

    conversation: bytes
    sender: int
    count: int
    to: bytes
    go: bool
    roles: list[int] = []


class Moved(msgspec.Struct, array_like=True, tag=14, gc=False):
    """The answer to a Move of `receiver`: `sender` can follow, with `go` it has; or why not."""

    conversation: bytes
    sender: int
    receiver: int
    count: int
    go: bool
    why: str = ""


class Superseded(msgspec.Struct, array_like=True, tag=15, gc=False):
    """To a process whose journal is a copy, or was restored: another one of its name has been at `epoch` already."""

    epoch: int


class Full(msgspec.Struct, array_like=True, tag=16, gc=False):
    """To a process that has said Hello and has no place: `limit` others are connected, which is all there may be."""

    limit: int


class Given(msgspec.Struct, array_like=True, tag=17, gc=False):
    """From a bus: `role` is played by the process `to`, which has a journal; or, without it, who is it that plays it?

    It is said back with what is known: who knows of another process says that one, and who knows of none whether it has
    `heard` of anybody who plays it.
    """

    conversation: bytes
    role: int
    to: bytes
    heard: bool = False


Item = (
    Envelope
    | Hello
    | Acknowledged
    | Refused
    | Ended
    | Unknown
    | Forget
    | Ping
    | Goodbye
    | Holds
    | Draining
    | Unplayed
    | Stopped
    | Move
    | Moved
    | Superseded
    | Full
    | Given
)


T = TypeVar("T")


class Framing(Generic[T]):
    """How items of one kind, a union of tagged structs, become frames and come back."""

    def __init__(self, kind: Any) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: Callable[[bytes], list[T]] = msgspec.msgpack.Decoder(list[kind]).decode

    def encode(self, items: Sequence[T]) -> list[bytes]:
        """Return the frames that carry these items in order: one, or more when one would be too large.

        Raises:
            Malformed: a single item does not fit into a frame.
        """
        frame = self._encode(items)
        if len(frame) <= MAX_FRAME and len(items) <= MAX_ITEMS:
            return [frame]
        if len(items) == 1:
            raise Malformed(f"a message of {len(frame)} bytes does not fit into a frame of {MAX_FRAME}")
        half = len(items) // 2
        return [*self.encode(items[:half]), *self.encode(items[half:])]

    def decode(self, frame: bytes) -> list[T]:
        """Return the items of a frame.

        Raises:
            Malformed: it is too large, too deep, or not an array of items; nothing of it is used.
        """
        if len(frame) > MAX_FRAME:
            raise Malformed(f"{len(frame)} bytes are more than the {MAX_FRAME} of a frame")
        try:
            items = self._decode(frame)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
            raise Malformed(str(problem)) from problem
        if len(items) > MAX_ITEMS:
            raise Malformed(f"{len(items)} items are more than the {MAX_ITEMS} of a frame")
        return items


_conversations: Framing[Item] = Framing(Item)
encode, decode = _conversations.encode, _conversations.decode
