"""Two engines on a link in memory; time moves only when a test moves it."""

from __future__ import annotations

import itertools
from typing import Never

import msgpack
import msgspec
import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Rig, Seller, Shipment, buys, outcomes, purchase
from hypothesis import given
from hypothesis import strategies as st

from convpolicy import (
    Aborted,
    Expired,
    Faults,
    LocalViolation,
    Memory,
    PayloadError,
    PeerLost,
    Policy,
    PolicyMismatch,
    Quarantined,
    Role,
    send,
    seq,
)
from convpolicy.conversation import Conversation, Envelope
from convpolicy.link.port import LISTENER, Delivery
from convpolicy.wire import frame
from convpolicy.wire.frame import Acknowledged, Ended, Goodbye, Hello, Item, Ping, Refused, Unknown


def test_a_purchase_is_held_and_both_sides_put_it_away() -> None:
    rig = Rig()
    rig.connect()
    conversation = rig.order()
    rig.run(0.1)
    assert rig.selling.heard == [CHAIR, Payment(NINE)]
    assert rig.buying.heard == [Invoice(NINE), Shipment("1Z")]
    assert conversation.done
    assert (rig.buying.finishes, rig.selling.finishes) == (1, 1)
    assert not rig.buyer.conversations
    assert not rig.seller.conversations
    rig.run(2.5)
    assert len(rig.buyer._tombs) == len(rig.seller._tombs) == 0, "each said that it has nothing more to send"


def test_many_messages_share_a_frame() -> None:
    rig = Rig()
    rig.connect()
    before = rig.seller.statistics()["frames"]
    for _ in range(100):
        rig.order()
    rig.run(0.1)
    assert len(rig.selling.heard) == 200
    assert rig.seller.statistics()["frames"] - before < 10


def test_a_message_larger_than_a_frame_is_refused_and_changes_nothing() -> None:
    rig = Rig()
    rig.connect()
    conversation = rig.buyer.open()
    conversation.owner = rig.buying
    with pytest.raises(PayloadError, match="Order does not fit .* 70007 bytes are more than the 65280 of a message"):
        rig.buying.say(conversation, Order("x" * 70_000, 1))
    rig.buying.say(conversation, Order("x" * 65_000, 1))
    rig.run(0.1)
    assert rig.selling.heard[0] == Order("x" * 65_000, 1)


def test_an_owner_that_waits_long_has_the_other_side_asked() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    conversation = rig.order()
    rig.run(0.1)
    rig.seller.conversations.clear()
    rig.buyer.waiting[conversation] = rig.clock.now
    rig.run(4.0)
    assert rig.buying.errors == []
    rig.run(3.0)
    assert "it does not know this conversation any more" in str(rig.buying.errors[0])


def test_a_message_that_nothing_answers_is_acknowledged_after_ten_milliseconds() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    conversation = rig.order()
    rig.turns()
    assert conversation.peers[1].unacked is not None
    rig.clock.advance(0.011)
    rig.turns()
    assert conversation.peers[1].unacked is None


@given(
    st.builds(
        Faults,
        drop=st.floats(0, 0.3),
        duplicate=st.floats(0, 0.3),
        reorder=st.floats(0, 0.3),
        seed=st.integers(0, 2**32),
    )
)
def test_whatever_the_network_loses_repeats_or_reorders_every_purchase_is_held_once(faults: Faults) -> None:
    rig = Rig(Memory(faults=faults), lost_after=1e9)
    while not any(peer.hello for peer in rig.buyer.peers):
        rig.connect()
    for _ in range(20):
        rig.order()
    rig.run(200.0)
    assert sorted(map(str, rig.selling.heard)) == sorted(map(str, [CHAIR, Payment(NINE)] * 20))
    assert sorted(map(str, rig.buying.heard)) == sorted(map(str, [Invoice(NINE), Shipment("1Z")] * 20))
    assert not rig.buyer.conversations
    assert not rig.seller.conversations
    assert rig.buying.errors == rig.selling.errors == []


