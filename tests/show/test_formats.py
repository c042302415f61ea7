"""Formats by name, through `format()` and in notebooks."""

from __future__ import annotations

import pytest

from convpolicy import show
from convpolicy.policy.builder import labels, roles, send
from convpolicy.policy.model import Policy
from convpolicy.show.score import of_steps
from convpolicy.verify.roles.projection import project

Buyer, Seller = roles("Buyer", "Seller")
(Order,) = labels("Order")
POLICY = Policy("P", send(Buyer, Seller, Order))
MACHINE = project(POLICY, Buyer)
SCORE = of_steps([("Buyer", "Seller", "Order")])


def test_the_formats_of_each_kind() -> None:
    assert show.formats(MACHINE) == ("table", "prose", "mermaid", "dot")
    assert show.formats(POLICY) == ("scribble", "sequence", "mermaid")
    assert show.formats(SCORE) == ("sequence", "mermaid")


def test_every_format_gives_a_text_with_the_message_in_it() -> None:
    for value in (MACHINE, POLICY, SCORE):
        for name in show.formats(value):
            assert "Order" in show.render(value, name)


def test_a_machine_formats_itself() -> None:
    for name in show.formats(MACHINE):
        assert format(MACHINE, name) == show.render(MACHINE, name)
    assert f"{MACHINE}" == repr(MACHINE)


def test_an_unknown_format_lists_the_known_ones() -> None:
    known = "it can be shown as table, prose, mermaid or dot"
    with pytest.raises(ValueError, match=f"a machine cannot be shown as 'svg'; {known}"):
        show.render(MACHINE, "svg")
    with pytest.raises(ValueError, match=f"a machine cannot be shown as 'svg'; {known}"):
        f"{MACHINE:svg}"
    with pytest.raises(ValueError, match="a policy cannot be shown as 'dot'; it can be shown as scribble, sequence or"):
        show.render(POLICY, "dot")


def test_notebooks_get_a_mermaid_block() -> None:
    assert MACHINE._repr_markdown_() == show.markdown(MACHINE) == f"```mermaid\n{MACHINE:mermaid}\n```"
    assert show.markdown(POLICY).startswith("```mermaid\nsequenceDiagram\n")
