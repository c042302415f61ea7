"""The Pipeline link: what a chain is, who listens where, and several ends as one port."""

from __future__ import annotations

import pytest

from convpolicy import Bus, Memory, WiringError, roles
from convpolicy.link.pipeline import Pipeline
from convpolicy.link.port import Delivery

A, B, C, D = roles("A", "B", "C", "D")


def memories(*pairs):
    return Pipeline({pair: Memory() for pair in pairs})


def test_the_roles_are_in_order_however_the_pairs_are_written():
    via = memories((C, D), (A, B), (B, C))
    assert via.roles == ("A", "B", "C", "D")
    assert repr(via) == "<Pipeline A → B → C → D>"


def test_addresses_are_in_the_order_of_the_stages():
    via = Pipeline({(B, C): "tcp://127.0.0.1:7002", (A, B): "tcp://127.0.0.1:7001"})
    assert via.url == "tcp://127.0.0.1:7001 tcp://127.0.0.1:7002"
    assert [type(link) for link in via.links] == [Bus, Bus]


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([], "a pipeline has no stages"),
        ([(A, B), (B, A)], "a pipeline goes round in a circle"),
        ([(A, A)], "a pipeline is a chain"),
        ([(A, B), (A, C)], "in which A has one stage after it and B one before it"),
        ([(A, C), (B, C)], "in which A has one stage after it and C one before it"),
        ([(A, B), (C, D)], "these pairs are several"),
        ([(A, B), (C, D), (D, C)], "these pairs are several"),
    ],
)
def test_what_is_not_one_chain_is_refused(pairs, text):
    with pytest.raises(WiringError, match=text):
        memories(*pairs)


@pytest.mark.parametrize("setting", [{"credit": 0}, {"attempts": 0}, {"window": 0}, {"lease": 0.1}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(WiringError, match="of at least 1, and a lease of at least 0.2 s"):
        Pipeline({(A, B): Memory(), (B, C): Memory()}, **setting)


def test_a_player_may_have_a_credit_of_its_own():
    via = memories((A, B), (B, C))
    assert via.credit is None
    assert via.taking(8).credit == 8
    assert via.taking(8).links == via.links
    assert via.credit is None
    with pytest.raises(WiringError, match="a worker takes at least one task at a time"):
        via.taking(0)


def test_it_carries_forwards_to_the_next_role_only():
    via = memories((A, B), (B, C))
    assert not via.guarantees.answers
    assert via.between("A", "B").players == "any"
    assert via.between("B", "C").players == "one"
    assert via.between("B", "A") is None
    assert via.between("A", "C") is None


def test_it_has_no_single_end():
    with pytest.raises(WiringError) as caught:
        memories((A, B), (B, C)).open(listen=True)
    assert str(caught.value) == (
        "a Pipeline carries one conversation for each task, and cannot be joined.\n"
        "  Put tasks in with `async with policy.batch(A, via=…)`, and play B and C with `policy.service(…)`."
    )


def test_the_first_role_listens_for_every_stage_and_the_last_for_what_is_delivered():
    via = memories((A, B), (B, C), (C, D))
    listening = {role: {edge: port.listens for edge, port in via.ends(role).ports.items()} for role in "ABCD"}
    assert listening == {
        "A": {0: True, 1: True, 2: False},
        "B": {0: False, 1: False},
        "C": {1: False, 2: False},
        "D": {2: True},
    }


def test_frames_go_out_at_the_edge_that_the_address_names():
    via = memories((A, B), (B, C))
    a, b, c = (via.ends(role) for role in "ABC")
    up, down = b.servers
    assert b.transmit(up, b"ask") is Delivery.SENT
    assert b.transmit(down, b"result") is Delivery.SENT
    ((worker, asked),) = a.drain(8)
    ((_, delivered),) = c.drain(8)
    assert (asked, delivered) == (b"ask", b"result")
    a.transmit(worker, b"task")
    assert b.readable()
    assert b.drain(8) == [(up, b"task")]


def test_when_one_end_cannot_be_opened_the_others_are_closed():
    first, taken = Memory(), Memory()
    taken.open(listen=True)
    via = Pipeline({(A, B): first, (B, C): taken, (C, D): Memory()})
    with pytest.raises(Exception, match="somebody listens"):
        via.ends("A")
    first.open(listen=True)
