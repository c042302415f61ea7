"""Frames that are well formed and make no sense: numbers of roles, labels and messages that there are not."""

from __future__ import annotations

import msgpack
import pytest
from helpers import CHAIR, NINE, Payment, Rig, purchase, sells

from convpolicy.link.port import LISTENER

STRANGE = [0, 1, 2, 3, 7, 255, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -1, -(2**63)]
FINGERPRINT = bytes.fromhex(purchase.fingerprint)
UNKNOWN = b"u" * 16


def frames(kind: str, id_: bytes) -> list[list[object]]:
    """Every item of a kind with every strange number in every place of one."""
    shapes: dict[str, list[object]] = {
        "message": [0, id_, 0, 1, 2, 0, 1, ["9"]],
        "opening": [0, id_, 0, 1, 1, 0, 3, ["chair", 2], FINGERPRINT],
        "Acknowledged": [2, id_, 0, 1, 1, True],
        "Refused": [3, UNKNOWN, 0, 1, 1, "Order", "why"],
        "Ended": [4, UNKNOWN, 0, "lost", ["why"]],
        "Unknown": [5, UNKNOWN, 0, 1],
        "Forget": [6, 0, [UNKNOWN]],
        "Holds": [9, FINGERPRINT, 0, [id_]],
        "Unplayed": [11, UNKNOWN, 1, "why"],
    }
    item = shapes[kind]
    places = [n for n, value in enumerate(item) if n and type(value) is int]
    return [[*item[:place], number, *item[place + 1 :]] for place in places for number in STRANGE]


@pytest.mark.parametrize("known", [True, False], ids=["in a conversation", "out of the blue"])
@pytest.mark.parametrize(
    "kind",
    ["message", "opening", "Acknowledged", "Refused", "Ended", "Unknown", "Forget", "Holds", "Unplayed"],
)
def test_numbers_that_make_no_sense_disturb_nobody(kind: str, known: bool) -> None:
    rig = Rig()
    rig.connect()
    if known:
        rig.selling.reply = lambda _message: []
        id_ = rig.order().id
        rig.run(0.1)
    else:
        id_ = UNKNOWN
    for item in frames(kind, id_):
        rig.buyer._port.transmit(LISTENER, msgpack.packb([item]))
        rig.seller.turn()
    rig.run(1.0)
    before = len(rig.selling.heard)
    rig.selling.reply = sells
    rig.order()
    rig.run(1.0)
    assert rig.selling.heard[before:][:1] == [CHAIR]
    assert Payment(NINE) in rig.selling.heard
