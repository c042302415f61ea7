"""Who is at the other ends of a port: connections that break while something is being said."""

from __future__ import annotations

from collections.abc import Callable

from helpers import CHAIR, Order, Rig

from convpolicy.link.port import LISTENER, Delivery
from convpolicy.link.room import Room
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


def unread(queue: int) -> tuple[Rig, Callable[[], None]]:
    """Two ends of which the transport takes nothing that the buyer says, and what makes it take everything again."""
    rig = Rig()
    rig.connect()
    port = rig.buyer._port
    port.room = Room(queue=queue)
    transmit, port.transmit = port.transmit, lambda *_: Delivery.BUSY  # type: ignore[method-assign]

    def takes() -> None:
        port.transmit = transmit  # type: ignore[method-assign]
        rig.buyer.turn()
        rig.turns()

    return rig, takes


def orders(rig: Rig) -> list[object]:
    """What the seller has heard of that opens a conversation."""
    return [message for message in rig.selling.heard if isinstance(message, Order)]


def test_small_frames_wait_for_the_transport_up_to_the_bytes_of_the_queue() -> None:
    rig, takes = unread(queue=2)
    for _ in range(20):
        rig.order()
        rig.buyer.turn()
    takes()
    assert orders(rig) == 20 * [CHAIR]
    assert rig.buyer.statistics()["resent"] == 0


def test_what_is_more_than_the_queue_has_is_given_up_and_comes_again() -> None:
    rig, takes = unread(queue=1)
    large = Order("x" * 40_000, 1)
    for _ in range(3):
        conversation = rig.buyer.open()
        conversation.owner = rig.buying.welcome(conversation)
        rig.buying.say(conversation, large)
        rig.buyer.turn()
    takes()
    assert orders(rig) == 2 * [large], "the second filled the queue"
    rig.run(3.0)
    assert orders(rig) == 3 * [large]
