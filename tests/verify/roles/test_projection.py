"""Projection against brute force, and that it stays small where the product or the subsets are large."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge import local_traces, machine_traces

from convpolicy.errors import PolicyError
from convpolicy.machine import Direction, Machine, Move
from convpolicy.policy.builder import again, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Statement
from convpolicy.testing.strategies import policies
from convpolicy.verify.roles.projection import SMALL, Inside, _Viewpoint, positions, project
from convpolicy.verify.runs.graph import graph_of

Buyer, Seller, Courier = roles("Buyer", "Seller", "Courier")
Order, Shipment, Invoice, Payment, Cancel = labels("Order", "Shipment", "Invoice", "Payment", "Cancel")

PURCHASE = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(
            send(Seller, Buyer, Shipment),
            seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment)),
        ),
    ),
)


def walk(machine: Machine, *moves: str) -> int:
    """Take the moves of these texts, one after the other."""
    state = machine.start
    for text in moves:
        state = machine.after(state, next(move for move in machine.enabled(state) if str(move) == text))
    return state


def test_the_buyer_of_the_purchase() -> None:
    buyer = project(PURCHASE, Buyer)
    assert [buyer.name(state) for state in buyer.states()] == [
        "owes_order",
        "awaits_shipment_awaits_invoice",
        "awaits_invoice",
        "owes_payment_awaits_shipment",
        "owes_payment",
        "awaits_shipment",
        "done",
    ]
    assert buyer.finals == {6}
    orders = ("Seller!Order Seller?Shipment Seller?Invoice Seller!Payment",)
    orders += ("Seller!Order Seller?Invoice Seller?Shipment Seller!Payment",)
    orders += ("Seller!Order Seller?Invoice Seller!Payment Seller?Shipment",)
    assert {walk(buyer, *order.split()) for order in orders} == {6}


def test_the_machine_knows_the_policy() -> None:
    seller = project(PURCHASE, "Seller")
    assert (seller.role, seller.policy, seller.roles) == ("Seller", "Purchase", ("Buyer", "Seller"))
    assert seller.fingerprint == PURCHASE.fingerprint
    assert set(map(str, seller.symbols)) == {
        "Buyer→Seller Order",
        "Seller→Buyer Shipment",
        "Seller→Buyer Invoice",
        "Buyer→Seller Payment",
    }


def test_an_unknown_role_is_guessed() -> None:
    with pytest.raises(PolicyError) as caught:
        project(PURCHASE, "Buyr")
    assert str(caught.value) == ("Purchase has no role Buyr\n  did you mean `Buyer`? Its roles are Buyer and Seller.")
    with pytest.raises(PolicyError, match=r"has no role Courier\n  Its roles are Buyer and Seller\.$"):
        project(PURCHASE, Courier)


def test_silent_branch() -> None:
    """An empty branch is kept: after it the role may have to stop, so it may stop where it waits."""
    policy = Policy(
        "P",
        choice(
            Buyer,
            seq(send(Buyer, Seller, Order), send(Seller, Courier, Shipment)),
            send(Buyer, Seller, Cancel),
        ),
    )
    courier = project(policy, Courier)
    assert courier.is_final(courier.start)
    assert courier.describe(courier.start) == "may stop, awaits Shipment"


def test_a_role_that_does_nothing_may_stop_at_once() -> None:
    policy = Policy("P", send(Buyer, Seller, Order), (Buyer, Seller, Courier))
    courier = project(policy, Courier)
    assert list(courier.states()) == [0]
    assert courier.is_final(0)


def test_a_loop_is_a_cycle() -> None:
    policy = Policy(
        "P",
        loop("X", choice(Buyer, seq(send(Buyer, Seller, Order), again("X")), send(Buyer, Seller, Cancel))),
    )
    seller = project(policy, Seller)
    assert [dict(row) for row in seller.moves.values()] == [
        {Move(Direction.RECEIVE, "Buyer", "Order"): 0, Move(Direction.RECEIVE, "Buyer", "Cancel"): 1},
        {},
    ]


def test_branches_with_the_same_future_are_one_state() -> None:
    policy = Policy(
        "P",
        choice(
            Buyer,
            seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice)),
            seq(send(Buyer, Seller, Cancel), send(Seller, Buyer, Invoice)),
        ),
    )
    assert len(list(project(policy, Seller).states())) == 3


def test_the_tightest_time_limit_holds() -> None:
    policy = Policy(
        "P",
        choice(
            Buyer,
            seq(send(Buyer, Courier, Order), send(Buyer, Seller, Payment, within=30)),
            seq(send(Buyer, Courier, Order), send(Buyer, Seller, Payment, within=10)),
        ),
    )
    buyer = project(policy, Buyer)
    state = walk(buyer, "Courier!Order")
    assert buyer.limit(state, buyer.enabled(state)[0]) == 10


def test_states_with_different_limits_are_not_merged() -> None:
    policy = Policy(
        "P",
        choice(
            Buyer,
            seq(send(Buyer, Seller, Order), send(Buyer, Seller, Payment, within=30)),
            seq(send(Buyer, Seller, Cancel), send(Buyer, Seller, Payment, within=10)),
        ),
    )
    buyer = project(policy, Buyer)
    limits = [
        buyer.limit(walk(buyer, move), Move(Direction.SEND, "Seller", "Payment"))
        for move in ("Seller!Order", "Seller!Cancel")
    ]
    assert limits == [30, 10]


def test_a_state_says_where_the_policy_may_be() -> None:
    graph = graph_of(PURCHASE)
    buyer = project(graph, Buyer)
    state = walk(buyer, "Seller!Order", "Seller?Invoice")
    (inside,) = buyer.key(state)
    assert isinstance(inside, Inside)
    said = {graph.exchanges[place][0].symbol.label for place in positions(buyer.key(state))}
    assert said == {"Shipment", "Payment"}


# --------------------------------------------------------------------------------------------- against brute force


def same_traces(policy: Policy, length: int) -> None:
    graph = graph_of(policy)
    for role in graph.roles:
        assert machine_traces(project(graph, role), length) == local_traces(graph, role, length)


@pytest.mark.timeout(600)  # the nightly profile takes about two minutes
@given(policies(timers=True))
def test_the_traces_are_those_of_the_global_runs(policy: Policy) -> None:
    same_traces(policy, 4)


@given(policies(roles=(3, 3), size=6, par=False))
def test_without_par_too(policy: Policy) -> None:
    same_traces(policy, 6)


@given(policies(size=6), st.data())
def test_what_may_be_received_next_is_what_some_trace_receives_first(policy: Policy, data: st.DataObject) -> None:
    """The answer from the policy's positions is that of a search of the machine's whole table."""
    role = data.draw(st.sampled_from(policy.roles)).name
    machine = project(policy, role)
    table = Machine.of(role, {s: dict(machine.moves[s]) for s in machine.states()}, machine.finals)
    channels = {(sender, lane) for sender, receiver, _, lane in machine.symbols if receiver == role}
    for state in machine.states():
        for sender, lane in channels:
            found = machine.may_receive_next(state, sender, lane)
            assert found == table.may_receive_next(state, sender, lane)


# ------------------------------------------------------------------------------------------------- size and laziness


def lane(number: int, length: int) -> Statement:
    return seq(*(send(Buyer, Seller, labels(f"M{number}_{step}")[0]) for step in range(length)))


def test_eight_branches_cost_what_is_used() -> None:
    machine = project(Policy("Wide", par(*(lane(number, 3) for number in range(8)))), Seller)
    assert machine.lazy
    state, taken = machine.start, 0
    while enabled := machine.enabled(state):
        state = machine.after(state, enabled[taken % len(enabled)])
        taken += 1
    assert taken == 24
    assert machine.is_final(state)
    assert len(machine._keys) < 200
    last = machine.may_receive_next(machine.start, "Buyer", ((0, 7),))
    assert last == {"M7_0"}
    assert len(machine._keys) < 200


def test_that_a_machine_is_large_is_known_without_building_it() -> None:
    graph = graph_of(Policy("Wide", par(*(lane(number, 3) for number in range(8)))))
    view = _Viewpoint(graph, "Seller")
    assert view.size(view.closure([graph.start])) > SMALL
    assert len(view._rows) == 8 * 3 + 1  # each branch alone, and their common end


def test_up_to_the_cap_a_machine_is_whole() -> None:
    whole = project(Policy("P", par(*(lane(number, 9) for number in range(3)))), Seller)
    assert not whole.lazy
    assert len(list(whole.states())) == 1_000 == SMALL
    assert project(Policy("P", par(*(lane(number, 10) for number in range(3)))), Seller).lazy


def guess(count: int) -> Policy:
    """A receiver that has to remember the last letters: about 2ⁿ local states from n positions.

    Seller cannot tell which `a` is the one after which exactly `count` letters and the end follow.
    """
    a, b, end = labels("a", "b", "end")
    either = choice(Buyer, send(Buyer, Seller, a), send(Buyer, Seller, b))
    tail = seq(send(Buyer, Seller, a), *[either] * count, send(Buyer, Seller, end))
    return Policy(
        "Guess",
        loop(
            "X", choice(Buyer, seq(send(Buyer, Seller, a), again("X")), seq(send(Buyer, Seller, b), again("X")), tail)
        ),
    )


def test_where_subsets_explode_the_machine_stays_lazy() -> None:
    seller = project(guess(15), Seller)
    assert seller.lazy
    state = walk(seller, *("Buyer?a Buyer?b Buyer?b " * 10).split(), "Buyer?a", *["Buyer?b"] * 15, "Buyer?end")
    assert seller.is_final(state)
    assert len(seller._keys) < 300


def test_a_small_guess_is_as_large_as_it_must_be() -> None:
    """The last `count + 1` letters have to be remembered, so 2⁴ states here, and the end."""
    assert len(list(project(guess(3), Seller).states())) == 2**4 + 1
