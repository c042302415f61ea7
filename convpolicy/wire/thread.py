"""What says of a message to which of many conversations it belongs, and what a tree says besides a message.

A *thread* is the conversation of one leaf of a tree with everybody else. Its id begins as that of the *trunk* does,
the conversation of those who talk before the tree forks; the other eight bytes are the leaf's. What passes through a
stage of a pipeline travels in a conversation of its own, a *leg*; the header of its messages names the thread, so
that whoever collects them knows.

`heard` is how far the trunk was when the leaf said it: for each role of the trunk that forks, in the policy's
order, how many of its messages the root had taken; for the root, how many it had published.
"""

from __future__ import annotations

import hashlib

import msgspec

from convpolicy.wire.frame import Malformed

__all__ = ["HELD", "Published", "Thread", "below", "leg_id", "published", "read_published", "read_thread", "trunk_of"]

HELD = b""  # in the place of a header: only for who holds the conversation


class Thread(msgspec.Struct, array_like=True, gc=False):
    """The header: the thread's id, the leg's key (empty outside of legs), and how far the trunk was."""

    id: bytes
    leg: bytes
    heard: list[int]

    def packed(self) -> bytes:
        """Return the bytes that travel."""
        return _encoder.encode(self)


class Published(msgspec.Struct, array_like=True, gc=False):
    """The payload of what a tree says: how far the trunk was, and the message."""

    heard: list[int]
    payload: msgspec.Raw


_encoder = msgspec.msgpack.Encoder()
_threads = msgspec.msgpack.Decoder(Thread)
_published = msgspec.msgpack.Decoder(Published)


def trunk_of(id: bytes) -> bytes:  # noqa: A002
    """Return what a thread's id has in common with its trunk's."""
    return id[:8]


def below(parent: bytes, role: int, seq: int) -> bytes:
    """Return the key of the leg that message `seq` to a stage is, said in the thread or the leg `parent`."""
    return hashlib.blake2b(parent + bytes([role]) + seq.to_bytes(8, "big"), digest_size=8).digest()


def leg_id(thread: bytes, key: bytes, attempt: int) -> bytes:
    """Return the id of the conversation in which a leg is tried for the n-th time."""
    return hashlib.blake2b(thread + key + attempt.to_bytes(2, "big"), digest_size=16).digest()


def read_thread(header: bytes) -> Thread:
    """Return what a header says. Raises Malformed."""
    try:
        return _threads.decode(header)
    except (msgspec.MsgspecError, RecursionError) as problem:
        raise Malformed(str(problem)) from problem


def published(heard: list[int], payload: msgspec.Raw) -> bytes:
    """Return the payload of what a tree says."""
    return _encoder.encode(Published(heard, payload))


def read_published(payload: bytes) -> Published:
    """Take apart what `published` made. Raises Malformed."""
    try:
        return _published.decode(payload)
    except (msgspec.MsgspecError, RecursionError) as problem:
        raise Malformed(str(problem)) from problem
