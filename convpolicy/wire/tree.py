"""What travels in a distribution tree: what is said to everybody, and the back channel of each reader.

A *stream* is what one leaf role hears on one topic. Its messages count from 1 in every *epoch*: one conversation
of the publisher, named by its id, so that a publisher that was started again is recognised. Every frame that
goes down says the number of the last message, and a frame without messages is the heartbeat: what is missing is
noticed even when nothing follows.

A frame that goes down begins with its stream's name and a zero byte, which is what subscriptions are matched
with; the rest is MessagePack, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec

from convpolicy.wire.arrays import beginning, length, split
from convpolicy.wire.frame import MAX_FRAME, Malformed

__all__ = [
    "LARGEST_SAID",
    "Again",
    "Bye",
    "Downward",
    "Entry",
    "Evicted",
    "Full",
    "Head",
    "Here",
    "Join",
    "Later",
    "Mismatch",
    "Published",
    "Replay",
    "Run",
    "Upward",
    "down",
    "heads",
    "prefix",
    "read_again",
    "read_answer",
    "read_evicted",
    "read_published",
    "read_request",
    "replayed_head",
    "replaying",
    "stream_name",
    "write",
]

LARGEST_TOPIC = 128  # bytes
LARGEST_SAID = MAX_FRAME - 1024  # of one payload, so that it fits into a frame with its stream's name


Many: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class Run(msgspec.Struct, array_like=True, gc=False):
    """Messages of one label that follow each other: its index, and a MessagePack array of their payloads."""

    label: int
    payloads: msgspec.Raw

    @classmethod
    def of(cls, label: int, payloads: Sequence[bytes | msgspec.Raw], count: int | None = None) -> Run:
        """Return a run of messages with these payloads: 1 to 65,535. Where several are in one piece, `count` says how
        many they are.
        """
        return cls(label, msgspec.Raw(b"".join((beginning(count or len(payloads)), *payloads))))

    @property
    def count(self) -> int:
        """How many messages they are; 0 when it is no run."""
        return length(self.payloads)

    @property
    def size(self) -> int:
        """How many bytes the payloads have."""
        return memoryview(self.payloads).nbytes

    def each(self) -> list[msgspec.Raw]:
        """Return the payloads."""
        return split(self.payloads)

    def cut(self, count: int) -> tuple[Run, Run]:
        """Return the first `count` messages, and the others; there must be both."""
        payloads = self.each()
        return Run.of(self.label, payloads[:count]), Run.of(self.label, payloads[count:])


class Published(msgspec.Struct, array_like=True, tag=0, gc=False):
    """So many `messages` from number `first` on, without a gap; none in a heartbeat. `last` is the newest there is.

    With `over` nothing follows `last`; `reason` says why, when the conversation did not come to its end.
    """

    epoch: bytes
    first: int
    messages: int
    runs: list[Run]
    last: int
    over: bool = False
    reason: str = ""


# ------------------------------------------------------------------------------------- from a reader to the root


class Join(msgspec.Struct, array_like=True, tag=1, gc=False):
    """`reader` wants to know where to enter the stream. The fingerprint is of the policy that it follows.

    `question` numbers what it asks; the answer repeats it, so that an answer from before a restart is recognised.
    It has missed the messages from `missed` on in `epoch`, and wants to miss as few as can be; without (0) it
    enters at the newest join point. It hears the stream for `many` players.
    """

    stream: str
    reader: bytes
    fingerprint: bytes
    question: int
    epoch: bytes = b""
    missed: int = 0
    many: Many = 1


class Again(msgspec.Struct, array_like=True, tag=2, gc=False):
    """The messages from `first` to `last` are missing: say them again."""

    stream: str
    epoch: bytes
    first: int
    last: int


class Here(msgspec.Struct, array_like=True, tag=3, gc=False):
    """`reader` is there and has everything up to `seq`; `live` once it hears the tree, `done` when it needs no more.
    It hears the stream for `many` players.
    """

    stream: str
    reader: bytes
    epoch: bytes
    seq: int
    live: bool
    done: bool
    many: Many = 1


class Bye(msgspec.Struct, array_like=True, tag=4, gc=False):
    """`reader` leaves the stream."""

    stream: str
    reader: bytes


# ------------------------------------------------------------------------------------- from the root to a reader


class Entry(msgspec.Struct, array_like=True, tag=5, gc=False):
    """Enter after message `seq`, in the state that is the leaf's entry number `point`."""

    stream: str
    question: int
    epoch: bytes
    seq: int
    point: int


class Later(msgspec.Struct, array_like=True, tag=6, gc=False):
    """There is no way to enter the stream now: ask again."""

    stream: str


class Replay(msgspec.Struct, array_like=True, tag=7, gc=False):
    """Messages that were asked for again."""

    stream: str
    published: Published


class Evicted(msgspec.Struct, array_like=True, tag=8, gc=False):
    """Messages before `first` are kept no longer."""

    stream: str
    epoch: bytes
    first: int


