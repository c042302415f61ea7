"""One side of a conversation, spoken to without any link."""

from __future__ import annotations

import random

import pytest
from helpers import CHAIR, NINE, Buyer, Invoice, Order, Payment, Seller, Shipment, purchase
from hypothesis import assume, given
from hypothesis import strategies as st

from convpolicy import LocalViolation, Policy, RemoteViolation, again, choice, label, loop, par, roles, send, seq
from convpolicy.conversation import WINDOW, Arrival, Conversation, Envelope, Received
from convpolicy.testing.clock import ManualClock
from convpolicy.testing.pair import Pair
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.roles.projection import project


def test_a_purchase_from_order_to_payment() -> None:
    pair = Pair(purchase)
    assert pair.owes == {Buyer: {"Order"}}
    pair.sends(Buyer, CHAIR)
    pair.sends(Seller, Invoice(NINE))
    assert pair.owes == {Buyer: {"Payment"}, Seller: {"Shipment"}}
    pair.sends(Buyer, Payment(NINE))
    assert pair.owes == {Seller: {"Shipment"}}
    pair.sends(Seller, Shipment("1Z"))
    assert pair.trace == "Order Invoice Payment Shipment"
    assert pair.received == [CHAIR, Invoice(NINE), Payment(NINE), Shipment("1Z")]
    assert pair.done


def test_shipment_and_invoice_come_in_either_order() -> None:
    for first, second in [(Invoice(NINE), Shipment("1Z")), (Shipment("1Z"), Invoice(NINE))]:
        pair = Pair(purchase)
        pair.sends(Buyer, CHAIR)
        pair.sends(Seller, first)
        pair.sends(Seller, second)
        pair.sends(Buyer, Payment(NINE))
        assert pair.done


def test_a_send_out_of_turn_is_refused_with_what_is_allowed_and_what_was_said() -> None:
    pair = Pair(purchase)
    pair.sends(Buyer, CHAIR)
    with pytest.raises(LocalViolation) as caught:
        pair.says(Buyer, Payment(NINE))
    assert str(caught.value) == (
        "Buyer may not send Payment now\n"
        "  state: awaits Shipment and Invoice\n"
        "  allowed now: receive Shipment from Seller or receive Invoice from Seller\n"
        "  so far: Order\n"
        "  Nothing was sent. First receive Shipment from Seller or receive Invoice from Seller, "
        "or change the policy."
    )
    assert caught.value.attempted == "Payment"
    assert pair.trace == "Order"


def test_after_the_end_nothing_is_allowed_and_the_error_says_to_start_anew() -> None:
    pair = Pair(purchase)
    for role, message in [(Buyer, CHAIR), (Seller, Invoice(NINE)), (Seller, Shipment("")), (Buyer, Payment(NINE))]:
        pair.sends(role, message)  # type: ignore[arg-type]
    with pytest.raises(LocalViolation, match="The conversation is over for this role: start a new one"):
        pair.says(Buyer, CHAIR)


def test_a_message_that_comes_twice_is_taken_once() -> None:
    pair = Pair(purchase)
    order = pair.says(Buyer, CHAIR)
    assert isinstance(pair.deliver(order), Received)
    pair.sides[Seller].peers[0].owes_ack = False  # it was acknowledged
    assert pair.deliver(order) is Arrival.DUPLICATE
    assert pair.received == [CHAIR]
    assert pair.sides[Seller].peers[0].owes_ack, "a duplicate is acknowledged again: the first one may be lost"


def test_messages_of_one_sender_that_overtake_each_other_are_taken_in_order() -> None:
    A, B = roles("A", "B")
    one, two, three = (label(name) for name in ("One", "Two", "Three"))
    policy = Policy("Count", seq(send(A, B, one), send(A, B, two), send(A, B, three)))
    pair = Pair(policy)
    first, second, third = (pair.says(A, m()) for m in (one, two, three))
    assert pair.deliver(third) is Arrival.KEPT
    assert pair.deliver(second) is Arrival.KEPT
    pair.deliver(first)
    assert [m.label for m in pair.received] == ["One", "Two", "Three"]  # type: ignore[attr-defined]