def test_a_lost_last_acknowledgement_is_answered_from_memory_and_nothing_is_done_twice() -> None:
    rig = Rig()
    rig.connect()
    conversation = rig.order()
    port = rig.seller._port
    transmit = port.transmit
    frames = itertools.count()
    # The seller's first frame is its reply; everything after it, the last acknowledgement with it, is lost.
    port.transmit = lambda address, bytes_: transmit(address, bytes_) if next(frames) == 0 else Delivery.SENT  # type: ignore[method-assign]
    rig.run(0.5)
    assert rig.selling.heard == [CHAIR, Payment(NINE)]
    assert conversation.peers[1].unacked is not None
    port.transmit = transmit  # type: ignore[method-assign]
    rig.run(3.0)
    assert conversation.done
    assert rig.selling.heard == [CHAIR, Payment(NINE)]
    assert rig.buying.errors == []


# --------------------------------------------------------------------------------------- processes that go


def test_a_seller_that_was_restarted_tells_its_buyers_that_their_conversations_are_gone() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    rig.order()
    rig.run(0.1)
    rig.restart_seller()
    assert rig.buying.errors == []
    rig.run(2.5)
    (error,) = rig.buying.errors
    assert str(error) == (
        "Seller is gone: it was restarted\n"
        "  Its side of this conversation no longer exists. Start a new conversation; Seller may have acted on "
        "what it had received."
    )
    assert not rig.buyer.conversations
    rig.order()
    rig.run(0.5)
    assert rig.selling.heard == [CHAIR, Payment(NINE)], "a new conversation with the new process is held"


def test_a_buyer_that_was_restarted_leaves_nothing_behind_at_the_seller() -> None:
    rig = Rig(lost_after=5.0)
    rig.connect()
    rig.selling.reply = lambda _message: []
    rig.order()
    rig.run(0.1)
    assert len(rig.seller.conversations) == 1
    rig.buyer._port.close()
    rig.buyer._port.drain = lambda _limit: []  # type: ignore[method-assign]
    for _ in range(30):
        rig.clock.advance(0.25)
        rig.seller.turn()
    assert not rig.seller.conversations
    assert isinstance(rig.selling.errors[0], PeerLost)
    assert "nothing was heard from it for 5 s" in str(rig.selling.errors[0])


def test_a_silence_shorter_than_the_limit_loses_nothing() -> None:
    rig = Rig(lost_after=30.0)
    rig.connect()
    port = rig.seller._port
    drain, port.drain = port.drain, lambda _limit: []  # type: ignore[method-assign]
    rig.order()
    rig.run(20.0)
    port.drain = drain  # type: ignore[method-assign]
    rig.run(40.0)
    assert rig.selling.heard == [CHAIR, Payment(NINE)]
    assert rig.buying.errors == []


def test_a_connection_that_brings_nothing_is_made_anew_every_few_seconds() -> None:
    rig = Rig(lost_after=30.0)
    rig.connect()
    renewed: list[float] = []
    rig.buyer._port.renew = lambda _address: renewed.append(rig.clock.now)  # type: ignore[method-assign]
    rig.run(10.0)
    assert renewed == [], "pings are answered"
    start = rig.clock.now
    port = rig.seller._port
    drain, port.drain = port.drain, lambda _limit: []  # type: ignore[method-assign]
    rig.run(10.0)
    assert [4 <= at - start <= 5.5 for at in renewed[:1]] == [True]
    assert [round(after - before) for before, after in itertools.pairwise(renewed)] == [4]
    port.drain = drain  # type: ignore[method-assign]
    rig.run(10.0)
    assert len(renewed) == 2


def test_a_process_that_leaves_ends_its_conversations_at_once() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    rig.order()
    rig.run(0.1)
    rig.seller.peers.leave()
    rig.turns()
    assert list(outcomes(rig.buying)) == ["PeerLost"]