class Mismatch(msgspec.Struct, array_like=True, tag=9, gc=False):
    """The root runs another policy: its name, its fingerprint, and its canonical form, to say what differs."""

    stream: str
    policy: str
    fingerprint: bytes
    text: str


class Full(msgspec.Struct, array_like=True, tag=10, gc=False):
    """There is no room: the root has `limit` of them already, which are "readers", or "connections" to itself."""

    stream: str
    what: Literal["readers", "connections"]
    limit: int


Upward = Join | Again | Here | Bye
Downward = Entry | Later | Replay | Evicted | Mismatch | Full

_encoder = msgspec.msgpack.Encoder()
_published = msgspec.msgpack.Decoder(Published)
_upward = msgspec.msgpack.Decoder(Upward)
_downward = msgspec.msgpack.Decoder(Downward)


def stream_name(role: str, topic: str) -> str:
    """Return the name of what `role` hears on `topic`."""
    return f"{role}/{topic}"


def prefix(stream: str) -> bytes:
    """Return what the frames of a stream begin with. Names have no zero byte, so no stream is another's prefix."""
    return stream.encode() + b"\0"


def write(item: Upward | Downward) -> bytes:
    """Return a frame of the back channel."""
    return _encoder.encode(item)


def down(stream: str, published: Published) -> bytes:
    """Return a frame for everybody who follows the stream."""
    return prefix(stream) + _encoder.encode(published)


def read_published(frame: bytes) -> tuple[str, Published]:
    """Take apart what `down` made. Raises Malformed."""
    name, zero, rest = frame.partition(b"\0")
    if not zero:
        raise Malformed("a frame of a tree begins with the name of its stream")
    return name.decode(errors="replace"), _whole(_read(_published, rest))


def read_request(frame: bytes) -> Upward:
    """Return what a reader sent to the root. Raises Malformed."""
    request: Upward = _read(_upward, frame)
    return request


def read_answer(frame: bytes) -> Downward:
    """Return what the root sent to one reader. Raises Malformed."""
    answer: Downward = _read(_downward, frame)
    if isinstance(answer, Replay):
        _whole(answer.published)
    return answer


def _whole(published: Published) -> Published:
    """Return what was published, in which there are as many messages as it says. Raises Malformed."""
    counts = [run.count for run in published.runs]
    if sum(counts) != published.messages or 0 in counts:
        raise Malformed(f"a frame of {published.messages} messages has {sum(counts)}")
    return published


def _read(decoder: msgspec.msgpack.Decoder[Any], frame: bytes) -> Any:
    if len(frame) > MAX_FRAME:
        raise Malformed(f"{len(frame)} bytes are more than the {MAX_FRAME} of a frame")
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
        raise Malformed(str(problem)) from problem


# -------------------------------------------------------------------------------------- what a relay has to know


class Head(NamedTuple):
    """Which messages of which stream a published frame has, from `first` to `last`, and `body`: the frame as it is."""

    stream: str
    epoch: bytes
    first: int
    last: int
    body: bytes


class _Outline(msgspec.Struct, array_like=True, tag=0, gc=False):
    """`Published`, with its messages left as they are."""

    epoch: bytes
    first: int
    messages: int


class _Passed(msgspec.Struct, array_like=True, tag=7, gc=False):
    """`Replay`, with what was published left as it is."""

    stream: str
    published: msgspec.Raw


_outline = msgspec.msgpack.Decoder(_Outline)
_passed = msgspec.msgpack.Decoder(_Passed)
_again = msgspec.msgpack.Decoder(Again)
_evicted = msgspec.msgpack.Decoder(Evicted)


def heads(frame: bytes) -> Head | None:
    """Return what a frame that goes down is; None for a heartbeat, and for what is none."""
    name, _, body = frame.partition(b"\0")
    return _head(name.decode(errors="replace"), body)


def replayed_head(frame: bytes) -> Head | None:
    """Return what an answer says again; None for another answer."""
    if not _is(frame, 7):
        return None
    passed: _Passed = _read(_passed, frame)
    return _head(passed.stream, bytes(passed.published))


def _head(stream: str, body: bytes) -> Head | None:
    if not _is(body, 0):
        return None
    outline: _Outline = _read(_outline, body)
    last = outline.first + outline.messages - 1
    return Head(stream, outline.epoch, outline.first, last, body) if outline.messages > 0 else None


def replaying(head: Head) -> bytes:
    """Return an answer that says the messages of `head` again, as they were published."""
    return _encoder.encode((7, head.stream, msgspec.Raw(head.body)))


def read_again(frame: bytes) -> Again | None:
    """Return a request for missing messages; None for another request. Raises Malformed."""
    return _read(_again, frame) if _is(frame, 2) else None


def read_evicted(frame: bytes) -> Evicted | None:
    """Return the answer that messages are kept no longer; None for another one. Raises Malformed."""
    return _read(_evicted, frame) if _is(frame, 8) else None


def _is(frame: bytes, tag: int) -> bool:
    """Return whether a frame is an array of less than 16 elements, as all are, that begins with `tag`."""
    return len(frame) > 1 and frame[0] & 0xF0 == 0x90 and frame[1] == tag