def test_a_message_that_waits_for_another_sender_is_kept_until_its_turn() -> None:
    A, B, C = roles("A", "B", "C")
    go, late, early = label("Go"), label("Late"), label("Early")
    pair = Pair(Policy("Relay", seq(send(A, C, go), send(A, B, late), send(C, B, early))))
    pair.sends(A, go())
    waiting = pair.says(A, late())
    assert pair.deliver(pair.says(C, early())) is Arrival.KEPT
    pair.deliver(waiting)
    assert [m.label for m in pair.received] == ["Go", "Late", "Early"]  # type: ignore[attr-defined]


def test_a_message_that_overtakes_another_one_and_comes_twice_is_kept_once() -> None:
    A, B = roles("A", "B")
    one, two = label("One"), label("Two")
    pair = Pair(Policy("Two", seq(send(A, B, one), send(A, B, two))))
    first, second = pair.says(A, one()), pair.says(A, two())
    assert [pair.deliver(second), pair.deliver(second)] == [Arrival.KEPT, Arrival.DUPLICATE]
    pair.deliver(first)
    assert pair.received == [one(), two()]


def test_an_early_message_of_one_branch_does_not_hold_up_another() -> None:
    A, B = roles("A", "B")
    ask, answer, news = label("Ask"), label("Answer"), label("News")
    policy = Policy("Lanes", par(seq(send(B, A, ask), send(A, B, answer)), send(A, B, news)), (A, B))
    b = Conversation(project(policy, B), bytes(16))
    symbols = b.table.machine.symbols
    number = {symbol.label: index for index, symbol in enumerate(symbols)}
    too_early = Envelope(bytes(16), 0, 1, 1, 0, number["Answer"], "answer")  # type: ignore[arg-type]
    assert b.receive(too_early) is Arrival.KEPT
    later = Envelope(bytes(16), 0, 1, 2, 0, number["News"], "news")  # type: ignore[arg-type]
    taken = b.receive(later)
    assert isinstance(taken, Received)
    assert taken.label == "News"
    assert b.take() is None
    b.send(ask())
    taken = b.take()
    assert taken is not None
    assert taken.label == "Answer"


def test_a_message_that_no_continuation_allows_is_refused_and_changes_nothing() -> None:
    pair = Pair(purchase)
    seller = pair.sides[Seller]
    payment = next(i for i, s in enumerate(seller.table.machine.symbols) if s.label == "Payment")
    forged = Envelope(bytes(16), 0, 1, 1, 0, payment, None)  # type: ignore[arg-type]
    before = seller.state
    seller.accept(forged)
    # Payment is on a channel of its own, on which it may still come after Order and Invoice: so it is early.
    assert seller.take() is None
    pair.deliver(Envelope(bytes(16), 0, 1, 2, 0, payment, None))  # type: ignore[arg-type]
    assert seller.state == before


def test_a_wrong_branch_is_a_violation_that_names_the_state_and_the_allowed() -> None:
    A, B = roles("A", "B")
    open_, close, data = label("Open"), label("Close"), label("Data")
    policy = Policy(
        "File", seq(send(A, B, open_), loop("X", choice(A, seq(send(A, B, data), again("X")), send(A, B, close))))
    )
    b = Conversation(project(policy, B), bytes(16))
    number = {symbol.label: index for index, symbol in enumerate(b.table.machine.symbols)}
    with pytest.raises(RemoteViolation) as caught:
        b.receive(Envelope(bytes(16), 0, 1, 1, 0, number["Data"], None))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "A sent Data, which the policy does not allow now\n"
        "  state: awaits Open\n"
        "  B may receive: Open from A\n"
        "  so far: nothing yet\n"
        "  The message was refused. A must follow the policy: compare both sides' policies and code."
    )
    assert b.violations == 1
    taken = b.receive(Envelope(bytes(16), 0, 1, 2, 0, number["Open"], None))  # type: ignore[arg-type]
    assert isinstance(taken, Received), "the refused message's number is used up, and the conversation goes on"


def test_a_label_that_the_policy_does_not_have_is_a_violation() -> None:
    seller = Conversation(project(purchase, Seller), bytes(16))
    with pytest.raises(RemoteViolation, match="Buyer sent label number 99"):
        seller.receive(Envelope(bytes(16), 0, 1, 1, 0, 99, None))  # type: ignore[arg-type]


