"""Diagrams of machines: the table, Mermaid and DOT show the same states and moves."""

from __future__ import annotations

import re

from hypothesis import given

from convpolicy import show
from convpolicy.machine import Direction, Machine, Move
from convpolicy.policy.builder import labels, par, roles, send, seq
from convpolicy.policy.model import Policy
from convpolicy.show.diagram import diagram_of
from convpolicy.testing.strategies import policies
from convpolicy.verify.roles.projection import project

Buyer, Seller = roles("Buyer", "Seller")
Order, Invoice, Payment = labels("Order", "Invoice", "Payment")
SALE = Policy(
    "Sale", seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment, within=30))
)
BUYER = project(SALE, Buyer)


def test_table() -> None:
    assert f"{BUYER:table}".splitlines() == [
        "state           move                        next",
        "owes_order      Seller!Order                awaits_invoice",
        "awaits_invoice  Seller?Invoice              owes_payment",
        "owes_payment    Seller!Payment within 30 s  done",
        "done            (may stop)",
    ]


def test_table_of_a_state_with_several_lines_and_of_a_stuck_one() -> None:
    order, cancel = Move(Direction.SEND, "Seller", "Order"), Move(Direction.SEND, "Seller", "Cancel")
    machine = Machine.of("Buyer", {0: {order: 0, cancel: 1}}, {0})
    assert f"{machine:table}".splitlines() == [
        "state                          move            next",
        "may_stop_owes_order_or_cancel  (may stop)",
        "                               Seller!Order    may_stop_owes_order_or_cancel",
        "                               Seller!Cancel   stuck",
        "stuck                          (cannot go on)",
    ]


def test_mermaid() -> None:
    assert f"{BUYER:mermaid}".splitlines() == [
        "stateDiagram-v2",
        '    state "owes Order" as s0',
        '    state "awaits Invoice" as s1',
        '    state "owes Payment" as s2',
        '    state "done" as s3',
        "    [*] --> s0",
        "    s0 --> s1 : Seller!Order",
        "    s1 --> s2 : Seller?Invoice",
        "    s2 --> s3 : Seller!Payment within 30 s",
        "    s3 --> [*]",
    ]


def test_dot() -> None:
    lines = f"{BUYER:dot}".splitlines()
    assert lines[0] == 'digraph "Buyer in Sale" {'
    assert '    s0 [label="owes Order", peripheries=1];' in lines
    assert '    s3 [label="done", peripheries=2];' in lines
    assert '    s2 -> s3 [label="Seller!Payment within 30 s"];' in lines
    assert lines[-1] == "}"


def test_names_that_mean_something_to_a_format_are_escaped() -> None:
    odd = Move(Direction.SEND, "Seller", 'say "a\\b"; #1: end')
    machine = Machine.of("Buyer", {0: {odd: 1}}, {1})
    assert r's0 -> s1 [label="Seller!say \"a\\b\"; #1: end"];' in f"{machine:dot}"
    assert "s0 --> s1 : Seller!say #34;a#92;b#34;#59; #35;1#58; end" in f"{machine:mermaid}"


def test_of_a_machine_with_very_many_states_the_first_are_drawn() -> None:
    wide = Policy("W", par(*(seq(*(send(Buyer, Seller, labels(f"M{n}_{k}")[0]) for k in range(3))) for n in range(8))))
    machine = project(wide, Buyer)
    text = f"{machine:table}"
    assert text.splitlines()[-1] == "… and more than these 500 states"
    assert len(diagram_of(machine).nodes) == 500
    assert len(f"{machine:mermaid}".splitlines()) < 5_000


@given(policies(size=8))
def test_all_formats_show_the_same_moves(policy: Policy) -> None:
    machine = project(policy, policy.roles[0])
    diagram = diagram_of(machine)
    edges = {(edge.source, edge.target) for edge in diagram.edges}
    assert edges == {(s, t) for s, row in machine.moves.items() if s < 500 for t in row.values() if t < 500}
    for name, arrow in (("mermaid", "-->"), ("dot", "->")):
        drawn = re.findall(rf"^    s(\d+) {arrow} s(\d+)", show.render(machine, name), re.MULTILINE)
        assert {(int(source), int(target)) for source, target in drawn} == edges
    finals = {node.state for node in diagram.nodes if node.final}
    assert {int(n) for n in re.findall(r"s(\d+) --> \[\*\]", show.render(machine, "mermaid"))} == finals
    lines = show.render(machine, "table").splitlines()
    assert sum(line.count("!") + line.count("?") for line in lines) == len(diagram.edges)