def test_what_becomes_of_a_process_concerns_its_own_conversations_alone() -> None:
    rig = Rig()
    rig.selling.reply = lambda _message: []
    rig.connect()
    leaving, lost = rig.buyer, rig.order()
    rig.turns()
    rig.buyer, rig.buying = rig._engine(purchase, "Buyer", buys, listen=False)
    rig.connect()
    kept = rig.order()
    rig.turns()
    assert [[c.id for c in peer.conversations] for peer in rig.seller.peers] == [[lost.id], [kept.id]]
    leaving.peers.leave()
    rig.turns()
    assert list(rig.seller.conversations) == [kept.id]
    (peer,) = rig.seller.peers
    assert [c.id for c in peer.conversations] == [kept.id]


class Unwalked(dict[bytes, Conversation]):
    """Conversations that can be looked up, and not walked over."""

    def values(self) -> Never:  # type: ignore[override]
        raise AssertionError("what becomes of one process costs as much as there are conversations")

    __iter__ = items = keys = values  # type: ignore[assignment]


def test_nothing_that_a_process_does_makes_the_others_conversations_be_walked_over() -> None:
    rig = Rig()
    rig.selling.reply = lambda _message: []
    rig.connect()
    rig.order()
    rig.turns()
    rig.seller.conversations = Unwalked(rig.seller.conversations)
    (peer,) = rig.seller.peers
    nonce, rig.clock.now = peer.hello.nonce if peer.hello else b"", rig.clock.now + 1.0
    for known in (nonce, b"another"):  # it comes back on a new connection, and another one comes
        port = rig.link.open(listen=False)
        port.transmit(LISTENER, frame.encode([rig.buyer.part.hello(known, answer=True)])[0])
        rig.seller.turn()
    port.transmit(LISTENER, frame.encode([Goodbye()])[0])
    rig.seller.turn()
    assert list(rig.seller.peers) == [peer]
    assert len(peer.conversations) == 1
    with pytest.raises(AssertionError, match="as there are conversations"):
        list(rig.seller.conversations)


def test_what_was_queued_for_a_process_goes_out_when_it_is_back_on_a_new_connection() -> None:
    rig = Rig()
    rig.connect()
    (peer,) = rig.seller.peers
    rig.seller.peers.say(peer, Ping(answer=False))
    port = rig.link.open(listen=False)
    hello = rig.buyer.part.hello(peer.hello.nonce if peer.hello else b"", answer=True)
    port.transmit(LISTENER, frame.encode([hello])[0])
    rig.seller.turn()
    said = [item for _, arrived in port.drain(10) for item in frame.decode(arrived)]
    assert [type(item) for item in said] == [Ping, Hello]


@pytest.mark.parametrize("ends", [True, False])
def test_a_conversation_that_is_over_goes_through_no_process_any_more(ends: bool) -> None:
    rig = Rig()
    seller = rig.connect()
    if not ends:
        rig.selling.reply = lambda _message: []
    conversation = rig.order()
    assert list(seller.conversations) == [conversation]
    rig.run(0.1)
    if not ends:
        rig.buyer.fail(conversation, Aborted("changed my mind", by="Buyer"), tell=True)
    rig.run(3.0)
    assert not any(peer.conversations for engine in rig.engines for peer in engine.peers)


def test_what_came_from_a_process_that_has_left_can_still_be_taken() -> None:
    rig = Rig()
    rig.connect()
    rig.buying.arrived = lambda conversation, envelope, now: conversation.accept(envelope, now=now)  # type: ignore[method-assign]
    conversation = rig.order()
    rig.run(0.1)
    rig.seller.peers.leave()
    rig.turns()
    assert rig.buying.errors == []
    assert conversation.possible() == ("Invoice", "Shipment")
    assert "it has left" in str(rig.buyer.doomed[conversation])


def test_a_conversation_aborted_here_is_aborted_there() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    conversation = rig.order()
    rig.run(0.1)
    rig.buyer.fail(conversation, Aborted("changed my mind", by="Buyer"), tell=True)
    rig.turns()
    (error,) = rig.selling.errors
    assert isinstance(error, Aborted)
    assert (error.reason, error.by) == ("changed my mind", "Buyer")
    assert str(error) == "Buyer aborted the conversation: changed my mind\n  Start a new conversation."
    assert error.conversation == conversation.id.hex()


