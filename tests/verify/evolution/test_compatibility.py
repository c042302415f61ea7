"""Policies that change under way: the order of the roles, what breaks, and the comparison with exploration."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from convpolicy.errors import NotImplementable
from convpolicy.policy.builder import again, choice, crash, label, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Label, Policy, Role, Send, Seq, Statement
from convpolicy.policy.scribble import loads
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.evolution import compatibility
from convpolicy.verify.evolution.compatibility import Safety, compatible, exchanges, line_of, unfit
from convpolicy.verify.evolution.mixing import Versions, pairing
from convpolicy.verify.exploration.explore import explore, replay
from convpolicy.verify.runs.graph import graph_of

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "1200"))

Buyer, Seller, Courier = roles("Buyer", "Seller", "Courier")
Order, Shipment, Invoice, Payment, Cancel = labels("Order", "Shipment", "Invoice", "Payment", "Cancel")


def purchase(*steps: Statement) -> Policy:
    return Policy("Purchase", seq(*steps))


order, shipment, invoice = send(Buyer, Seller, Order), send(Seller, Buyer, Shipment), send(Seller, Buyer, Invoice)
payment, cancel = send(Buyer, Seller, Payment), send(Buyer, Seller, Cancel)

pays_first = purchase(order, invoice, payment, shipment)
ships_first = purchase(order, shipment, invoice, payment)
either = purchase(order, par(shipment, seq(invoice, payment)))
with_cancel = Policy("Purchase", choice(Buyer, seq(order, invoice, payment, shipment), cancel))


def said(old: Policy, new: Policy) -> list[str]:
    return str(compatible(old, new)).splitlines()


# --------------------------------------------------------------------------------------------------- two roles


def test_a_policy_is_compatible_with_itself() -> None:
    found = compatible(either, either)
    assert found
    assert found.order == ("Buyer", "Seller")
    assert found.first == ("Buyer", "Seller")


def test_a_new_choice_of_the_buyer_comes_to_the_seller_first() -> None:
    assert said(pays_first, with_cancel) == [
        "Purchase can change while conversations run: upgrade Seller, then Buyer",
        "  old Buyer, new Seller: nobody gets stuck: Seller follows the old version",
        (
            "  Buyer first: new Buyer, old Seller: Buyer→Seller Cancel · stuck: Seller waits for Order from Buyer; "
            "nobody takes Buyer→Seller Cancel"
        ),
    ]


def test_a_choice_that_is_taken_away_goes_from_the_buyer_first() -> None:
    assert compatible(with_cancel, pays_first).order == ("Buyer", "Seller")
    assert compatible(with_cancel, pays_first).first == ("Buyer",)


def test_a_buyer_that_takes_either_order_is_upgraded_before_the_seller_sends_it() -> None:
    found = compatible(pays_first, either)
    assert found.order == ("Buyer", "Seller")
    seller = found.alone["Seller"]
    assert seller.safety is Safety.BREAKS
    assert line_of(found, seller) == (
        "old Buyer, new Seller: Buyer→Seller Order · Seller takes Order · Seller→Buyer Shipment · "
        "Buyer can never take Shipment from Seller"
    )
    assert exchanges(found, seller) == (
        [("old Buyer", "new Seller", "Order"), ("new Seller", "old Buyer", "Shipment")],
        ["old Buyer", "new Seller"],
    )
    assert compatible(either, pays_first).order == ("Seller", "Buyer")


def test_a_breaking_change_reads_like_this() -> None:
    assert said(ships_first, pays_first) == [
        "Purchase cannot change while conversations run: no order of its roles is safe",
        (
            "  Buyer first: new Buyer, old Seller: Buyer→Seller Order · Seller takes Order · Seller→Buyer Shipment · "
            "Buyer can never take Shipment from Seller"
        ),
        (
            "  Seller first: old Buyer, new Seller: Buyer→Seller Order · Seller takes Order · Seller→Buyer Invoice · "
            "stuck: Buyer waits for Shipment from Seller; Seller waits for Payment from Buyer; nobody takes "
            "Seller→Buyer Invoice"
        ),
        (
            "  fix: let the new version allow what the old one does, or give it another name and let the old "
            "conversations finish"
        ),
    ]


def test_the_way_round_a_breaking_change_goes_over_a_version_that_allows_both() -> None:
    assert not compatible(ships_first, pays_first)
    assert compatible(ships_first, either)
    assert compatible(either, pays_first)


def test_another_payload_is_another_message() -> None:
    with_sku = purchase(send(Buyer, Seller, label("Order", sku=str)), invoice, payment, shipment)
    found = compatible(pays_first, with_sku)
    assert found.order is None
    assert "Buyer→Seller Order(sku: str) · stuck: " in line_of(found, found.alone["Buyer"])
    assert "Seller waits for Order(sku: str) from Buyer" in line_of(found, found.alone["Seller"])


def test_roles_are_fixed() -> None:
    delivered = purchase(order, invoice, payment, send(Seller, Courier, Shipment))
    assert said(pays_first, delivered) == [
        (
            "Purchase cannot change while conversations run: its roles were Buyer, Seller and are Buyer, Seller, "
            "Courier, and they are fixed in a conversation"
        ),
        (
            "  fix: let the new version allow what the old one does, or give it another name and let the old "
            "conversations finish"
        ),
    ]
    assert unfit(pays_first, delivered, "Seller") == compatible(pays_first, delivered)


def test_a_version_that_cannot_be_followed_is_refused() -> None:
    untold = Policy("Purchase", choice(Buyer, seq(order, send(Seller, Courier, Shipment)), cancel))
    for pair in ((untold, pays_first), (pays_first, untold)):
        with pytest.raises(NotImplementable):
            compatible(*pair)


def test_what_cannot_be_explored_to_its_end_is_not_called_safe() -> None:
    def news(*more: Label) -> Policy:
        every = [seq(send(Seller, Buyer, each), again("Next")) for each in (Invoice, *more)]
        return Policy("News", par(loop("Next", choice(Seller, *every)), send(Buyer, Seller, Order)))

    found = compatible(news(), news(Shipment))
    assert found.safety is Safety.EXPLORED
    assert not found
    assert str(found).splitlines()[:2] == [
        "News may perhaps change while conversations run: upgrade Buyer, then Seller",
        ("  old Seller, new Buyer: no fault was found, but that is not a proof: explored up to 4 messages a channel"),
    ]
    assert unfit(news(), news(Shipment), "Buyer") == found.alone["Buyer"]


def test_a_crash_is_looked_at_where_both_versions_have_branches_for_it() -> None:
    def mortal(*more: Statement) -> Policy:
        body = choice(Buyer, seq(payment, *more), crash(Buyer, at=Seller))
        return Policy("Mortal", seq(invoice, body), reliable=(Seller,))

    found = compatible(mortal(), mortal())
    assert found
    assert found.alone["Seller"].by == "everything that can happen was explored"
    thanks = compatible(mortal(), mortal(shipment))
    assert thanks.order is None
    assert "Buyer waits for Shipment from Seller" in line_of(thanks, thanks.alone["Buyer"])


def test_nested_protocols_that_differ_are_not_compared() -> None:
    inner = "nested protocol N(role A, role B) {{ {} from A to B; }}"
    outer = "global protocol P(role A, role B) { A calls N(A, B); }"
    one, other = (loads(f"{inner.format(message)} {outer}") for message in ("X", "Y"))
    assert compatible(one, one)
    found = compatible(one, other)
    assert found.safety is Safety.EXPLORED
    assert "it starts conversations that are not the same in both" in str(found)


def test_conditions_on_values_are_not_compared() -> None:
    one, other = (purchase(send(Buyer, Seller, label("Order", quantity=int), where=f"quantity > {n}")) for n in (0, 1))
    assert compatible(one, one)
    found = compatible(one, other)
    assert found.safety is Safety.EXPLORED
    assert str(found).startswith(
        "Purchase may not be able to change while conversations run: it has conditions on values, and whether those of "
        "two versions fit is not decided\n"
    )
    assert unfit(one, other, "Buyer") == found


def test_json_has_the_facts() -> None:
    facts = compatible(pays_first, with_cancel).to_json()
    assert (facts["safety"], facts["order"], facts["reason"]) == ("safe", ["Seller", "Buyer"], None)
    assert facts["first"] == {
        "Buyer": {
            "upgraded": ["Buyer"],
            "safety": "breaks",
            "rule": "explored up to 1 messages a channel",
            "witness": "Buyer→Seller Cancel · stuck: Seller waits for Order from Buyer; nobody takes "
            "Buyer→Seller Cancel",
        },
        "Seller": {
            "upgraded": ["Seller"],
            "safety": "safe",
            "rule": "Seller follows the old version",
            "witness": None,
        },
    }


# ------------------------------------------------------------------------------------------------- three roles

fetched = Policy("Delivery", seq(order, send(Seller, Courier, Order), send(Courier, Buyer, Shipment)))
refusable = Policy(
    "Delivery",
    seq(
        order,
        choice(
            Seller,
            seq(send(Seller, Courier, Order), send(Courier, Buyer, Shipment)),
            seq(send(Seller, Courier, Cancel), send(Courier, Buyer, Cancel)),
        ),
    ),
)


def test_who_chooses_comes_last() -> None:
    found = compatible(fetched, refusable)
    assert found.order == ("Buyer", "Courier", "Seller")
    assert found.first == ("Buyer", "Courier")
    assert [step.by for step in found.steps] == [
        "Buyer follows the old version",
        "Buyer and Courier follow the old version",
    ]


def test_a_role_is_unfit_when_any_mixture_with_it_breaks() -> None:
    assert unfit(fetched, refusable, "Buyer") is None
    assert unfit(fetched, refusable, "Courier") is None
    seller = unfit(fetched, refusable, "Seller")
    assert seller == compatible(fetched, refusable).alone["Seller"]


def test_a_search_that_is_cut_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility, "MIXTURES", 3)
    found = compatible(fetched, refusable)
    assert found.safety is Safety.EXPLORED
    assert "no order of its roles is safe (among 3 mixtures that were looked at)" in str(found)


# ----------------------------------------------------------------------------------------------------- pairing


def test_messages_in_several_places_are_paired_in_their_order() -> None:
    twice = purchase(order, par(shipment, invoice), order)
    moved = purchase(par(order, invoice), shipment, order)
    pairs = pairing(graph_of(twice), graph_of(moved))
    assert len(pairs) == 2  # the Order stands in one place of the one and in two of the other
    assert {str(symbol) for symbol in pairs} == {"Seller→Buyer Shipment", "Seller→Buyer Invoice"}
    assert pairing(graph_of(twice), graph_of(twice)) == {symbol: symbol for symbol in graph_of(twice).symbols}


# ------------------------------------------------------------------------------------- compared with exploration

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def changed(statement: Statement, place: int, replacement: Statement) -> Statement:
    """The statement with another one in a place of its outermost sequence."""
    steps = list(statement.steps) if isinstance(statement, Seq) else [statement]
    steps.insert(place % (len(steps) + 1), replacement)
    return seq(*steps)


@st.composite
def changes(draw: st.DrawFn, **shape: object) -> tuple[Policy, Policy]:
    """Two policies of the same roles that can be followed and are somewhat alike."""
    old = draw(policies(roles=(2, 3), size=5, **shape))  # type: ignore[arg-type]
    other = draw(policies(roles=(len(old.roles), len(old.roles)), size=3, **shape))  # type: ignore[arg-type]
    sender, receiver = draw(st.permutations(old.roles))[:2]
    extra = Send(sender, (receiver,), Label(draw(st.sampled_from(("M0", "M1", "X")))))
    body = draw(
        st.sampled_from(
            (
                changed(old.body, draw(st.integers(0, 3)), extra),
                choice(sender, old.body, seq(extra, *_told(sender, receiver, old.roles))),
                other.body,
            )
        )
    )
    new = Policy("P", body, old.roles)
    assume(check(old) and check(new))
    return old, new


def _told(sender: Role, receiver: Role, everyone: tuple[Role, ...]) -> list[Statement]:
    return [Send(sender, (role,), Label("X")) for role in everyone if role not in (sender, receiver)]


def compare(old: Policy, new: Policy, *, exact: bool) -> None:
    found = compatible(old, new)
    versions = Versions(old, new)
    for mixture in (*found.alone.values(), *found.steps):
        system = versions.system(mixture.upgraded)
        if mixture.stuck:
            assert replay(system, mixture.stuck.trace)
        search = explore(system, 8 if exact else 2, limit=2_000)
        if mixture.safety is Safety.SAFE:
            assert search.failure is None, line_of(found, mixture)
        elif exact and search.complete and mixture.safety is Safety.BREAKS:
            assert search.failure is not None, line_of(found, mixture)


@few
@given(changes(loops=False))
def test_without_loops_a_mixture_is_decided_exactly(pair: tuple[Policy, Policy]) -> None:
    compare(*pair, exact=True)


@few
@given(changes())
def test_no_safe_mixture_gets_stuck(pair: tuple[Policy, Policy]) -> None:
    compare(*pair, exact=False)


@pytest.mark.slow
@pytest.mark.timeout(0)
@many
@given(changes())
def test_no_safe_mixture_gets_stuck_at_length(pair: tuple[Policy, Policy]) -> None:
    compare(*pair, exact=False)
