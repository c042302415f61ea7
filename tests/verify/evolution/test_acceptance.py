"""Whether a machine follows a policy: what is accepted, the text of what is not, and the comparison with exploration.

`CONVPOLICY_EXAMPLES` sets the number of machines of the long comparison.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, DrawFn

from convpolicy.errors import NotImplementable, PolicyError
from convpolicy.machine import CRASH, Direction, Machine, Move, Row, State, Symbol, move_of
from convpolicy.policy.builder import again, choice, crash, label, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.decide import machines_of
from convpolicy.verify.evolution import acceptance
from convpolicy.verify.evolution.acceptance import Acceptance, Answer, Ground, accepts
from convpolicy.verify.evolution.following import Departs
from convpolicy.verify.exploration.explore import explore, replay
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import graph_of

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "2400"))

Buyer, Seller, Courier = roles("Buyer", "Seller", "Courier")
Order, Shipment, Invoice, Payment, Note, Cancel = labels("Order", "Shipment", "Invoice", "Payment", "Note", "Cancel")

purchase = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
    ),
)
# The buyer orders as often as it likes, and then cancels.
orders = Policy(
    "Orders",
    loop(
        "Next",
        choice(
            Buyer,
            seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice), again("Next")),
            send(Buyer, Seller, Cancel),
        ),
    ),
)


def says(label: str, peer: str = "Seller") -> Move:
    return Move(Direction.SEND, peer, label)


def hears(label: str, peer: str = "Seller") -> Move:
    return Move(Direction.RECEIVE, peer, label)


def straight(*moves: Move, role: str = "Buyer", stops: bool = True) -> Machine:
    """A machine that makes these moves, one after the other."""
    table = {state: {move: state + 1} for state, move in enumerate(moves)}
    return Machine.of(role, table, {len(moves)} if stops else set())


def judged(policy: Policy, machine: Machine) -> Acceptance:
    found = accepts(policy, machine, machine.role)
    if found.stuck and found.departure and found.departure.departs is not Departs.STOPS:
        assert replay({**machines_of(graph_of(policy)), machine.role: found.machine}, found.stuck.trace)
    return found


# ------------------------------------------------------------------------------------------------- what may be


@pytest.mark.parametrize("role", ["Buyer", "Seller"])
def test_a_projection_follows_its_policy(role: str) -> None:
    for policy in (purchase, orders):
        assert judged(policy, project(policy, role))


def test_a_buyer_may_take_one_branch_of_the_par_after_the_other() -> None:
    shipment_last = straight(says("Order"), hears("Invoice"), says("Payment"), hears("Shipment"))
    assert judged(purchase, shipment_last)
    assert judged(purchase, straight(says("Order"), hears("Shipment"), hears("Invoice"), says("Payment")))
    assert str(judged(purchase, shipment_last)).splitlines() == [
        "Buyer's machine follows Purchase: whatever the other roles do, nobody gets stuck",
        (
            "  by each of its states against every place the conversation may be in, with lanes for par "
            "(tested, not proved)"
        ),
    ]


def test_a_branch_may_be_taken_in_part_while_another_one_goes_on() -> None:
    policy = Policy(
        "P", par(choice(Seller, send(Seller, Buyer, Invoice), send(Seller, Buyer, Note)), send(Buyer, Seller, Order))
    )
    machine = Machine.of(
        "Buyer",
        {0: {hears("Invoice"): 1, says("Order"): 2}, 1: {says("Order"): 3}, 2: {hears("Invoice"): 3, hears("Note"): 3}},
        {3},
    )
    assert judged(policy, machine)
    waits = Machine.of("Buyer", {0: {hears("Invoice"): 1}, 1: {says("Order"): 3}}, {3})
    assert judged(policy, waits).departure.move == Move(Direction.RECEIVE, "Seller", "Note", ((0, 0),))  # type: ignore[union-attr]


def test_a_seller_may_always_send_in_one_order() -> None:
    seller = straight(
        hears("Order", "Buyer"),
        says("Invoice", "Buyer"),
        hears("Payment", "Buyer"),
        says("Shipment", "Buyer"),
        role="Seller",
    )
    assert judged(purchase, seller)


def test_a_buyer_may_choose_less_than_the_policy_offers() -> None:
    once = straight(says("Order"), hears("Invoice"), says("Cancel"))
    assert judged(orders, once).ground is Ground.PLACES
    for_ever = Machine.of("Buyer", {0: {says("Order"): 1}, 1: {hears("Invoice"): 0}}, set())
    assert judged(orders, for_ever)


def test_a_message_that_never_comes_may_be_awaited_beside_others() -> None:
    assert judged(orders, Machine.of("Buyer", {0: {says("Cancel"): 1, hears("Note"): 0}}, {1}))
    assert judged(orders, Machine.of("Buyer", {0: {says("Cancel"): 1, hears("Note", "Nobody"): 0}}, {1}))


# The buyer may stop before it has paid, and the seller notices.
mortal = Policy(
    "Mortal",
    seq(
        send(Seller, Buyer, Invoice),
        choice(Buyer, send(Buyer, Seller, Payment), crash(Buyer, at=Seller)),
    ),
    reliable=(Seller,),
)


def test_who_may_have_to_notice_a_crash_has_to_take_it() -> None:
    assert check(mortal)
    notices = judged(mortal, project(mortal, Seller))
    assert notices
    assert notices.ground is Ground.CRASHES
    assert judged(mortal, project(mortal, Buyer))
    deaf = straight(says("Invoice", "Buyer"), hears("Payment", "Buyer"), role="Seller")
    found = accepts(mortal, deaf, Seller)
    assert found.departure is not None
    assert found.departure.move == hears(CRASH, "Buyer")
    assert found.stuck is not None


# ------------------------------------------------------------------------------------------------ what may not


def test_sending_what_the_policy_does_not_allow_reads_like_this() -> None:
    machine = Machine.of(
        "Buyer",
        {0: {says("Order"): 1}, 1: {hears("Invoice"): 2, hears("Shipment"): 2, says("Note"): 3}},
        {2, 3},
    )
    found = judged(purchase, machine)
    assert not found
    assert str(found).splitlines() == [
        "Buyer's machine does not follow Purchase",
        (
            "  by each of its states against every place the conversation may be in, with lanes for par "
            "(tested, not proved)"
        ),
        "  in state 1: it sends Note to Seller, which the policy does not allow there",
        "  after: Buyer→Seller Order",
        "  the policy allows then: receive Invoice from Seller or receive Shipment from Seller",
        (
            "  a conversation that gets stuck: Buyer→Seller Order · Seller takes Order · Buyer→Seller Note · "
            "Seller can never take Note from Buyer"
        ),
        "  fix: send it only where the policy does, or change the policy",
    ]


def test_not_taking_what_may_come_reads_like_this() -> None:
    found = judged(purchase, straight(says("Order"), hears("Invoice"), says("Payment")))
    assert str(found).splitlines()[2:] == [
        "  in state 1: it does not take Shipment from Seller, which may come",
        "  after: Buyer→Seller Order",
        "  the policy allows then: receive Invoice from Seller or receive Shipment from Seller",
        (
            "  a conversation that gets stuck: Buyer→Seller Order · Seller takes Order · Seller→Buyer Shipment · "
            "Buyer can never take Shipment from Seller"
        ),
        "  fix: let the machine receive Shipment from Seller in this state",
    ]


def test_paying_before_the_invoice_harms_nobody_and_is_refused() -> None:
    found = judged(purchase, straight(says("Order"), says("Payment"), hears("Invoice"), hears("Shipment")))
    assert found.departure is not None
    assert found.departure.departs is Departs.SENDS
    assert "  no conversation was found that gets stuck by it; at run time it is refused all the same" in str(found)


def test_a_machine_that_stops_early_leaves_others_waiting() -> None:
    machine = Machine.of("Buyer", {0: {says("Order"): 1, says("Cancel"): 2}, 1: {hears("Invoice"): 0}}, {0, 2})
    found = judged(orders, machine)
    assert str(found).splitlines()[2:] == [
        "  in state 0: it may stop, and the policy has more for it to do",
        "  after: nothing",
        "  the policy allows then: send Cancel to Seller or send Order to Seller",
        "  a conversation that gets stuck: stuck: Seller waits for Order from Buyer or Cancel from Buyer",
        "  fix: make the state not final: it must still send Cancel to Seller or send Order to Seller",
    ]


def test_a_machine_that_never_stops_is_told() -> None:
    found = judged(orders, straight(says("Cancel"), stops=False))
    assert str(found).splitlines()[2:] == [
        "  in state 1: it may not stop, and the conversation may be over",
        "  after: Buyer→Seller Cancel",
        "  the policy allows then: nothing: it waits or is over",
        "  a conversation that gets stuck: Buyer→Seller Cancel · Seller takes Cancel · stuck: Buyer waits for ever",
        "  fix: make the state final",
    ]


def test_a_machine_that_waits_where_it_has_to_act_is_told() -> None:
    found = judged(orders, Machine.of("Buyer", {0: {hears("Invoice"): 0}}, set()))
    assert str(found).splitlines()[2:] == [
        "  in state 0: it does nothing that the policy has, and the others wait for it",
        "  after: nothing",
        "  the policy allows then: send Cancel to Seller or send Order to Seller",
        (
            "  a conversation that gets stuck: stuck: Buyer waits for Invoice from Seller; Seller waits for Order from "
            "Buyer or Cancel from Buyer"
        ),
        "  fix: let the machine send Cancel to Seller or send Order to Seller in this state",
    ]


def test_taking_a_message_before_what_comes_first_is_told() -> None:
    # The courier's note may be there before the invoice that the buyer has to take first.
    noted = Policy(
        "Noted",
        seq(send(Seller, Courier, Order), send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment)),
    )
    late = Policy("Late", seq(*noted.body.steps, send(Courier, Buyer, Note)))  # type: ignore[union-attr]
    eager = Machine.of(
        "Buyer",
        {
            0: {hears("Invoice"): 1, hears("Note", "Courier"): 4},
            1: {says("Payment"): 2},
            2: {hears("Note", "Courier"): 3},
            4: {hears("Invoice"): 5},
            5: {says("Payment"): 3},
        },
        {3},
    )
    found = judged(late, eager)
    assert str(found).splitlines()[2:] == [
        "  in state 0: it takes Note from Courier too early: that may be there before what must come first",
        "  after: Seller→Courier Order · Seller→Buyer Invoice · Buyer→Seller Payment · Courier→Buyer Note",
        "  the policy allows then: receive Invoice from Seller",
        "  no conversation was found that gets stuck by it; at run time it is refused all the same",
        "  fix: take it only where the policy does; it is kept until then",
    ]


def test_a_policy_too_wide_to_list_is_explored_and_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "PLACES", 2)
    found = judged(purchase, project(purchase, Buyer))
    assert found.answer is Answer.EXPLORED
    assert not found
    assert str(found).splitlines() == [
        "whether Buyer's machine follows Purchase is undecided: no fault was found, but that is not a proof",
        "  by exploration up to 2 messages a channel (no proof): too many interleavings to list",
    ]
    for wrong in (straight(says("Payment")), straight(says("Order")), straight(says("Order"), stops=False)):
        assert judged(purchase, wrong).answer is Answer.REJECTED


def test_conditions_on_values_are_not_looked_at() -> None:
    policy = Policy("Some", send(Buyer, Seller, label("Order", quantity=int), where="quantity > 0"))
    assert "  conditions on values are not looked at" in str(judged(policy, project(policy, Buyer))).splitlines()


def test_json_has_the_facts() -> None:
    found = judged(orders, straight(says("Cancel"), stops=False)).to_json()
    assert found == {
        "protocol": "Orders",
        "role": "Buyer",
        "answer": "rejected",
        "rule": "each of its states against every place the conversation may be in",
        "departs": "stays",
        "state": "1",
        "move": None,
        "run": ["Buyer→Seller Cancel"],
        "allowed": [],
        "stuck": "Buyer→Seller Cancel · Seller takes Cancel · stuck: Buyer waits for ever",
    }


def test_what_cannot_be_asked() -> None:
    with pytest.raises(PolicyError, match="Purchase has no role Courier\n  Its roles are Buyer and Seller"):
        accepts(purchase, straight(role="Courier"), "Courier")
    with pytest.raises(PolicyError, match="the machine is Seller's, not Buyer's"):
        accepts(purchase, project(purchase, Seller), Buyer)
    twice = Policy("Twice", seq(send(Buyer, Seller, Note), par(send(Buyer, Seller, Note), send(Seller, Buyer, Order))))
    assert accepts(twice, project(twice, Buyer), Buyer)
    both = Policy("Both", seq(*(par(send(Buyer, Seller, Note), send(Seller, Buyer, Order)) for _ in range(2))))
    with pytest.raises(PolicyError, match="the policy has Buyer→Seller Note in 2 parallel branches"):
        accepts(both, straight(says("Note")), Buyer)
    untold = Policy("Untold", choice(Buyer, send(Buyer, Seller, Order), send(Buyer, Courier, Order)))
    with pytest.raises(NotImplementable):
        accepts(untold, straight(says("Order")), Buyer)


# --------------------------------------------------------------------------------- compared with exploration


def watched(machine: Machine, projection: Machine) -> Machine:
    """The machine beside the role's own: where it leaves that one, it says what nobody ever takes."""

    def expand(key: object) -> Row[object]:
        if isinstance(key, Move):  # it has left, on a channel of this move
            return Row({Move(Direction.SEND, key.peer, "astray", key.lane): ()}, final=False)
        if not key:
            return Row({}, final=False)
        state, place = key  # type: ignore[misc]
        allowed = projection.moves[place]
        targets = {
            move: (target, allowed[move]) if move in allowed else move for move, target in machine.moves[state].items()
        }
        return Row(targets, machine.is_final(state))

    return Machine(machine.role, expand, (machine.start, projection.start), lazy=False)


