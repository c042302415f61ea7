"""The `transitions` machine accepts the same traces as ours, and refuses the same moves."""

from __future__ import annotations

import importlib.util

import pytest
import transitions
from hypothesis import given
from hypothesis import strategies as st

from convpolicy import interop
from convpolicy.errors import MissingExtra, PolicyError
from convpolicy.interop import machine_from, triggers
from convpolicy.machine import Direction, Machine, Move
from convpolicy.policy.builder import labels, par, roles, send, seq
from convpolicy.policy.model import Policy
from convpolicy.testing.strategies import policies
from convpolicy.verify.roles.projection import project

Buyer, Seller = roles("Buyer", "Seller")
Order, Shipment, Invoice, Payment = labels("Order", "Shipment", "Invoice", "Payment")
PURCHASE = Policy(
    "Purchase",
    seq(
        send(Buyer, Seller, Order),
        par(send(Seller, Buyer, Shipment), seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))),
    ),
)


class Desk:
    """A model with a hook, as a user of `transitions` would write it."""

    state: str

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_enter_done(self, event: transitions.EventData) -> None:
        self.seen.append(event.transition.source)


def test_a_model_gets_triggers_and_hooks() -> None:
    desk = Desk()
    project(PURCHASE, Buyer).to_transitions(desk)
    for trigger in ("send_order_to_seller", "receive_invoice_from_seller", "receive_shipment_from_seller"):
        assert getattr(desk, trigger)()
    assert desk.state == "owes_payment"
    with pytest.raises(transitions.MachineError):
        desk.send_order_to_seller()
    desk.send_payment_to_seller()
    assert (desk.state, desk.seen) == ("done", ["owes_payment"])


def test_without_a_model_the_machine_is_its_own() -> None:
    machine = project(PURCHASE, Buyer).to_transitions()
    machine.send_order_to_seller()
    assert machine.state == "awaits_shipment_awaits_invoice"


def test_final_states_are_known() -> None:
    machine = project(PURCHASE, Buyer).to_transitions()
    assert [name for name, state in machine.states.items() if state.final] == ["done"]


def test_a_label_in_two_lanes_has_two_triggers() -> None:
    policy = Policy("P", seq(send(Buyer, Seller, Order), par(send(Buyer, Seller, Order), send(Buyer, Seller, Payment))))
    assert sorted(triggers(project(policy, Seller)).values()) == [
        "receive_order_from_buyer_in_0_0",
        "receive_order_from_buyer_in_main",
        "receive_payment_from_buyer",
    ]


def test_labels_that_differ_in_case_only_have_two_triggers() -> None:
    capital, small = labels("Order", "order")
    policy = Policy("P", seq(send(Buyer, Seller, capital), send(Buyer, Seller, small)))
    assert len(set(triggers(project(policy, Seller)).values())) == 2


def test_a_graph_machine_draws_itself() -> None:
    machine = project(PURCHASE, Buyer).to_transitions(graph=True)
    assert "send_order_to_seller" in machine.get_graph().source


def test_a_graph_without_graphviz_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interop, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra) as caught:
        project(PURCHASE, Buyer).to_transitions(graph=True)
    assert str(caught.value) == 'a GraphMachine needs graphviz: install it with  pip install "convpolicy[diagrams]"'
    assert importlib.util.find_spec("graphviz")


@given(policies(size=6), st.data())
def test_both_accept_the_same_traces_and_refuse_the_same_moves(policy: Policy, data: st.DataObject) -> None:
    ours = project(policy, data.draw(st.sampled_from(policy.roles)))
    theirs, names = ours.to_transitions(), triggers(ours)
    state = ours.start
    for _ in range(8):
        assert theirs.state == ours.name(state)
        assert theirs.states[theirs.state].final == ours.is_final(state)
        refused = [name for move, name in names.items() if not allowed(theirs, name)]
        assert refused == [name for move, name in names.items() if move not in ours.enabled(state)]
        if not ours.enabled(state):
            break
        move = data.draw(st.sampled_from(ours.enabled(state)))
        theirs.trigger(names[move])
        state = ours.after(state, move)


def allowed(theirs: transitions.Machine, trigger: str) -> bool:
    """Try the trigger, and go back to where the machine was."""
    before = theirs.state
    try:
        return theirs.trigger(trigger)
    except transitions.MachineError:
        return False
    finally:
        theirs.set_state(before)


def test_names_that_transitions_uses_itself_do_not_clash() -> None:
    """Triggers begin with `send_` or `receive_`, states with what the role owes or awaits."""
    moves = {0: {Move(Direction.SEND, "Trigger", "Trigger"): 1}, 1: {Move(Direction.RECEIVE, "Model", "State"): 2}}
    machine = Machine.of("Machine", moves, {2}).to_transitions()
    machine.send_trigger_to_trigger()
    machine.receive_state_from_model()
    assert machine.state == "done"


# ------------------------------------------------------------------------------------------- from transitions


@given(policies(roles=(2, 3)))
def test_what_goes_to_transitions_comes_back(policy: Policy) -> None:
    for role in policy.roles:
        machine = project(policy, role)
        if machine.finals:  # without one, those without moves would count
            assert by_name(machine_from(machine.to_transitions(), machine), machine) == by_name(machine, machine)


def by_name(machine: Machine, named: Machine) -> dict[str, tuple[bool, dict[Move, str]]]:
    """The table, by names; what comes from `transitions` has them as its keys, and its states in another order."""
    names = {s: str(machine.key(s)) if machine is not named else machine.name(s) for s in machine.states()}
    return {names[s]: (machine.is_final(s), {m: names[t] for m, t in machine.moves[s].items()}) for s in names}


def buyer_of(steps: list[list[str]], **settings: object) -> transitions.Machine:
    states = list(dict.fromkeys(name for step in steps for name in step[1:]))
    return transitions.Machine(None, states, transitions=steps, initial=states[0], **settings)


def test_states_that_nothing_leaves_are_final_where_none_is_marked() -> None:
    written = buyer_of([["send_order_to_seller", "new", "ordered"]])
    machine = machine_from(written, project(PURCHASE, Buyer))
    assert [machine.key(state) for state in machine.finals] == ["ordered"]
    assert machine.moves[machine.start] == {Move(Direction.SEND, "Seller", "Order"): 1}


def test_an_unknown_trigger_is_named() -> None:
    with pytest.raises(PolicyError, match="the trigger send_odrer_to_seller is no move of Buyer in Purchase") as told:
        machine_from(buyer_of([["send_odrer_to_seller", "new", "ordered"]]), project(PURCHASE, Buyer))
    assert "did you mean `send_order_to_seller`?" in str(told.value)


def test_a_trigger_with_two_ends_is_named() -> None:
    order = "send_order_to_seller"
    written = buyer_of([[order, "new", "ordered"], [order, "new", "lost"], [order, "ordered", "ordered"]])
    with pytest.raises(PolicyError, match="send_order_to_seller leads from new to several states"):
        machine_from(written, project(PURCHASE, Buyer))


def test_a_machine_without_a_beginning_is_refused() -> None:
    with pytest.raises(PolicyError, match="no first state"):
        machine_from(transitions.Machine(None, ["new"], initial=None), project(PURCHASE, Buyer))
