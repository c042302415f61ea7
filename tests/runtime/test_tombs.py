"""What is remembered of conversations that are over."""

from __future__ import annotations

from msgspec import Raw

from convpolicy import Policy, Role
from convpolicy.conversation import Conversation, Envelope
from convpolicy.policy import gallery
from convpolicy.runtime.tombs import LATE, Tombs
from convpolicy.wire.frame import Acknowledged, Forget

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


def test_what_was_said_before_that_and_comes_after_it_opens_nothing():
    tombs = buried()
    for role in (BUYER, SELLER, SHIPPER):
        tombs.forget(ID, role)
    tombs.clear(0.0)
    assert tombs.answer(ID, BANK, BUYER) == Forget(BANK, [ID])
    tombs.clear(LATE - 0.1)
    assert tombs.answer(ID, BANK, BUYER) == Forget(BANK, [ID])
    tombs.clear(LATE)
    tombs.clear(2 * LATE)
    assert tombs.answer(ID, BANK, BUYER) is None


def test_the_only_other_role_may_say_it_of_a_conversation_that_was_never_here():
    tombs, others = Tombs(pair=True), Tombs()
    tombs.forget(ID, 1)
    others.forget(ID, 1)
    assert tombs.answer(ID, 0, 1) == Forget(0, [ID])
    assert others.answer(ID, 0, 1) is None, "one of several may have finished before this one has begun"


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


def test_copies_of_first_messages_open_nothing_again():
    tombs = buried()
    tombs.keep([ID], ())
    for role in (BUYER, SELLER, SHIPPER):
        tombs.forget(ID, role)
    assert tombs.answer(ID, BANK, BUYER) == Acknowledged(ID, BANK, BUYER, 0)
    tombs.clear(600.0)
    assert tombs.answer(ID, BANK, BUYER) is None


def test_conversations_that_nobody_has_heard_of_are_not_kept():
    tombs = buried()
    tombs.keep([bytes([1]) * 16], ())
    conversation = Conversation(shipping.project(Role("Bank")), bytes([1]) * 16)
    for role in (BUYER, SELLER, SHIPPER):
        conversation.peers[role].left = True
    tombs.bury(conversation, None, 0.0)
    assert len(tombs) == 1


def test_what_comes_of_a_block_after_the_end_has_come():
    stream = Policy.load(gallery.path("stream"))
    tombs = Tombs()
    tombs.bury(Conversation(stream.project(Role("Exchange")), ID), None, 0.0)
    tombs.late(Envelope(ID, 0, 1, 2, 0, 1, Raw(b"")))
    assert tombs.answer(ID, 1, 0) == Acknowledged(ID, 1, 0, 0)
    for number in (1, 2):
        tombs.late(Envelope(ID, 0, 1, number, 0, 1, Raw(b"")))
    assert tombs.answer(ID, 1, 0) == Acknowledged(ID, 1, 0, 2)


def test_what_comes_after_the_end_of_another_policy_has_not():
    tombs = buried()
    tombs.late(Envelope(ID, BUYER, BANK, 1, 0, 1, Raw(b"")))
    assert tombs.answer(ID, BANK, BUYER) == Acknowledged(ID, BANK, BUYER, 0)
