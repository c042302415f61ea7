"""Machines as values: tables, names, what a role owes and awaits, and what may come early."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy.machine import (
    Direction,
    Lane,
    Machine,
    Move,
    Row,
    State,
    Symbol,
    independent,
    move_of,
    snake,
    symbol_of,
)
from convpolicy.policy.builder import again, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy
from convpolicy.testing.strategies import policies
from convpolicy.verify.roles.projection import project

SEND, RECEIVE = Direction
LEFT: Lane = ((0, 0),)
RIGHT: Lane = ((0, 1),)

ORDER = Move(SEND, "Seller", "Order")
SHIPMENT = Move(RECEIVE, "Seller", "Shipment", LEFT)
INVOICE = Move(RECEIVE, "Seller", "Invoice", RIGHT)
PAYMENT = Move(SEND, "Seller", "Payment", RIGHT)

# The Buyer of the purchase, its states numbered as a person would, not breadth-first.
TABLE: Mapping[State, Mapping[Move, State]] = {
    10: {ORDER: 20},
    20: {SHIPMENT: 40, INVOICE: 30},
    30: {SHIPMENT: 50, PAYMENT: 60},
    40: {INVOICE: 50},
    50: {PAYMENT: 70},
    60: {SHIPMENT: 70},
}


def buyer() -> Machine:
    return Machine.of("Buyer", TABLE, {70}, start=10, policy="Purchase")


def test_states_are_numbered_breadth_first() -> None:
    machine = buyer()
    assert [dict(machine.moves[state]) for state in machine.states()] == [
        {ORDER: 1},
        {SHIPMENT: 2, INVOICE: 3},
        {INVOICE: 4},
        {SHIPMENT: 4, PAYMENT: 5},
        {PAYMENT: 6},
        {SHIPMENT: 6},
        {},
    ]
    assert machine.finals == {6}
    assert not machine.lazy
    assert machine.key(3) == 30


def test_after_and_enabled() -> None:
    machine = buyer()
    assert machine.enabled(machine.start) == (ORDER,)
    assert machine.after(machine.start, ORDER) == 1
    with pytest.raises(KeyError):
        machine.after(machine.start, PAYMENT)


def test_names_say_what_the_role_may_do_next() -> None:
    machine = buyer()
    assert machine.name(3) == "owes_payment_awaits_shipment"
    assert machine.describe(3) == "owes Payment, awaits Shipment"
    assert machine.describe(1) == "awaits Shipment and Invoice"
    assert (machine.owes(3), machine.awaits(3)) == (("Payment",), ("Shipment",))
    assert (machine.name(6), machine.owes(6), machine.awaits(6)) == ("done", (), ())


def test_names_of_alternatives_final_states_and_twins() -> None:
    accept, reject = Move(RECEIVE, "Seller", "Accept"), Move(RECEIVE, "Seller", "LateReject")
    again = Move(SEND, "Seller", "Again")
    table = {0: {accept: 1, reject: 2}, 1: {again: 2}, 2: {again: 3}, 3: {}}
    machine = Machine.of("Buyer", table, {2})
    assert machine.name(0) == "awaits_accept_or_late_reject"
    assert machine.describe(0) == "awaits Accept or LateReject"
    assert (machine.name(1), machine.name(2)) == ("owes_again", "may_stop_owes_again")
    assert (machine.name(3), machine.describe(3)) == ("stuck", "stuck")
    assert machine.owes(2) == ()  # it may stop
    twins = Machine.of("Buyer", {0: {again: 1}, 1: {again: 2}}, {2})
    assert [twins.name(state) for state in twins.states()] == ["owes_again", "owes_again_2", "done"]


def test_names_of_states_do_not_depend_on_who_asks_first() -> None:
    again, second = Move(SEND, "Seller", "Again"), Move(SEND, "Seller", "Again2")
    table = {0: {again: 1}, 1: {second: 2}, 2: {again: 3}, 3: {again: 4}}
    names = ["owes_again", "owes_again2", "owes_again_2", "owes_again_3", "done"]
    forwards, backwards = Machine.of("Buyer", table, {4}), Machine.of("Buyer", table, {4})
    assert [forwards.name(state) for state in range(5)] == names
    assert [backwards.name(state) for state in reversed(range(5))] == names[::-1]


def test_a_label_that_ends_like_a_number_does_not_share_a_name() -> None:
    plain, odd = Move(SEND, "Seller", "Again"), Move(SEND, "Seller", "Again_2")
    before = Machine.of("Buyer", {0: {plain: 1}, 1: {plain: 2}, 2: {odd: 3}}, {3})
    assert [before.name(state) for state in range(3)] == ["owes_again", "owes_again_2", "owes_again_2_2"]
    after = Machine.of("Buyer", {0: {odd: 1}, 1: {plain: 2}, 2: {plain: 3}}, {3})
    assert [after.name(state) for state in range(3)] == ["owes_again_2", "owes_again", "owes_again_3"]


def test_snake() -> None:
    assert [snake(name) for name in ("Order", "PurchaseOrder", "HTTPRequest", "ack2Send")] == [
        "order",
        "purchase_order",
        "http_request",
        "ack2_send",
    ]


def test_machines_with_one_table_are_equal_whatever_their_states_were_called() -> None:
    renamed = {state // 10: {m: t // 10 for m, t in row.items()} for state, row in TABLE.items()}
    same = Machine.of("Buyer", renamed, {7}, start=1, policy="Purchase")
    assert buyer() == same
    assert hash(buyer()) == hash(same)
    assert buyer() != Machine.of("Buyer", TABLE, {70, 60}, start=10, policy="Purchase")
    assert buyer() != Machine.of("Client", TABLE, {70}, start=10, policy="Purchase")
    assert buyer() != "Buyer"


def test_repr() -> None:
    assert repr(buyer()) == "<Machine of Buyer in Purchase: owes Order first>"


def test_time_limits() -> None:
    machine = Machine.of("Buyer", TABLE, {70}, start=10, limits={50: {PAYMENT: 30.0}})
    assert machine.limit(4, PAYMENT) == 30.0
    assert machine.limit(3, PAYMENT) is None


def test_a_lazy_machine_expands_what_is_visited() -> None:
    asked: list[int] = []

    def expand(key: int) -> Row[int]:
        asked.append(key)
        return Row({ORDER: key + 1}, final=False)

    machine = Machine("Counter", expand, 100)
    assert machine.lazy
    assert asked == []
    state = machine.after(machine.after(machine.start, ORDER), ORDER)
    assert (state, machine.key(state), asked) == (2, 102, [100, 101])
    assert not machine.within(50)
    assert len(asked) == 51


def test_exchanges_and_moves() -> None:
    invoice = Symbol("Seller", "Buyer", "Invoice", RIGHT)
    assert move_of("Buyer", invoice) == INVOICE
    assert move_of("Seller", invoice) == Move(SEND, "Buyer", "Invoice", RIGHT)
    assert move_of("Courier", invoice) is None
    assert symbol_of("Buyer", INVOICE) == invoice
    assert (str(INVOICE), INVOICE.words) == ("Seller?Invoice", "receive Invoice from Seller")
    assert (str(ORDER), ORDER.words) == ("Seller!Order", "send Order to Seller")


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((), (), False),
        (LEFT, LEFT, False),
        (LEFT, RIGHT, True),
        ((), RIGHT, False),
        (LEFT, ((1, 1),), False),  # branches of different pars come after one another, or exclude one another
        ((*LEFT, (1, 0)), (*LEFT, (1, 1)), True),
        ((*LEFT, (1, 0)), RIGHT, True),
        ((*LEFT, (1, 0)), LEFT, False),
    ],
)
def test_lanes_are_independent_in_different_branches_of_one_par(left: Lane, right: Lane, *, expected: bool) -> None:
    assert independent(left, right) is expected
    assert independent(right, left) is expected


# ----------------------------------------------------------------------------------------------- what may be early


def test_a_payment_may_be_early_but_not_a_second_order() -> None:
    Buyer, Seller = roles("Buyer", "Seller")
    Order, Shipment, Invoice, Payment = labels("Order", "Shipment", "Invoice", "Payment")
    body = seq(
        send(Buyer, Seller, Order),
        par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
    )
    seller = project(Policy("Purchase", body), Seller)
    assert seller.may_receive_next(seller.start, "Buyer", ()) == {"Order"}
    assert seller.may_receive_next(seller.start, "Buyer", RIGHT) == {"Payment"}
    assert seller.may_receive_next(seller.start, "Buyer", LEFT) == set()
    (order,) = seller.enabled(seller.start)
    assert seller.may_receive_next(seller.after(seller.start, order), "Buyer", ()) == set()


def test_the_next_round_of_a_par_comes_after_this_one() -> None:
    """In the lane of a and b, b is still to come: the a of the next round cannot overtake it."""
    Buyer, Seller = roles("Buyer", "Seller")
    first, second, other = labels("a", "b", "c")
    body = loop(
        "X", par(seq(send(Buyer, Seller, first), send(Buyer, Seller, second)), send(Seller, Buyer, other)), again("X")
    )
    seller = project(Policy("Rounds", body), Seller)
    after_a = seller.after(seller.start, Move(RECEIVE, "Buyer", "a", LEFT))
    assert seller.may_receive_next(seller.start, "Buyer", LEFT) == {"a"}
    assert seller.may_receive_next(after_a, "Buyer", LEFT) == {"b"}
    after_b = seller.after(after_a, Move(RECEIVE, "Buyer", "b", LEFT))
    assert seller.may_receive_next(after_b, "Buyer", LEFT) == {"a"}  # once c is sent


def first_receives(machine: Machine, state: State, sender: str, lane: Lane) -> set[str]:
    """Try every path of up to as many moves as there are states: no more are needed."""
    found: set[str] = set()
    edge = {state}
    for _ in machine.states():
        moves = [(m, t) for s in edge for m, t in machine.moves[s].items()]
        on_channel = [m for m, _ in moves if (m.direction, m.peer, m.lane) == (RECEIVE, sender, lane)]
        found.update(m.label for m in on_channel)
        edge = {t for m, t in moves if m not in on_channel}
    return found


@given(policies(size=6), st.data())
def test_may_receive_next_against_all_paths(policy: Policy, data: st.DataObject) -> None:
    machine = project(policy, data.draw(st.sampled_from(policy.roles)))
    table = Machine.of(machine.role, dict(machine.moves), machine.finals)
    channels = {(sender, lane) for sender, receiver, _, lane in machine.symbols if receiver == machine.role}
    for state in list(machine.states())[:12]:
        for channel in channels:
            expected = first_receives(machine, state, *channel)
            assert machine.may_receive_next(state, *channel) == expected
            assert table.may_receive_next(state, *channel) == expected
