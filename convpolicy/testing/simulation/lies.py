"""What a lying peer says: a true frame, with one thing in it changed.

Whatever somebody can do who has the connection and does not keep the policy: something else under an old number, an
acknowledgement of what never came, another label, another role's name, another conversation, a payload of other bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec import Raw, msgpack
from msgspec.structs import replace

from convpolicy.conversation import Envelope
from convpolicy.wire.frame import Acknowledged, Item, Malformed, decode, encode

__all__ = ["altered"]

_ROLES = 4  # numbers of roles that may be claimed


def altered(frame: bytes, random: Random, kind: str = "lie") -> bytes | None:
    """Return the frame with a lie of this kind in it; None when there is nothing in it to lie about."""
    try:
        items = decode(frame)
    except Malformed:
        return None
    about = (Envelope, Acknowledged) if kind == "overstate" else (Envelope,)
    places = [place for place, item in enumerate(items) if isinstance(item, about)]
    if not places:
        return None
    place = random.choice(places)
    items[place : place + 1] = _told(items[place], random, kind)
    return encode(items)[0]


def _told(item: Item, random: Random, kind: str) -> list[Item]:
    if isinstance(item, Acknowledged):
        return [replace(item, upto=item.upto + random.randrange(1, 4))]
    assert isinstance(item, Envelope)  # noqa: S101 - it was chosen for that
    return _LIES[kind](item, random)


def _replayed(true: Envelope, random: Random) -> list[Item]:
    """Something else under the same number, or an older one, after what was said."""
    return [true, replace(true, seq=max(1, true.seq - random.randrange(3)), payload=_payload(random))]


def _overstated(true: Envelope, random: Random) -> list[Item]:
    return [replace(true, ack=true.ack + random.randrange(1, 4))]


def _violated(true: Envelope, random: Random) -> list[Item]:
    return [replace(true, label=random.choice([n for n in range(true.label + 3) if n != true.label]))]


def _impersonated(true: Envelope, random: Random) -> list[Item]:
    return [replace(true, sender=random.choice([n for n in range(_ROLES) if n != true.sender]))]


def _any(true: Envelope, random: Random) -> list[Item]:
    match random.randrange(7):
        case 0:
            return [replace(true, seq=true.seq + random.randrange(1, 40))]
        case 1:
            return [replace(true, conversation=random.randbytes(16))]
        case 2:
            return [replace(true, payload=_payload(random))]
        case _:
            return _LIES[random.choice(("replay", "overstate", "violate", "impersonate"))](true, random)


def _payload(random: Random) -> Raw:
    return Raw(msgpack.encode([random.random()] * 3))


_LIES: dict[str, Callable[[Envelope, Random], list[Item]]] = {
    "lie": _any,
    "replay": _replayed,
    "overstate": _overstated,
    "violate": _violated,
    "impersonate": _impersonated,
}