def test_more_than_a_window_of_waiting_messages_is_not_taken_and_comes_again() -> None:
    A, B = roles("A", "B")
    go, tick = label("Go"), label("Tick")
    policy = Policy("Flood", seq(send(B, A, go), loop("X", send(A, B, tick), again("X"))), (A, B))
    b = Conversation(project(policy, B), bytes(16))
    number = {symbol.label: index for index, symbol in enumerate(b.table.machine.symbols)}

    def tick_number(seq_: int) -> Envelope:
        return Envelope(bytes(16), 0, 1, seq_, 0, number["Tick"], None)  # type: ignore[arg-type]

    assert {b.accept(tick_number(n)) for n in range(1, WINDOW + 1)} == {Arrival.KEPT}
    assert b.accept(tick_number(WINDOW + 1)) is Arrival.FULL
    assert b.peers[0].received == WINDOW


# ------------------------------------------------------------------------------------- acknowledgement and time


def test_what_is_not_acknowledged_is_sent_again_with_growing_pauses() -> None:
    clock = ManualClock()
    buyer = Conversation(project(purchase, Buyer), bytes(16))
    order = buyer.send(CHAIR, now=clock())
    times = []
    for _ in range(100):
        clock.advance(1.0)
        if buyer.resend(clock()):
            times.append(clock())
    assert times[:5] == [1.0, 3.0, 7.0, 15.0, 31.0]
    assert times[6] - times[5] == 30.0
    buyer.acknowledge(1, 1)
    assert buyer.resend(clock.now + 1000) == []
    assert order.seq == 1


def test_the_pauses_are_drawn_from_nothing_to_the_longest_that_there_may_be() -> None:
    buyer = Conversation(project(purchase, Buyer), bytes(16))
    buyer.send(CHAIR, now=0.0)
    assert buyer.resend(0.9, 0.0) == []
    assert len(buyer.resend(1.0, 0.25)) == 1
    assert buyer.resend_at == 1.5
    assert len(buyer.resend(1.5, 0.0)) == 1
    assert buyer.resend_at == 1.5, "at once, if it is so drawn"
    assert len(buyer.resend(2.0, 0.5)) == 1
    assert buyer.resend_at == 2.0 + 4.0


def test_an_acknowledgement_of_what_was_never_sent_is_ignored() -> None:
    buyer = Conversation(project(purchase, Buyer), bytes(16))
    buyer.send(CHAIR)
    buyer.acknowledge(1, 7)
    assert buyer.peers[1].unacked is not None


def test_a_reply_acknowledges_what_it_answers() -> None:
    pair = Pair(purchase)
    pair.sends(Buyer, CHAIR)
    assert pair.sides[Buyer].peers[1].unacked is not None
    pair.sends(Seller, Invoice(NINE))
    assert pair.sides[Buyer].peers[1].unacked is None
    assert not pair.sides[Seller].peers[0].owes_ack


def test_a_message_that_is_not_sent_in_time_expires_at_its_sender() -> None:
    clock = ManualClock()
    policy = Policy(
        "Prompt", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment, within=30))
    )
    pair = Pair(policy, clock=clock)
    pair.sends(Buyer, CHAIR)
    clock.advance(1000)
    assert pair.expired == [], "the time runs from when the sender may send"
    pair.sends(Seller, Invoice(NINE))
    clock.advance(29.9)
    assert pair.expired == []
    clock.advance(0.2)
    (late,) = pair.expired
    assert (late.role, late.label, late.within) == ("Buyer", "Payment", 30.0)
    assert str(late) == (
        "Buyer did not send Payment within 30 s, so the conversation has expired.\n"
        "  Start a new conversation, or give the policy a longer `within` for Payment."
    )
    with pytest.raises(type(late)):
        pair.says(Buyer, Payment(NINE))


def test_a_deadline_is_not_put_off_by_what_happens_in_another_branch() -> None:
    A, B = roles("A", "B")
    pay, tick = label("Pay"), label("Tick")
    policy = Policy("Due", par(send(A, B, pay, within=10), seq(send(B, A, tick), send(B, A, label("Tock")))))
    clock = ManualClock()
    pair = Pair(policy, clock=clock)
    clock.advance(6)
    pair.sends(B, tick())
    clock.advance(6)
    assert [late.label for late in pair.expired] == ["Pay"]