def test_a_message_that_is_late_for_a_failed_conversation_gets_the_reason_again() -> None:
    rig = Rig()
    peer = rig.connect()
    rig.selling.reply = lambda _message: []
    conversation = rig.order()
    rig.run(0.1)
    (at_seller,) = rig.seller.conversations.values()
    rig.seller.fail(at_seller, Aborted("closed", by="Seller"), tell=False)
    rig.buyer.probe(conversation)
    assert peer.batch
    rig.turns()
    (error,) = rig.buying.errors
    assert isinstance(error, Aborted)
    assert error.reason == "closed"


def test_a_conversation_that_the_other_side_never_heard_of_is_lost() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    conversation = rig.order()
    rig.run(0.1)
    rig.seller.conversations.clear()
    rig.buyer.probe(conversation)
    rig.turns()
    assert "it does not know this conversation any more" in str(rig.buying.errors[0])


def test_an_overdue_message_expires_the_conversation_at_both_sides() -> None:
    policy = Policy(
        "Prompt", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment, within=5))
    )
    rig = Rig(policy=policy)
    rig.connect()
    rig.buying.reply = lambda _message: []
    rig.selling.reply = lambda _message: [Invoice(NINE)]
    rig.order()
    rig.run(4.5)
    assert rig.buying.errors == rig.selling.errors == []
    rig.run(1.5)
    for actor in (rig.buying, rig.selling):
        (error,) = actor.errors
        assert isinstance(error, Expired)
        assert (error.role, error.label, error.within) == ("Buyer", "Payment", 5.0)


def test_what_the_port_does_not_take_now_goes_out_later() -> None:
    rig = Rig()
    rig.connect()
    port = rig.buyer._port
    transmit, port.transmit = port.transmit, lambda *_: Delivery.BUSY  # type: ignore[method-assign]
    rig.order()
    rig.turns()
    assert rig.selling.heard == []
    port.transmit = transmit  # type: ignore[method-assign]
    rig.turns()
    rig.turns()
    assert CHAIR in rig.selling.heard
    assert rig.buyer.statistics()["resent"] == 0


# --------------------------------------------------------------------------------- peers that do not keep to it


