"""What is owed to a peer is said: with a message that has not left yet, or by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from helpers import CHAIR, Buyer, Invoice, Payment, Seller, purchase

from convpolicy.conversation import Conversation
from convpolicy.runtime.peers.delivery import ACK_AFTER, Delivery
from convpolicy.wire.frame import Acknowledged

ID = bytes(16)
BUYER, SELLER = 0, 1


def test_an_acknowledgement_does_not_go_with_a_message_that_has_left() -> None:
    said: list[object] = []
    peers: Any = SimpleNamespace(say=lambda _peer, item: said.append(item))
    selling, buying = (Conversation(purchase.project(role), ID) for role in (Seller, Buyer))
    peering = selling.peers[BUYER]
    peering.route = SimpleNamespace(number=1, batch=[], account=None)
    selling.receive(buying.send(CHAIR))
    invoice = selling.send(Invoice(9))  # type: ignore[arg-type]
    peering.said, peering.route.number = 1, 2  # its batch has left, and the next one is empty
    buying.receive(invoice)
    payment = buying.send(Payment(9))  # type: ignore[arg-type]
    payment.ack = 0  # said before the Invoice came, as far as the Seller knows
    selling.receive(payment)
    delivery = Delivery(peers, {ID: selling}.get, bytes)
    delivery.received(selling)
    delivery.acknowledge(0.0)
    delivery.acknowledge(ACK_AFTER)
    assert said == [Acknowledged(ID, SELLER, BUYER, 2)]
