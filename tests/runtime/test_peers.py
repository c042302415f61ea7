"""Who is at the other ends of a port: connections that break while something is being said."""

from __future__ import annotations

from helpers import Rig

from convpolicy.link.port import LISTENER
from convpolicy.wire.frame import Hello, decode, encode


def test_whoever_comes_over_two_connections_in_one_turn_is_answered_over_the_second():
    rig = Rig()
    hello = encode([rig.buyer.part.hello(bytes(16), answer=True)])[0]
    one, two = (rig.link.open(listen=False) for _ in range(2))
    one.transmit(LISTENER, hello)
    two.transmit(LISTENER, hello)
    rig.seller.turn()
    answers = [item for _, frame in two.drain(10) for item in decode(frame)]
    assert [type(item) for item in answers] == [Hello, Hello]
    assert one.drain(10) == []
