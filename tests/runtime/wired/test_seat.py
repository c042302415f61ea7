"""Who is what in a policy over a wiring, and which wirings cannot be played."""

from __future__ import annotations

import pytest
from wirings import MARKET, gallery_seat, tree, wiring

from convpolicy import Link, Memory, Policy, WiringError, again, label, loop, par, roles, send, seq
from convpolicy.runtime.wired.seat import seat


def test_the_roles_of_the_marketplace():
    buyer, market, supplier, clerk = (
        gallery_seat("marketplace", MARKET, name) for name in ("Buyer", "Market", "Supplier", "Clerk")
    )
    assert (buyer.cast.root, buyer.cast.trunk, buyer.cast.forks) == ("Market", {"Buyer", "Market"}, ("Buyer",))
    assert (supplier.is_leaf, clerk.is_stage, market.is_root) == (True, True, True)
    assert buyer.spine is not None
    assert market.spine is None, "the market talks with no single supplier"


def test_a_bus_at_one_address_is_opened_once_and_who_collects_listens():
    buyer = gallery_seat("marketplace", MARKET, "Buyer")
    assert [(line.listens, sorted(line.roles)) for line in buyer.lines] == [
        (False, ["Market", "Supplier"]),
        (True, ["Clerk"]),
    ]
    clerk = gallery_seat("marketplace", MARKET, "Clerk")
    assert [(line.listens, sorted(line.roles)) for line in clerk.lines] == [(False, ["Buyer"]), (False, ["Supplier"])]


def test_a_leg_of_a_clerk_ends_where_the_next_begins():
    machine = gallery_seat("marketplace", MARKET, "Clerk").machine
    ends = [state for state in machine.states() if not machine.enabled(state)]
    assert all(machine.is_final(state) for state in ends)
    assert "Quote" not in {move.label for state in machine.states() if state for move in machine.enabled(state)}


def test_a_supplier_may_enter_after_every_request():
    supplier = gallery_seat("marketplace", MARKET, "Supplier")
    assert set(supplier.enters) == {supplier.machine.start}
    assert len(supplier.enters) == 2, "at the start, and behind a Request"


def test_the_press_is_outside_of_the_trunk():
    links: dict[tuple[str, str], Link] = {("Publisher", "Reader"): tree("Publisher"), ("Reader", "Press"): Memory()}
    press = gallery_seat("newsletter", links, "Press")
    assert press.cast.trunk == {"Publisher"}
    assert [line.listens for line in press.lines] == [True]


def test_a_wiring_with_the_trees_of_two_roots_is_refused():
    meter, alarm, viewer = roles("Meter", "Alarm", "Viewer")
    watch = Policy(
        "Watch",
        par(
            loop("Figures", seq(send(meter, viewer, label("Figure")), again("Figures"))),
            loop("Alarms", seq(send(alarm, viewer, label("Overdue")), again("Alarms"))),
        ),
    )
    links: dict[tuple[str, str], Link] = {("Meter", "Viewer"): tree("Meter"), ("Alarm", "Viewer"): tree("Alarm")}
    with pytest.raises(WiringError) as caught:
        seat(watch, wiring(links), "Viewer")
    assert "Overdue would come over a second tree, that of Alarm" in str(caught.value)
    assert "one who comes late enters where the tree of Meter comes to a join point" in str(caught.value)
    assert "carry what Alarm says to Viewer over a Bus, or let Meter pass it on" in str(caught.value)


def test_a_wiring_that_cannot_carry_the_policy_is_refused_with_the_finding():
    links = {pair: link for pair, link in MARKET.items() if pair != ("Buyer", "Supplier")}
    with pytest.raises(WiringError, match="no link carries Order, Payment and Decline from Buyer to Supplier"):
        gallery_seat("marketplace", links, "Buyer")
