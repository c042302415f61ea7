"""A trunk and its threads, without links: the buyer of the marketplace, and what it hears of its suppliers."""

from __future__ import annotations

import pytest
from wirings import MARKET, gallery_seat

from convpolicy import LocalViolation
from convpolicy.conversation import Envelope
from convpolicy.runtime.wired.trunk import Thread, Trunk
from convpolicy.table import Table


class Buying:
    """The buyer's side."""

    def __init__(self) -> None:
        place = gallery_seat("marketplace", MARKET, "Buyer")
        assert place.spine is not None
        self.late: list[Thread] = []
        self.whole = Table(place.machine)
        self.trunk = Trunk(
            Table(place.spine),
            bytes(16),
            whole=self.whole,
            to=frozenset(["Market"]),
            followed=lambda _thread: None,
            late=self.late.append,
            now=0.0,
        )

    def says(self, label: str) -> None:
        self.trunk.emit(self.trunk.allows(label), b"")

    def fork(self, heard: int, name: bytes = b"s") -> Thread | None:
        return self.trunk.fork(name * 16, heard, 0.0)

    def hears(self, thread: Thread, label: str, sender: str) -> None:
        number = self.whole.roles.index(sender)
        index = next(n for n, one in enumerate(self.whole.labels) if one == label)
        seq = thread.peers[number].received + 1
        thread.receive(Envelope(thread.id, number, self.whole.role, seq, 0, index, b""))  # type: ignore[arg-type]


def test_a_thread_begins_where_the_trunk_was_when_its_leaf_spoke():
    buying = Buying()
    buying.says("Wanted")
    thread = buying.fork(1)
    assert thread is not None
    assert thread.awaits == ("Offer", "NoOffer")


def test_who_has_not_answered_does_not_hold_the_trunk_up_and_is_too_late_then():
    buying = Buying()
    buying.says("Wanted")
    buying.says("Wanted")
    assert buying.fork(1) is None
    assert buying.fork(2) is not None
    assert buying.fork(3) is None, "nobody has heard what was not said"


def test_an_answer_that_was_not_taken_does_not_hold_the_trunk_up():
    buying = Buying()
    buying.says("Wanted")
    thread = buying.fork(1)
    buying.says("Wanted")
    assert buying.late == [thread]


def test_the_trunk_waits_for_those_whose_answer_was_taken_and_says_for_what():
    buying = Buying()
    buying.says("Wanted")
    thread = buying.fork(1)
    assert thread is not None
    buying.hears(thread, "Offer", "Clerk")
    with pytest.raises(LocalViolation) as caught:
        buying.says("Wanted")
    assert str(caught.value) == (
        f"Buyer may not send Wanted now: conversation {thread.id.hex()} is not that far\n"
        "  state: there it owes Order or Decline\n"
        "  allowed now: send Order to Supplier or send Decline to Supplier\n"
        "  so far: Offer\n"
        "  Nothing was sent. First send Order to Supplier or send Decline to Supplier, or change the policy."
    )
    thread.emit(thread.allows("Decline"), b"")
    buying.says("Wanted")
    assert (thread.awaits, thread.history) == (("Offer", "NoOffer"), ("Offer", "Decline", "Wanted"))


def test_a_thread_ends_with_the_trunk():
    buying = Buying()
    buying.says("Wanted")
    thread = buying.fork(1)
    assert thread is not None
    buying.hears(thread, "NoOffer", "Clerk")
    buying.says("Leave")
    assert thread.done
    assert buying.trunk.over
