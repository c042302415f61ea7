"""What a lying peer says: a true frame, with one thing in it changed.

Another label or number, another conversation, a payload of other bytes, another sender: whatever somebody can do
who has the connection and does not keep the policy.
"""

from __future__ import annotations

from random import Random

import msgspec

from convpolicy.conversation import Envelope
from convpolicy.wire.frame import Malformed, decode, encode

__all__ = ["altered"]


def altered(frame: bytes, random: Random) -> bytes | None:
    """Return the frame with something changed in one of its messages; None when it has none."""
    try:
        items = decode(frame)
    except Malformed:
        return None
    places = [place for place, item in enumerate(items) if type(item) is Envelope]
    if not places:
        return None
    place = random.choice(places)
    envelope = items[place]
    assert isinstance(envelope, Envelope)  # noqa: S101 - it was chosen for that
    items[place] = _altered(envelope, random)
    return encode(items)[0]


def _altered(true: Envelope, random: Random) -> Envelope:
    match random.randrange(6):
        case 0:
            return msgspec.structs.replace(true, label=random.randrange(true.label + 3))
        case 1:
            return msgspec.structs.replace(true, seq=max(1, true.seq - random.randrange(1, 3)))
        case 2:
            return msgspec.structs.replace(true, seq=true.seq + random.randrange(1, 40))
        case 3:
            return msgspec.structs.replace(true, conversation=random.randbytes(16))
        case 4:
            return msgspec.structs.replace(true, payload=msgspec.Raw(msgspec.msgpack.encode([random.random()] * 3)))
        case _:
            return msgspec.structs.replace(true, sender=random.randrange(4))