def stopping(machine: Machine) -> Iterator[Machine]:
    """The machine, and for each state in which it may stop and go on, the one that stops."""
    yield machine
    for state in machine.finals:
        if machine.moves[state]:
            moves = {other: machine.moves[other] for other in machine.states() if other != state}
            yield Machine.of(machine.role, moves, machine.finals)


def faulty(policy: Policy, machine: Machine, bound: int) -> tuple[bool, bool]:
    """Whether the machine goes wrong with the others' machines, and whether that is all there is to see."""
    system = machines_of(graph_of(policy))
    projection = system[machine.role]
    whole = True
    for variant in stopping(machine):
        search = explore({**system, machine.role: watched(variant, projection)}, bound, limit=2_000)
        if search.failure is not None:
            return True, True
        whole &= search.complete
    return False, whole


@st.composite
def mutants(draw: DrawFn, policy: Policy, role: str) -> Machine:
    """The role's machine with a few things changed."""
    machine = project(policy, role)
    moves: dict[State, dict[Move, State]] = {state: dict(machine.moves[state]) for state in machine.states()}
    finals = set(machine.finals)
    states = list(moves)
    alphabet = [move for symbol in graph_of(policy).symbols if (move := move_of(role, symbol)) is not None]
    for _ in range(draw(st.integers(0, 3))):
        state = draw(st.sampled_from(states))
        kind = draw(st.sampled_from(("drop", "add", "bend", "final")))
        if kind == "final":
            finals ^= {state}
        elif kind == "add" and alphabet:
            moves[state][draw(st.sampled_from(alphabet))] = draw(st.sampled_from(states))
        elif moves[state]:
            move = draw(st.sampled_from(sorted(moves[state])))
            if kind == "drop":
                del moves[state][move]
            else:
                moves[state][move] = draw(st.sampled_from(states))
    return Machine.of(role, moves, finals)