# ------------------------------------------------------------------------------------------- laws, and snapshots


def play(policy: Policy, seed: int, *, shuffle: bool, repeat: bool, restore: bool) -> dict[str, list[str]]:
    """Run a policy with random choices over a network that may reorder and repeat; return who did what.

    Whatever is refused raises; that everybody comes to an end is asserted.
    """
    rng = random.Random(seed)
    machines = {role.name: project(policy, role) for role in policy.roles}
    sides = {name: Conversation(machine, bytes(16)) for name, machine in machines.items()}
    wire: list[Envelope] = []
    taken: dict[str, list[str]] = {name: [] for name in sides}

    def note(name: str, received: object) -> None:
        if isinstance(received, Received):
            taken[name].append(f"?{received.label}")

    for _ in range(400):
        speakers = [n for n, side in sides.items() if any(m.direction == "!" for m in side.moves())]
        if not wire and not speakers:
            assert all(side.final and not side.possible() for side in sides.values()), sides
            break
        if wire and (not speakers or rng.random() < 0.5):
            envelope = wire.pop(rng.randrange(len(wire)) if shuffle else 0)
            if repeat and rng.random() < 0.3:
                wire.append(envelope)
            name = policy.roles[envelope.receiver].name
            note(name, sides[name].receive(envelope))
        else:
            name = rng.choice(speakers)
            side = sides[name]
            move = rng.choice([m for m in side.moves() if m.direction == "!"])
            step = side.allows(move.label, move.peer)
            if not side.room(step.peer):
                continue
            wire.append(side.emit(step, None))
            taken[name].append(f"!{move.label}")
        while (more := sides[name].take()) is not None:
            note(name, more)
        if restore:
            for name, side in sides.items():
                sides[name] = Conversation.restore(machines[name], side.snapshot())
    return taken


@given(policies(par=True), st.integers(0, 2**32))
def test_a_network_that_reorders_and_repeats_breaks_nothing(policy: Policy, seed: int) -> None:
    assume(check(policy))
    play(policy, seed, shuffle=True, repeat=True, restore=False)


@given(policies(par=True), st.integers(0, 2**32))
def test_a_restored_conversation_goes_on_as_if_nothing_had_happened(policy: Policy, seed: int) -> None:
    assume(check(policy))
    plain = play(policy, seed, shuffle=False, repeat=False, restore=False)
    assert play(policy, seed, shuffle=False, repeat=False, restore=True) == plain


def test_a_snapshot_of_another_policy_is_refused() -> None:
    other = Policy("Purchase", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)))
    snapshot = Conversation(project(purchase, Buyer), bytes(16)).snapshot()
    with pytest.raises(ValueError, match="the snapshot is of policy"):
        Conversation.restore(project(other, Buyer), snapshot)


def test_a_snapshot_keeps_what_is_unacknowledged_kept_and_due() -> None:
    pair = Pair(purchase)
    pair.sends(Buyer, CHAIR)
    shipped, billed = pair.says(Seller, Shipment("1Z")), pair.says(Seller, Invoice(NINE))
    pair.deliver(billed)  # second before first: it is kept
    buyer = Conversation.restore(project(purchase, Buyer), pair.sides[Buyer].snapshot())
    assert [e.seq for e in buyer.resend(0.0 + 10)] == [], "the invoice acknowledged the order"
    assert isinstance(buyer.receive(shipped), Received | Arrival)
    seller = Conversation.restore(project(purchase, Seller), pair.sides[Seller].snapshot())
    assert [e.seq for e in seller.resend(0.0)] == [1, 2]


def test_a_conversation_says_what_it_is() -> None:
    pair = Pair(purchase)
    pair.sends(Buyer, CHAIR)
    pair.sends(Seller, Invoice(NINE))
    assert repr(pair.sides[Buyer]) == (
        "<Conversation Purchase 0000… as Buyer: owes Payment, awaits Shipment | sent 1, received 1>"
    )