class Stranger:
    """A process that speaks frames by hand."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.port = rig.link.open(listen=False)

    def says(self, *items: Item) -> list[Item]:
        for one in frame.encode(items):
            self.port.transmit(LISTENER, one)
        self.rig.turns()
        return self.hears()

    def hears(self) -> list[Item]:
        return [item for _, one in self.port.drain(100) for item in frame.decode(one)]

    def hello(self) -> Hello:
        hello = self.rig.buyer.part.hello(b"stranger" * 2, answer=True)
        (answer,) = self.says(hello)
        assert isinstance(answer, Hello)
        return answer


def envelope(label: str, seq: int, payload: object, *, id: bytes = b"c" * 16, rig: Rig) -> Envelope:
    part = rig.seller.part
    index = next(i for i, s in enumerate(part.machine.symbols) if s.label == label)
    raw = msgspec.Raw(msgpack.packb(payload))
    return Envelope(id, 0, 1, seq, 0, index, raw, part.fingerprint)


def test_who_says_no_hello_is_asked_for_it_and_not_heard() -> None:
    rig = Rig()
    stranger = Stranger(rig)
    (answer,) = stranger.says(envelope("Order", 1, ["chair", 2], rig=rig))
    assert isinstance(answer, Hello)
    assert answer.answer
    assert rig.selling.heard == []


def test_a_message_out_of_turn_is_refused_three_times_and_then_the_conversation_is_quarantined() -> None:
    rig = Rig()
    rig.connect()
    stranger = Stranger(rig)
    stranger.hello()
    stranger.says(envelope("Order", 1, ["chair", 2], rig=rig))
    for seq_ in (2, 3, 4):
        answers = stranger.says(envelope("Order", seq_, ["chair", 2], rig=rig))
        refused = next(item for item in answers if isinstance(item, Refused))
        assert (refused.seq, refused.label) == (seq_, "Order")
        assert refused.reason == "Buyer sent Order, which the policy does not allow now"
    assert isinstance(answers[-1], Ended)
    assert answers[-1].kind == "quarantined"
    (error,) = rig.selling.errors
    assert isinstance(error, Quarantined)
    assert str(error) == (
        "the conversation is quarantined after 3 violations by Buyer; the last one: Buyer sent Order, which the "
        "policy does not allow now\n  Other conversations go on. Fix Buyer, then start a new conversation."
    )
    assert rig.selling.heard == [CHAIR], "the application never saw what was refused"
    rig.order()
    rig.run(0.1)
    assert rig.selling.heard == [CHAIR, CHAIR, Payment(NINE)], "other conversations go on"


def test_what_a_conversation_was_quarantined_for_is_kept_with_what_was_allowed() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    stranger = Stranger(rig)
    stranger.hello()
    stranger.says(envelope("Order", 1, ["chair", 2], rig=rig))
    for number, order in ((2, ["chair", 2]), (3, ["chair"]), (4, ["table", 1])):
        stranger.says(envelope("Order", number, order, rig=rig))
    (aside,) = rig.seller.quarantine.all()
    assert (aside.policy, aside.role, aside.why, aside.held) == (
        "Purchase",
        "Seller",
        "Buyer broke the policy 3 times",
        False,
    )
    assert [(each.label, each.sender) for each in aside.seen] == [("Order", "Buyer")] * 3
    assert aside.seen[0].message == repr(CHAIR)
    assert aside.seen[1].message == repr(msgpack.packb(["chair"])), "bytes that are no Order"
    assert {each.state for each in aside.seen} == {"owes Shipment and Invoice"}
    assert "Buyer must follow the policy" in aside.seen[0].error
    assert str(aside).startswith(f"Seller of Purchase, conversation {aside.conversation}, over: Buyer broke the policy")


def test_a_payload_that_does_not_fit_is_refused_by_its_field_and_never_reaches_the_application() -> None:
    rig = Rig()
    stranger = Stranger(rig)
    stranger.hello()
    answers = stranger.says(envelope("Order", 1, ["chair", "two"], rig=rig))
    refused = next(item for item in answers if isinstance(item, Refused))
    assert refused.reason == "Order does not fit its declaration at `$.quantity`: Expected `int`, got `str`"
    assert rig.selling.heard == []
    stranger.says(envelope("Order", 2, ["chair", 2], rig=rig))
    assert rig.selling.heard == [CHAIR], "what was refused is over, and what comes after it is heard"


CONDITIONED = Policy(
    "Conditioned",
    seq(send(Buyer, Seller, Order, where="quantity > 0"), send(Seller, Buyer, Invoice, where="amount > 0")),
)


def test_a_message_with_values_that_are_not_allowed_does_not_leave() -> None:
    rig = Rig(policy=CONDITIONED)
    rig.connect()
    conversation = rig.buyer.open()
    conversation.owner = rig.buying
    with pytest.raises(LocalViolation, match="`quantity > 0` is false with quantity = 0"):
        rig.buying.say(conversation, Order("chair", 0))
    rig.run(0.1)
    assert rig.selling.heard == []
    rig.buying.say(conversation, CHAIR)
    rig.selling.reply = lambda _message: []
    rig.run(0.1)
    assert rig.selling.heard == [CHAIR]


def test_a_message_with_values_that_are_not_allowed_is_refused_and_never_reaches_the_application() -> None:
    rig = Rig(policy=CONDITIONED)
    stranger = Stranger(rig)
    stranger.hello()
    answers = stranger.says(envelope("Order", 1, ["chair", -1], rig=rig))
    refused = next(item for item in answers if isinstance(item, Refused))
    assert refused.reason == (
        "Buyer sent Order with values that the policy does not allow: `quantity > 0` is false with quantity = -1"
    )
    assert rig.selling.heard == []


def test_a_foreign_conversation_is_answered_like_an_unknown_one() -> None:
    rig = Rig()
    rig.connect()
    rig.selling.reply = lambda _message: []
    conversation = rig.order()
    rig.run(0.1)
    stranger = Stranger(rig)
    stranger.hello()
    foreign = stranger.says(envelope("Payment", 2, ["9"], id=conversation.id, rig=rig))
    bare = envelope("Payment", 2, ["9"], id=b"u" * 16, rig=rig)
    bare.policy = None
    unknown = stranger.says(bare)
    assert foreign == [Unknown(conversation.id, 1, 0)]
    assert unknown == [Unknown(b"u" * 16, 1, 0)]
    assert rig.selling.heard == [CHAIR]


@pytest.mark.parametrize(
    ("sender", "receiver", "label"), [(7, 1, 0), (-1, 1, 0), (1, 1, 0), (0, 0, 0), (0, 9, 0), (0, 1, -5), (0, 1, 2**60)]
)
def test_numbers_that_mean_nothing_do_no_harm(sender: int, receiver: int, label: int) -> None:
    rig = Rig()
    stranger = Stranger(rig)
    stranger.hello()
    one = envelope("Order", 1, ["chair", 2], rig=rig)
    one.sender, one.receiver, one.label = sender, receiver, label
    assert stranger.says(one)
    stranger.says(Acknowledged(b"c" * 16, sender, receiver, 2**60))
    assert rig.selling.heard == []


def test_an_opening_under_another_policy_is_ended_with_the_reason() -> None:
    rig = Rig()
    stranger = Stranger(rig)
    stranger.hello()
    other = envelope("Order", 1, ["chair", 2], rig=rig)
    other.policy = b"x" * 32
    (answer,) = stranger.says(other)
    assert isinstance(answer, Ended)
    assert answer.facts == ["it plays another version of Purchase"]


def test_malformed_frames_are_counted_and_dropped() -> None:
    rig = Rig()
    stranger = Stranger(rig)
    stranger.port.transmit(LISTENER, b"\xc1 nonsense")
    rig.turns()
    assert rig.seller.statistics()["malformed"] == 1
    stranger.hello()


def test_a_ping_is_answered() -> None:
    rig = Rig()
    stranger = Stranger(rig)
    stranger.hello()
    assert stranger.says(Ping(answer=True)) == [Ping(answer=False)]


# ----------------------------------------------------------------------------------------------- who may meet


def test_another_version_of_the_policy_is_found_with_what_differs() -> None:
    other = Policy("Purchase", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)))
    rig = Rig(sold=other)
    peer = rig.connect()
    assert peer.hello is not None
    problem = rig.buyer.part.mismatch(peer.hello, "memory")
    assert isinstance(problem, PolicyMismatch)
    assert (problem.ours, problem.theirs) == (purchase.fingerprint, other.fingerprint)
    assert str(problem) == (
        f"the peer runs another Purchase: ours is {purchase.fingerprint[:12]}, theirs is {other.fingerprint[:12]}\n"
        "  after `Order(sku: str, quantity: int))` ours has `(par (Seller -> Buyer : Shipment(tracking: str)) (seq`, "
        "theirs has nothing\n"
        "  Give both sides the same policy file."
    )


def test_two_buyers_have_nothing_to_say_to_each_other() -> None:
    rig = Rig()
    problem = rig.buyer.part.mismatch(rig.buyer.part.hello(b"n" * 16, answer=False), "tcp://here:1")
    assert str(problem) == (
        "the process at tcp://here:1 plays Buyer of Purchase too: there is nobody to talk to.\n"
        "  Connect to a process that plays another role."
    )


def test_a_process_that_plays_something_else_is_named() -> None:
    rig = Rig()
    A, B = Role("A"), Role("B")
    other = Rig(policy=Policy("Purchase", seq(send(Buyer, Seller, Order)))).buyer.part.hello(b"n" * 16, answer=False)
    other.plays[0].policy, other.plays[0].role = "Lending", "Bank"
    problem = rig.buyer.part.mismatch(other, "tcp://here:1")
    assert str(problem) == (
        "the process at tcp://here:1 plays Bank of Lending, and nothing of Purchase.\n  Check the address."
    )
    other.version = 99
    assert "speaks version 99 of the wire format, this one 1" in str(rig.buyer.part.mismatch(other, "tcp://here:1"))
    assert A != B
