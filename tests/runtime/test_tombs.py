"""What is remembered of conversations that are over."""

from __future__ import annotations

from convpolicy import Policy, Role
from convpolicy.conversation import Conversation
from convpolicy.policy import gallery
from convpolicy.runtime.tombs import Tombs
from convpolicy.wire.frame import Acknowledged

shipping = Policy.load(gallery.path("shipping"))
BUYER, SELLER, SHIPPER, BANK = range(4)
ID = bytes(16)


def buried() -> Tombs:
    """The bank has ended well, and has heard of nobody that nothing more comes."""
    tombs = Tombs()
    tombs.bury(Conversation(shipping.project(Role("Bank")), ID), None, 0.0)
    return tombs


def test_a_conversation_is_forgotten_when_every_other_role_has_nothing_more_to_say():
    tombs = buried()
    for role in (BUYER, SELLER):
        tombs.forget(ID, role)
        assert tombs.answer(ID, BANK, BUYER) == Acknowledged(ID, BANK, BUYER, 0)
    tombs.forget(ID, SHIPPER)
    assert len(tombs) == 0


def test_a_role_that_says_so_again_does_not_say_it_for_another():
    tombs = buried()
    for _ in range(3):
        tombs.forget(ID, BUYER)
    assert tombs.answer(ID, BANK, SELLER) == Acknowledged(ID, BANK, SELLER, 0)


def test_nobody_says_it_who_has_no_role():
    tombs = buried()
    for nobody in (BANK, 99, -1):
        tombs.forget(ID, nobody)
    assert len(tombs) == 1