def compare(data: DataObject, policy: Policy, *, exact: bool) -> None:
    assume(check(policy))
    role = data.draw(st.sampled_from([role.name for role in policy.roles]))
    machine = data.draw(mutants(policy, role))
    assume(sum(1 for _ in machine.states()) > 1)
    found = accepts(policy, machine, role)
    if exact:
        wrong, whole = faulty(policy, machine, 8)
        assert not (found and wrong), found
        assert found or wrong or not whole, found
    elif found:
        for bound in (1, 2):
            assert not faulty(policy, machine, bound)[0], found


few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(st.data(), policies(roles=(2, 3), size=6, loops=False))
def test_without_loops_the_answer_is_exact(data: DataObject, policy: Policy) -> None:
    compare(data, policy, exact=True)


@few
@given(st.data(), policies(roles=(2, 3), size=6))
def test_no_accepted_machine_goes_wrong(data: DataObject, policy: Policy) -> None:
    compare(data, policy, exact=False)


@pytest.mark.slow
@pytest.mark.timeout(0)
@many
@given(st.data(), policies(roles=(2, 4), size=7, loops=False))
def test_without_loops_the_answer_is_exact_at_length(data: DataObject, policy: Policy) -> None:
    compare(data, policy, exact=True)


@pytest.mark.slow
@pytest.mark.timeout(0)
@many
@given(st.data(), policies(roles=(2, 4), size=7))
def test_no_accepted_machine_goes_wrong_at_length(data: DataObject, policy: Policy) -> None:
    compare(data, policy, exact=False)


def test_the_judge_sees_what_goes_wrong() -> None:
    assert faulty(purchase, straight(says("Order")), 2) == (True, True)
    assert faulty(purchase, project(purchase, Buyer), 2) == (False, True)
    early = Machine.of("Buyer", {0: {says("Order"): 1, says("Cancel"): 2}, 1: {hears("Invoice"): 0}}, {0, 2})
    assert faulty(orders, early, 2) == (True, True)
    assert Symbol("Buyer", "Seller", "astray") not in graph_of(orders).symbols
