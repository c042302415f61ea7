"""Conditions in a conversation: what may be said with which values, and what is remembered for it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, TypedDict

import msgpack
import pytest

from convpolicy import (
    LocalViolation,
    Message,
    Policy,
    RemoteViolation,
    Role,
    again,
    choice,
    label,
    loop,
    roles,
    send,
    seq,
    variable,
)
from convpolicy.conversation import Arrival, Conversation, Received
from convpolicy.testing.pair import Pair
from convpolicy.verify.roles.projection import project


class Order(NamedTuple):
    sku: str
    quantity: int


@dataclass
class Invoice:
    amount: Decimal


class Payment(TypedDict):
    amount: Decimal


Buyer = Role[Order | Payment, Invoice]("Buyer")
Seller = Role[Invoice, Order | Payment]("Seller")

priced = Policy(
    "Priced",
    seq(
        send(Buyer, Seller, Order, where="quantity > 0 && len(sku) > 0"),
        send(Seller, Buyer, Invoice, where="amount = Order.quantity * 4.5"),
        send(Buyer, Seller, Payment, where="amount = Invoice.amount"),
    ),
)
PAYMENT = Message("Payment", {"amount": Decimal(9)})


def sides(policy: Policy) -> list[Conversation]:
    return [Conversation(project(policy, role), bytes(16)) for role in policy.roles]


def test_messages_with_values_that_fit_pass() -> None:
    pair = Pair(priced)
    pair.sends(Buyer, Order("chair", 2))
    pair.sends(Seller, Invoice(Decimal("9.00")))
    pair.sends(Buyer, PAYMENT)  # type: ignore[arg-type]
    assert pair.done


def test_a_sender_is_told_the_values_before_anything_leaves() -> None:
    pair = Pair(priced)
    with pytest.raises(LocalViolation) as caught:
        pair.sends(Buyer, Order("chair", 0))
    assert str(caught.value) == (
        "Buyer may not send this Order: `quantity > 0 && len(sku) > 0` is false with quantity = 0, sku = 'chair'\n"
        "  state: owes Order\n"
        "  allowed now: send Order to Seller\n"
        "  so far: nothing yet\n"
        "  Nothing was sent. Send it with values of which the condition is true, or another message."
    )
    assert caught.value.values == {"quantity": 0, "sku": "chair"}
    pair.sends(Buyer, Order("chair", 2))  # nothing has changed


def test_a_receiver_does_not_take_what_its_peer_had_no_right_to_say() -> None:
    buyer, seller = sides(priced)
    seller.receive(buyer.send(Order("chair", 2)))
    step = seller.allows("Invoice")
    cheating = seller.emit(step, Invoice(Decimal(1_000)))  # without asking whether it may
    with pytest.raises(RemoteViolation) as caught:
        buyer.receive(cheating)
    assert str(caught.value) == (
        "Seller sent Invoice with values that the policy does not allow: `amount = Order.quantity * 4.5` is false "
        "with amount = Decimal('1000'), Order.quantity = 2\n"
        "  state: awaits Invoice\n"
        "  Buyer may receive: Invoice from Seller\n"
        "  so far: Order\n"
        "  The message was refused. Seller must follow the policy: compare both sides' policies and code."
    )
    assert caught.value.values == {"amount": Decimal(1_000), "Order.quantity": 2}
    assert (caught.value.seq, buyer.violations, buyer.keeps) == (1, 1, False)
    assert buyer.awaits == ("Invoice",)


def test_messages_that_are_kept_are_looked_at_when_they_are_taken() -> None:
    A, B = roles("A", "B")
    one, two = (label(name, n=int) for name in ("one", "two"))
    policy = Policy("P", seq(send(A, B, one), send(A, B, two, where="n > one.n")))
    a, b = sides(policy)
    said = [a.emit(a.allows("one"), one(n=5)), a.emit(a.allows("two"), two(n=5))]
    assert [b.accept(envelope) for envelope in said] == [Arrival.KEPT, Arrival.KEPT]
    assert b.take({"two"}) is None, "something comes before it"
    taken = b.take()
    assert taken is not None
    assert taken.payload == one(n=5)
    with pytest.raises(RemoteViolation, match=r"`n > one\.n` is false with n = 5, one\.n = 5"):
        b.take()
    assert not b.keeps


def test_only_what_a_later_condition_speaks_of_is_kept() -> None:
    buyer, seller = sides(priced)
    seller.receive(buyer.send(Order("chair", 2)))
    assert buyer.snapshot()["values"] == [[1, "Order.quantity", 2]]
    assert seller.snapshot()["values"] == [[1, "Order.quantity", 2]]


def test_a_policy_without_conditions_keeps_nothing_and_looks_at_nothing() -> None:
    plain = Policy("Plain", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)))
    for conversation in sides(plain):
        for state in conversation.table.machine.states():
            node = conversation.table.node(state)
            assert node.plain is node.receives
            assert all(step is not None and step.effect is None for step in node.sends.values())
        assert conversation.snapshot()["values"] == []


def test_a_conversation_that_is_restored_knows_what_was_said() -> None:
    buyer, seller = sides(priced)
    seller.receive(buyer.send(Order("chair", 2)))
    again_there = Conversation.restore(seller.table, seller.snapshot())
    with pytest.raises(LocalViolation, match=r"Order\.quantity = 2"):
        again_there.send(Invoice(Decimal(8)))
    again_there.send(Invoice(Decimal(9)))


# ----------------------------------------------------------------------------------------------- what loops carry

A, B = roles("A", "B")
bid, done, stop = label("bid", price="decimal"), label("done"), label("stop")

auction = Policy(
    "Auction",
    loop(
        "X",
        choice(
            A,
            seq(send(A, B, bid, where="price > best"), again("X", "price", "rounds - 1")),
            seq(send(A, B, done, where="rounds = 0")),
        ),
        carrying=(
            variable("best", "decimal", A, B, start="1.5"),
            variable("rounds", int, A, B, start="2"),
        ),
    ),
)


def test_what_a_loop_carries_goes_from_round_to_round_at_both_sides() -> None:
    pair = Pair(auction)
    pair.sends(A, bid(price=Decimal(2)))
    with pytest.raises(LocalViolation, match=r"`price > best` is false with price = Decimal\('2'\), best = 2"):
        pair.sends(A, bid(price=Decimal(2)))
    with pytest.raises(LocalViolation, match="`rounds = 0` is false with rounds = 1"):
        pair.sends(A, done())
    pair.sends(A, bid(price=Decimal("2.01")))
    pair.sends(A, done())
    assert pair.done


def test_a_receiver_reckons_too() -> None:
    a, b = sides(auction)
    b.receive(a.send(bid(price=Decimal(2))))
    with pytest.raises(RemoteViolation, match="best = 2"):
        b.receive(a.emit(a.allows("bid"), bid(price=Decimal(1))))


def test_what_a_loop_carries_is_in_a_snapshot_as_plain_values() -> None:
    a, b = sides(auction)
    b.receive(a.send(bid(price=Decimal(2))))
    b.receive(a.send(bid(price=Decimal("2.5"))))
    values = b.snapshot()["values"]
    assert [value for value in values if value[1] == "best"] == [[values[0][0], "best", [2, 1]]]
    assert msgpack.unpackb(msgpack.packb([v for v in values if v[1] != "price" and v[1] != "bid.price"]))
    late = Conversation.restore(b.table, b.snapshot())
    with pytest.raises(RemoteViolation, match="best = 5/2"):
        late.receive(a.emit(a.allows("bid"), bid(price=Decimal(1))))


countdown = Policy.loads("""
global protocol Countdown(role A, role B, role C) {
  most(n: int) from A to B;
  hello() from A to C;
  rec Next [left<A, B>: (left: int{left > 0 && left < 100}) = most.n] {
    choice at A { tick(by: int) from A to B; tick(by: int) from A to C; continue Next [left - tick.by]; }
    or { done() from A to B; done() from A to C; }
  }
}""")
most, hello, tick, over = (label("most", n=int), label("hello"), label("tick", by=int), label("done"))


def test_what_is_always_true_of_a_loops_value_is_held_to_as_conditions_are() -> None:
    a, b = sides(countdown)[:2]
    for message in (most(n=5), hello()):
        envelope = a.send(message)
        if envelope.receiver == 1:
            b.receive(envelope)
    for receiver in ("B", "C"):
        envelope = a.send(tick(by=5), to=receiver)
        if receiver == "B":
            b.receive(envelope)
    with pytest.raises(
        LocalViolation, match="A may not send this done: `left > 0 && left < 100` is false with left = 0"
    ) as no:
        a.send(over(), to="B")
    assert no.value.values == {"left": 0}
    with pytest.raises(RemoteViolation, match="`left > 0 && left < 100` is false with left = 0") as refused:
        b.receive(a.emit(a.allows("done", "B"), over()))
    assert refused.value.values == {"left": 0}


def test_it_is_held_to_from_the_beginning() -> None:
    a, _, _ = sides(countdown)
    a.send(most(n=100))
    a.send(hello())
    with pytest.raises(LocalViolation, match="is false with left = 100"):
        a.send(tick(by=1), to="B")


def test_who_cannot_work_it_out_holds_nobody_to_it() -> None:
    a, _, c = sides(countdown)
    a.send(most(n=100))
    c.receive(a.send(hello()))
    a.emit(a.allows("tick", "B"), tick(by=1))
    assert isinstance(c.receive(a.emit(a.allows("tick", "C"), tick(by=1))), Received)


def test_values_change_all_at_once() -> None:
    x, y = (variable(name, int, A, start=start) for name, start in (("x", "1"), ("y", "2")))
    tell = label("tell", first=int, second=int)
    policy = Policy(
        "Swap", loop("L", send(A, B, tell, where="first = x && second = y"), again("L", "y", "x"), carrying=(x, y))
    )
    pair = Pair(policy)
    for first, second in ((1, 2), (2, 1), (1, 2)):
        pair.sends(A, tell(first=first, second=second))


def test_one_who_comes_late_holds_nobody_to_what_it_has_not_heard() -> None:
    first, tick = label("first", n=int), label("tick", n=int)
    policy = Policy("Late", seq(send(A, B, first), loop("X", send(A, B, tick, where="n > first.n"), again("X"))))
    machine = project(policy, B)
    state = machine.after(machine.start, machine.enabled(machine.start)[0])
    late = Conversation(machine, bytes(16), at=state)
    (a, _) = sides(policy)
    a.send(first(n=5))
    envelope = a.send(tick(n=6))
    envelope.seq = 1
    assert isinstance(late.receive(envelope), Received)


def test_a_value_of_another_kind_makes_a_condition_false() -> None:
    policy = Policy.loads("global protocol P(role A, role B) { x(n: string{len(n) > 1}) from A to B; }")
    a, _ = sides(policy)
    with pytest.raises(LocalViolation, match="is false with n = 5"):
        a.send(Message("x", {"n": 5}))
    a.send(Message("x", {"n": "ab"}))
