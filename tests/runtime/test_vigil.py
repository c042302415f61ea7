"""Conversations in which nothing moves: whoever waits in one finds out when the others have forgotten it."""

from __future__ import annotations

from typing import Any

import msgspec
from helpers import Rig, outcomes
from town import Town, begins, silent

from convpolicy import Policy, label, roles, send, seq
from convpolicy.conversation import Conversation, Envelope
from convpolicy.policy.model import Message
from convpolicy.runtime.bus.switch import GRACE, RETURN
from convpolicy.runtime.vigil import PORTION, ROUND, Vigil
from convpolicy.verify.roles.projection import project
from convpolicy.wire.frame import Forget

A, B, C = roles("A", "B", "C")
Ask, Check, Fine, Done = (label(name) for name in ("Ask", "Check", "Fine", "Done"))
THREE = Policy("Three", seq(send(A, B, Ask), send(B, C, Check), send(C, A, Fine), send(A, C, Done), send(A, B, Done)))


def watched(count: int) -> tuple[Vigil, dict[bytes, Conversation]]:
    machine = project(THREE, A)
    open_ones = {b"%016d" % number: Conversation(machine, b"%016d" % number) for number in range(count)}
    return Vigil(open_ones, 0.0), open_ones


def asked(vigil: Vigil, seconds: int) -> list[int]:
    """The seconds at which something is asked about."""
    return [second for second in range(seconds) for _ in vigil.quiet(float(second))]


def test_a_conversation_that_does_not_move_is_asked_about_ever_more_seldom():
    vigil, _ = watched(1)
    rounds = [second / ROUND for second in asked(vigil, int(40 * ROUND))]
    assert rounds == [2, 3, 5, 9, 17, 33]


def test_one_that_moves_is_not():
    vigil, open_ones = watched(1)
    (conversation,) = open_ones.values()
    for second in range(int(10 * ROUND)):
        conversation.peers[1].received += 1
        assert not list(vigil.quiet(float(second)))


def test_no_more_are_looked_at_in_a_second_than_a_portion():
    vigil, open_ones = watched(PORTION + 1)
    del open_ones[next(iter(open_ones))]  # over since the round began
    list(vigil.quiet(ROUND))
    list(vigil.quiet(ROUND + 1))
    assert len(list(vigil.quiet(3 * ROUND))) == PORTION


def test_a_seller_whose_buyer_has_forgotten_the_purchase_is_told():
    rig = Rig()
    rig.selling.reply = silent
    rig.connect()
    conversation = rig.order()
    rig.run(1.0)
    del rig.buyer.conversations[conversation.id]  # and nobody was told
    rig.run(3 * ROUND)
    assert list(outcomes(rig.selling)) == ["PeerLost"]
    assert not rig.seller.conversations


def test_a_conversation_whose_first_message_never_comes_is_given_up():
    rig = Rig()
    peer = rig.connect()
    fingerprint = rig.buyer.part.fingerprint
    fifth = Envelope(bytes(16), 0, 1, 5, 0, 0, msgspec.Raw(b"\x92\xa0\x01"), fingerprint)
    rig.buyer.peers.say(peer, fifth)
    rig.run(1.0)
    assert rig.seller.conversations
    rig.run(3 * ROUND)
    assert not rig.seller.conversations
    (error,) = rig.selling.errors
    assert "the first message of this conversation never came" in str(error)


def test_a_player_that_died_with_the_bus_is_missed():
    town = Town()
    _, b = town.player("B", silent, THREE)
    a, asking = town.player("A", silent, THREE)
    begins(asking, Ask())
    town.run(1.0)
    assert b.heard == [Ask()]
    town.kill(a)
    town.restart_bus()
    town.run(GRACE + RETURN + 3 * ROUND)
    (error,) = b.errors
    assert "A is gone: it did not come back to the service bus" in str(error)
    assert town.switch.statistics()["open"] == 0


def test_what_a_player_has_finished_is_said_for_it_when_it_has_gone(monkeypatch):
    town = Town()
    town.player("B", lambda m: [Check()] if m == Ask() else [], THREE)
    c, _ = town.player("C", lambda m: [Fine()] if m == Check() else [], THREE)
    a, asking = town.player("A", silent, THREE)
    conversation = begins(asking, Ask())
    town.run(0.1)
    say = town.switch.peers.say

    def lossy(peer: Any, item: Any) -> None:
        if type(item) is not Forget:
            say(peer, item)

    monkeypatch.setattr(town.switch.peers, "say", lossy)
    a.tick()
    a.send(conversation, conversation.allows("Done", "C"), Message("Done"))
    town.run(0.1)
    assert not c.conversations
    town.kill(c)
    monkeypatch.setattr(town.switch.peers, "say", say)
    town.run(15.0)  # the bus has noticed
    a.tick()
    a.send(conversation, conversation.allows("Done", "B"), Message("Done"))
    town.run(3 * ROUND)
    assert (asking.finishes, asking.errors) == (1, [])
