"""What a repetition a second later would mend, too, is right without it: no time passes in these tests."""

from __future__ import annotations

import random
from typing import NamedTuple

from helpers import CHAIR, Actor, Rig, an_engine

from convpolicy import Memory, Policy, again, choice, label, loop, roles, send, seq
from convpolicy.conversation import WINDOW, Conversation, Envelope, Received, name_of
from convpolicy.link.port import Delivery
from convpolicy.runtime.engine import Engine
from convpolicy.testing.clock import ManualClock

Teller, Listener = roles("Teller", "Listener")
Word, End = label("Word", text=str), label("End")
telling = Policy(
    "Telling",
    loop("X", choice(Teller, seq(send(Teller, Listener, Word), again("X")), send(Teller, Listener, End))),
)


class Keeper(Actor):
    """A program that takes nothing until it is asked to."""

    def arrived(self, conversation: Conversation, envelope: Envelope, now: float) -> None:
        conversation.accept(envelope, now=now)


class Talk(NamedTuple):
    """A teller in the middle of a conversation, and a listener who takes what has come when a test says so."""

    teller: Engine
    listener: Engine
    conversation: Conversation

    @classmethod
    def begin(cls) -> Talk:
        link, clock, new_id = Memory(), ManualClock(1000.0), random.Random(4).randbytes
        listening, telling_ = link.open(listen=True), link.open(listen=False)
        listener, keeper = an_engine(telling, "Listener", lambda _: [], listening, clock=clock, new_id=new_id)
        keeper.__class__ = Keeper
        teller, actor = an_engine(telling, "Teller", lambda _: [], telling_, clock=clock, new_id=new_id)
        teller.peers.connect(clock())
        talk = cls(teller, listener, None)  # type: ignore[arg-type]
        talk.turns()
        conversation = teller.open()
        conversation.owner = actor
        return talk._replace(conversation=conversation)

    def turns(self) -> None:
        for _ in range(6):
            self.teller.turn()
            self.listener.turn()

    def tells(self, text: str) -> None:
        message = Word(text=text)
        self.teller.send(self.conversation, self.conversation.allows(name_of(message)), message)

    def hears(self, most: int = 1000) -> list[str]:
        """Take at most so many of the words that have come."""
        (conversation,) = self.listener.conversations.values()
        taken = [received for _ in range(most) if (received := self.listener.take(conversation)) is not None]
        return [received.payload.fields["text"] for received in taken if isinstance(received, Received)]


def test_who_has_found_no_room_is_told_at_once_when_there_is_some() -> None:
    talk = Talk.begin()
    words = [str(number) for number in range(WINDOW + 4)]
    for word in words:
        talk.tells(word)
    talk.turns()
    heard = talk.hears(4)
    talk.turns()
    assert heard + talk.hears() == words


def test_of_a_batch_that_takes_several_frames_all_go_out() -> None:
    talk = Talk.begin()
    words = [letter * 40_000 for letter in "abc"]
    for word in words:
        talk.tells(word)
    talk.turns()
    assert talk.hears() == words
    assert talk.teller.statistics()["resent"] == 0


def test_a_connection_that_is_back_is_sent_at_once_what_the_old_one_has_lost() -> None:
    rig = Rig()
    rig.connect()
    port = rig.buyer._port
    transmit, port.transmit = port.transmit, lambda *_: Delivery.SENT  # type: ignore[method-assign]
    rig.order()
    rig.turns()
    assert rig.selling.heard == []
    port.transmit = transmit  # type: ignore[method-assign]
    (buyer,) = rig.seller.peers
    rig.seller.peers.say(buyer, rig.seller._greeting(buyer, True))
    rig.turns()
    rig.turns()
    assert CHAIR in rig.selling.heard
