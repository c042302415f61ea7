"""Whether links can carry a policy, as facts: who is wired, who must remember, who needs order, who comes late."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convpolicy.policy import gallery
from convpolicy.policy.scribble import load, loads
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.evidence.findings import Finding
from convpolicy.verify.evidence.report import Report
from convpolicy.verify.links.carrier import Carrier, Players
from convpolicy.verify.links.carrying import Carriers, carried
from convpolicy.verify.runs.graph import graph_of

BUS = Carrier("the bus", ordered=True, answers=True)
TREE = Carrier("the tree", ordered=True, answers=False, players=Players.EACH)
SHARED = Carrier("the pipeline", ordered=False, answers=False, players=Players.ANY)
LAST = Carrier("the pipeline", ordered=False, answers=False)  # what the last role of a pipeline gets


# Results, and then the word that there are no more.
POISON = (
    "role A, role B, role C) { rec X { choice at A { Task() from A to B; Result() from B to C; continue X; }"
    " or { Stop() from A to B; Stop() from B to C; } } }"
)


def over(text: str, carriers: Carriers) -> Report:
    return carried(check(loads(f"global protocol Example({text}", protocol="Example")), carriers)


def wired(name: str, carriers: Carriers) -> Report:
    return carried(check(load(gallery.path(name))), carriers)


def the_one(report: Report) -> Finding:
    assert not report
    (finding,) = report.errors
    assert finding.property == "wiring"
    assert finding.fix is not None
    return finding


def everything(report: Report, carrier: Carrier) -> Carriers:
    roles = list(report.roles)
    return {(one, other): carrier for one in roles for other in roles if one != other}


# ----------------------------------------------------------------------------------------------------- who is wired


def test_conditions_on_values_are_not_kept_where_a_conversation_forks() -> None:
    text = "role A, role B) { rec X { News(n: int%s) from A to B; Reply() from B to A; continue X; } }"
    carriers = {("A", "B"): TREE, ("B", "A"): BUS}
    finding = the_one(over(text % "{n > 0}", carriers))
    assert finding.message == "Example has conditions on values, and its conversation forks"
    assert over(text % "", carriers)
    assert over(text % "{n > 0}", {("A", "B"): BUS, ("B", "A"): BUS})


def test_a_bus_carries_every_policy_of_the_gallery() -> None:
    for name in gallery.names():
        report = check(load(gallery.path(name)))
        assert carried(report, everything(report, BUS)), name


def test_an_answer_over_a_one_way_link_is_refused() -> None:
    report = wired("purchase", {("Buyer", "Seller"): Carrier("the one-way link", ordered=True, answers=False)})
    finding = the_one(report)
    assert str(report).splitlines()[1:] == [
        f"{finding.at}: Shipment and Invoice from Seller to Buyer would go against a one-way link",
        "    9 |   par { Shipment(tracking: str) from Seller to Buyer; }",
        "      |         ^^^^^^^^ the one-way link carries what Buyer says to Seller, and nothing back",
        '  fix: add a link for (Seller, Buyer), such as Bus("tcp://127.0.0.1:5555")',
    ]


def test_a_pair_without_a_link_is_refused() -> None:
    wiring = {("Buyer", "Bank"): BUS, ("Bank", "Buyer"): BUS, ("Bank", "Seller"): BUS, ("Seller", "Shipper"): BUS}
    report = wired(
        "shipping", {**wiring, ("Buyer", "Seller"): BUS, ("Seller", "Buyer"): BUS, ("Shipper", "Buyer"): BUS}
    )
    assert the_one(report).message == "no link carries Delivered from Shipper to Seller"


def test_a_role_that_the_policy_does_not_have_is_refused() -> None:
    finding = the_one(wired("purchase", {**both("Buyer", "Seller"), ("Buyr", "Seller"): BUS}))
    assert finding.message == "the wiring names Buyr, which is no role of Purchase"
    assert finding.detail == "did you mean `Buyer`? Purchase has Buyer and Seller"


def both(one: str, other: str) -> dict[tuple[str, str], Carrier]:
    return {(one, other): BUS, (other, one): BUS}


def test_a_policy_that_cannot_be_followed_says_so_first() -> None:
    text = "role A, role B, role C) { choice at A { X() from A to B; Y() from B to C; } or { Z() from A to B; } }"
    report = over(text, {("A", "B"): BUS})
    assert [finding.property for finding in report.errors] == ["fair-progress", "wiring"]


# --------------------------------------------------------------------------------------- any of many players


def test_workers_take_one_task_each() -> None:
    text = "role A, role B, role C) { Task() from A to B; Result() from B to C; }"
    assert over(text, {("A", "B"): SHARED, ("B", "C"): LAST})


def test_a_worker_that_must_remember_is_refused() -> None:
    text = "role A, role B, role C) { First() from A to B; Second() from A to B; Result() from B to C; }"
    finding = the_one(over(text, {("A", "B"): SHARED, ("B", "C"): LAST}))
    assert (finding.role, finding.message) == ("B", "B must remember what came before Second")
    assert finding.detail == (
        "the pipeline gives it to any of the players and keeps no order: another one knows what came before"
    )
    assert over(text, {("A", "B"): BUS, ("B", "C"): LAST})


def test_a_worker_that_asks_somebody_while_it_works_is_refused_for_the_answer_may_reach_another() -> None:
    text = "role A, role B, role C) { Task() from A to B; Ask() from B to C; Told() from C to B; Done() from B to C; }"
    finding = the_one(over(text, {("A", "B"): SHARED, **both("B", "C")}))
    assert finding.message == "Told may reach another player of B than the one who took Task"
    assert finding.detail == "the pipeline gives Task to any player, and the bus does not know to which"
    assert str(finding.fix) == "carry A to B over a Bus too, or let A say all that B needs in Task"
    assert over(text, {**both("A", "B"), **both("B", "C")})


def test_a_worker_may_answer_who_gave_it_the_task() -> None:
    text = "role A, role B, role C) { Task() from A to B; Done() from B to A; Result() from B to C; }"
    assert over(text, {("A", "B"): SHARED, ("B", "A"): BUS, ("B", "C"): LAST})


def test_rounds_by_any_player_and_answers_to_one_do_not_go_together() -> None:
    text = (
        "role A, role B, role C) { rec X { Task() from A to B; Ask() from B to C; Told() from C to B;"
        " Done() from B to A; continue X; } }"
    )
    finding = the_one(over(text, {("A", "B"): SHARED, **both("B", "C"), ("B", "A"): BUS}))
    assert finding.message == "Told may reach another player of B than the one who took Task"
    assert over(text, {**both("A", "B"), **both("B", "C")})


def test_nobody_can_tell_a_player_what_it_did_not_ask_for() -> None:
    text = "role A, role B, role C) { Task() from A to B; Told() from C to B; Result() from B to C; }"
    finding = the_one(
        over(text.replace("Told", "Start() from A to C; Told"), {("A", "B"): SHARED, **both("B", "C"), ("A", "C"): BUS})
    )
    assert finding.message == "Told may reach another player of B than the one who took Task"


def test_who_is_not_wired_to_a_role_of_which_any_player_takes_a_task_is_one_finding() -> None:
    text = (
        "role A, role B, role C) { Task() from A to B; Start() from A to C; Told() from C to B; Result() from B to C; }"
    )
    finding = the_one(over(text, {("A", "B"): SHARED, ("B", "C"): LAST, ("A", "C"): BUS}))
    assert finding.message == "Told from C to B would go against a one-way link"


def test_rounds_that_begin_alike_need_no_memory() -> None:
    report = over(POISON, {("A", "B"): SHARED, ("B", "C"): BUS})
    assert [finding.role for finding in report.errors] == ["C"]  # not B; what several of it say is another matter


def test_a_wide_machine_is_not_searched_and_counts_as_one_that_remembers() -> None:
    lanes = " and ".join(f"{{ M{n}() from A to B; }}" for n in range(12))
    assert the_one(over(f"role A, role B) {{ par {lanes} }}", {("A", "B"): SHARED})).role == "B"


# -------------------------------------------------------------------------------------------- order among them


def test_a_poison_pill_may_overtake_results() -> None:
    finding = the_one(over(POISON, {("A", "B"): SHARED, ("B", "C"): LAST}))
    assert finding.message == "Stop may overtake Result on the way from B to C"
    assert finding.role == "C"


def test_one_worker_keeps_its_own_order_over_any_link() -> None:
    mixing = Carrier("a link that mixes up", ordered=False, answers=True)
    assert over(POISON, {("A", "B"): mixing, ("B", "C"): mixing})


def test_results_that_are_alike_need_no_order() -> None:
    text = "role A, role B, role C) { rec X { Task() from A to B; Result() from B to C; continue X; } }"
    assert over(text, {("A", "B"): SHARED, ("B", "C"): LAST})


def test_what_is_never_under_way_together_is_in_order() -> None:
    text = (
        "role A, role B, role C) { rec X { choice at A { Task() from A to B; Result() from B to C; Next() from C to A;"
        " continue X; } or { Stop() from A to B; Stop() from B to C; } } }"
    )
    assert over(text, {("A", "B"): SHARED, ("B", "C"): LAST, ("C", "A"): BUS})


# ------------------------------------------------------------------------------------------------- who is late


def test_a_reader_joins_before_an_edition() -> None:
    wiring = {("Publisher", "Reader"): TREE, **both("Reader", "Press")}
    assert wired("newsletter", wiring)


def test_a_role_without_a_join_point_is_refused() -> None:
    finding = the_one(over("role A, role B) { First() from A to B; Second() from A to B; }", {("A", "B"): TREE}))
    assert finding.message == "B has no join point: one who comes late cannot enter"
    assert "rec … { … continue …; }" in str(finding.fix)


def test_a_loop_over_another_link_is_no_join_point() -> None:
    text = (
        "role A, role B, role C) { par { Once() from A to B; } and { rec X { choice at B { Ask() from B to C;"
        " Told() from C to B; continue X; } or { Enough() from B to C; } } } }"
    )
    assert the_one(over(text, {("A", "B"): TREE, **both("B", "C")})).role == "B"


# ------------------------------------------------------------------------------------------------------ mixed

MARKET = {
    **both("Buyer", "Market"),
    **both("Buyer", "Supplier"),
    ("Market", "Supplier"): TREE,
    ("Supplier", "Clerk"): SHARED,
    ("Clerk", "Buyer"): BUS,
}


def test_the_marketplace_is_carried_over_three_patterns() -> None:
    assert wired("marketplace", MARKET)


@pytest.mark.parametrize("pair", list(MARKET))
def test_the_marketplace_needs_every_link_of_it(pair: tuple[str, str]) -> None:
    report = wired("marketplace", {other: carrier for other, carrier in MARKET.items() if other != pair})
    spoken = pair != ("Market", "Buyer")  # the market says nothing to the buyer
    assert bool(report) is not spoken


def test_where_both_have_many_players_nobody_can_listen() -> None:
    carriers = {pair: replace(carrier, direct=carrier is not TREE) for pair, carrier in MARKET.items()}
    met = {**carriers, ("Supplier", "Clerk"): SHARED}
    assert wired("marketplace", met), "one service bus is enough: the buyer is one"
    finding = the_one(wired("marketplace", carriers))
    assert finding.message == "Supplier and Clerk both have many players, and none can listen for all"
    assert finding.detail == "the pipeline needs one that listens, where Quote is said"
    assert finding.fix is not None
    assert finding.fix.text.startswith("put a service bus between Supplier and Clerk: Bus(url, broker=True)")


def test_a_survey_is_counted_by_anybody() -> None:
    wiring = {("Surveyor", "Respondent"): TREE, ("Respondent", "Counter"): SHARED, ("Counter", "Surveyor"): LAST}
    assert wired("survey", wiring)


def test_alerts_go_out_over_a_tree() -> None:
    assert wired("alert", {("Monitor", "Staff"): TREE})


def test_watching_in_three_ways() -> None:
    wiring = {**both("Viewer", "Archive"), **both("Viewer", "Meter"), **both("Viewer", "Alarm")}
    assert wired("watch", wiring)


@given(policies(), st.data())
def test_a_link_for_each_pair_that_talks_is_enough_and_needed(policy, data) -> None:
    report = check(policy)
    spoken = {(s.sender, s.receiver) for s in graph_of(policy).symbols}
    carriers = dict.fromkeys(spoken, BUS)
    assert bool(carried(report, carriers)) is bool(report)
    if spoken:
        lost = data.draw(st.sampled_from(sorted(spoken)))
        del carriers[lost]
        assert not carried(report, carriers)


def test_two_links_of_one_pair_meet_the_same_player_only_without_a_bus() -> None:
    text = "role A, role B) { Ask() from A to B; Answer() from B to A; }"
    one, other = (Carrier(name, ordered=True, answers=True, direct=True) for name in ("the one bus", "the other bus"))
    assert over(text, {("A", "B"): one, ("B", "A"): other})
    met = replace(other, direct=False)
    assert over(text, {("A", "B"): met, ("B", "A"): met})
    finding = the_one(over(text, {("A", "B"): one, ("B", "A"): met}))
    assert finding.message == "A and B may not meet: what they say to each other goes over two links"
    assert finding.detail.endswith("and the other bus does not know to which")
    assert finding.fix is not None
    assert finding.fix.text == "leave out one of (A, B) and (B, A): either link carries answers"
