"""The policies that come with convpolicy: each can be followed, and does what its heading says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convpolicy.conversation import Envelope
from convpolicy.errors import LocalViolation, PolicyError
from convpolicy.policy import gallery
from convpolicy.policy.model import Crashed, Message, Role
from convpolicy.policy.scribble import load
from convpolicy.testing.clock import ManualClock
from convpolicy.testing.pair import Pair
from convpolicy.verify.check import check

# What is warned of, and why it is as it should be.
WARNED = {
    "delegate": "Client",  # a job has as many parts as it has
    "watch": "Alarm",  # a viewer looks as long as it likes
    "support": "Desk",  # a desk that hears nothing has a customer who gets answers
}


def test_every_policy_of_the_gallery_can_be_followed() -> None:
    for name in gallery.names():
        assert check(load(gallery.path(name))), name


def test_the_only_warnings_are_of_roles_that_are_left_alone_on_purpose() -> None:
    for name in gallery.names():
        findings = check(load(gallery.path(name))).findings
        assert [(finding.property, finding.role) for finding in findings] == (
            [("unfair-progress", WARNED[name])] if name in WARNED else []
        )


def test_every_policy_says_what_it_is_about() -> None:
    for name in gallery.names():
        heading = gallery.path(name).read_text(encoding="utf-8").partition("global protocol")[0]
        assert heading.startswith("// "), name
        assert 2 <= heading.count(".") <= 8, name


@pytest.mark.parametrize("page", ["README.md", "docs/gallery.md"])
def test_the_pages_list_every_policy(page: str) -> None:
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) == set(gallery.names())


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(PolicyError) as refused:
        gallery.path("purchse")
    assert str(refused.value).startswith(
        "there is no policy `purchse` in the gallery\n  did you mean `purchase`? The gallery has "
    )


# --------------------------------------------------------------------------------------------- conversations


class Told:
    """A conversation of a policy of the gallery, told in lines such as `Buyer: Order`."""

    def __init__(self, name: str, *lines: str, clock: ManualClock | None = None) -> None:
        self.pair = Pair(load(gallery.path(name)), clock=clock)
        self.go(*lines)

    def go(self, *lines: str) -> Told:
        for line in lines:
            self.pair.deliver(self.under_way(line))
        return self

    def under_way(self, line: str) -> Envelope:
        """Let a role say something that has not arrived yet; `Buyer: Order to Seller` where it matters to whom."""
        role, _, said = line.partition(": ")
        label, _, to = said.partition(" to ")
        return self.pair.says(Role(role), Message(label), to=Role(to) if to else None)

    def refuses(self, line: str) -> bool:
        before = self.pair.trace
        with pytest.raises(LocalViolation):
            self.under_way(line)
        return self.pair.trace == before

    @property
    def done(self) -> bool:
        return self.pair.done

    @property
    def owes(self) -> dict[str, set[str]]:
        return {role.name: labels for role, labels in self.pair.owes.items()}


# purchase-cancel

PAID = ("Buyer: Order", "Seller: Invoice", "Buyer: Payment")


def test_a_purchase_is_cancelled_before_it_ships() -> None:
    talk = Told("purchase-cancel", *PAID, "Buyer: Cancel", "Seller: Cancelled")
    assert talk.done
    assert talk.refuses("Seller: Shipment")


def test_a_parcel_is_kept_or_comes_back_for_a_refund() -> None:
    assert Told("purchase-cancel", *PAID, "Seller: Shipment", "Buyer: Keep", "Buyer: Accepted").done
    assert Told("purchase-cancel", *PAID, "Seller: Shipment", "Buyer: Keep", "Buyer: Return", "Seller: Refund").done


def test_a_cancel_and_a_shipment_that_cross_mean_the_same_to_both() -> None:
    talk = Told("purchase-cancel", *PAID)
    cancel, shipment = talk.under_way("Buyer: Cancel"), talk.under_way("Seller: Shipment")
    talk.pair.deliver(shipment)
    talk.pair.deliver(cancel)
    assert talk.refuses("Seller: Cancelled")  # it has shipped: the money comes back with the parcel only
    assert talk.owes == {"Buyer": {"Accepted", "Return"}}
    assert talk.go("Buyer: Return", "Seller: Refund").done


def test_the_money_comes_back_once() -> None:
    assert Told("purchase-cancel", *PAID, "Buyer: Cancel", "Seller: Cancelled").refuses("Seller: Refund")
    talk = Told("purchase-cancel", *PAID, "Seller: Shipment", "Buyer: Keep", "Buyer: Accepted")
    assert talk.refuses("Seller: Refund")
    assert talk.refuses("Buyer: Cancel")


# failover


def test_the_backup_is_asked_when_the_primary_has_stopped_and_only_then() -> None:
    assert Told("failover", "Client: Ask", "Primary: Answer", "Client: Unneeded").done
    talk = Told("failover", "Client: Ask")
    assert talk.refuses("Client: Ask")
    talk.pair.stops(Role("Primary"))
    assert talk.pair.received[-1] == Crashed(Role("Primary"))
    assert talk.go("Client: Ask", "Backup: Answer").done


def test_what_the_primary_has_said_is_heard_before_it_is_missed() -> None:
    talk = Told("failover", "Client: Ask", "Primary: Answer")
    talk.pair.stops(Role("Primary"))
    assert talk.go("Client: Unneeded").done
    assert not any(isinstance(message, Crashed) for message in talk.pair.received)


# two-buyers

QUOTED = (
    "FirstBuyer: Title",
    "Seller: Quote to FirstBuyer",
    "Seller: Quote to SecondBuyer",
    "FirstBuyer: Share",
)


def test_the_second_buyer_decides_for_both() -> None:
    accepted = ("SecondBuyer: Accept to Seller", "SecondBuyer: Accept to FirstBuyer", "Seller: Delivery")
    assert Told("two-buyers", *QUOTED, *accepted).done
    assert Told("two-buyers", *QUOTED, "SecondBuyer: Decline to Seller", "SecondBuyer: Decline to FirstBuyer").done


def test_the_two_buyers_cannot_be_told_different_things() -> None:
    talk = Told("two-buyers", *QUOTED, "SecondBuyer: Accept to Seller")
    assert talk.refuses("SecondBuyer: Decline to FirstBuyer")
    assert talk.owes["SecondBuyer"] == {"Accept"}


def test_a_share_may_come_before_the_quote() -> None:
    talk = Told("two-buyers", *QUOTED[:2])
    quote = talk.under_way("Seller: Quote to SecondBuyer")
    talk.go("FirstBuyer: Share")  # waits for the quote that it is a share of
    assert "SecondBuyer" not in talk.owes
    talk.pair.deliver(quote)
    assert talk.owes["SecondBuyer"] == {"Accept", "Decline"}


# shipping

INVOICED = ("Buyer: Order", "Seller: Invoice")


def test_a_parcel_leaves_when_the_bank_has_the_money() -> None:
    talk = Told("shipping", *INVOICED, "Buyer: Transfer")
    assert talk.refuses("Seller: Parcel")
    talk.go("Bank: Paid", "Seller: Parcel", "Shipper: Shipment", "Bank: Receipt", "Shipper: Delivered")
    assert talk.done


@pytest.mark.parametrize(
    "ending",
    [
        ("Buyer: Transfer", "Bank: Declined to Seller", "Bank: Declined to Buyer", "Seller: NoParcel"),
        ("Buyer: Withdraw to Seller", "Buyer: Withdraw to Bank", "Seller: NoParcel"),
    ],
)
def test_all_four_hear_that_nothing_is_shipped(ending: tuple[str, ...]) -> None:
    assert not Told("shipping", *INVOICED, *ending[:-1]).done
    talk = Told("shipping", *INVOICED, *ending)
    assert talk.done
    assert talk.refuses("Shipper: Shipment")


# contract-net


def called(*answers: str) -> Told:
    calls = [f"Manager: CallForProposals to {name}" for name in ("First", "Second", "Third")]
    return Told("contract-net", *calls, *answers)


def test_the_work_is_awarded_once() -> None:
    talk = called("Third: Propose", "First: Refuse", "Second: Propose", "Manager: Accept to Second")
    assert talk.refuses("Manager: Accept to Third")
    assert talk.go("Manager: Reject to First", "Manager: Reject to Third", "Second: Done").done


def test_nothing_is_awarded_before_all_have_answered() -> None:
    assert called("First: Propose", "Second: Propose").refuses("Manager: Accept to First")


def test_the_manager_may_take_none_and_a_winner_may_fail() -> None:
    refused = [f"{name}: Refuse" for name in ("First", "Second", "Third")]
    assert called(*refused, *(f"Manager: Closed to {name}" for name in ("First", "Second", "Third"))).done
    talk = called(*refused[:2], "Third: Propose", "Manager: Accept to Third")
    assert talk.go("Manager: Reject to First", "Manager: Reject to Second", "Third: Failed").done


# newsletter


def test_a_reader_opens_what_interests_it() -> None:
    talk = Told("newsletter", "Publisher: Edition", "Publisher: Edition", "Reader: Open")
    assert talk.owes["Press"] == {"Content"}  # rendered when it is opened
    talk.go("Publisher: Edition", "Press: Content", "Reader: Open", "Press: Content")
    assert talk.go("Reader: OptOut", "Publisher: Closed").done


def test_a_reader_opts_out_at_any_time_and_what_is_under_way_still_comes() -> None:
    talk = Told("newsletter", "Publisher: Edition")
    edition = talk.under_way("Publisher: Edition")
    talk.go("Reader: OptOut")
    talk.pair.deliver(edition)
    assert talk.refuses("Reader: Open")
    assert talk.go("Publisher: Closed").done


# reminder


def test_reminders_until_the_payment_arrives() -> None:
    talk = Told("reminder", "Seller: Invoice", "Seller: Reminder", "Seller: Reminder", "Buyer: Payment")
    assert talk.go("Seller: Receipt").done


def test_no_reminder_is_seen_after_the_receipt() -> None:
    talk = Told("reminder", "Seller: Invoice")
    reminder = talk.under_way("Seller: Reminder")  # crosses the payment
    talk.go("Buyer: Payment")
    receipt = talk.under_way("Seller: Receipt")
    talk.pair.deliver(receipt)
    talk.pair.deliver(reminder)
    assert [message.label for message in talk.pair.received if isinstance(message, Message)] == [
        "Invoice",
        "Payment",
        "Reminder",
        "Receipt",
    ]
    assert talk.refuses("Seller: Reminder")
    assert talk.done


# quote

ASKED = ("Buyer: Ask", "Seller: Quote")


def test_a_quote_is_accepted_declined_or_lapses() -> None:
    assert Told("quote", *ASKED, "Buyer: Accept", "Seller: Confirmation").done
    assert Told("quote", *ASKED, "Buyer: Decline").done
    clock = ManualClock()
    talk = Told("quote", *ASKED, clock=clock)
    assert talk.refuses("Buyer: Lapsed")
    clock.advance(24 * 3600)
    assert talk.pair.due == {Role("Buyer"): {"Lapsed"}}
    assert talk.go("Buyer: Lapsed").done


def test_a_quote_can_be_accepted_late_while_nobody_has_said_that_it_lapsed() -> None:
    clock = ManualClock()
    talk = Told("quote", *ASKED, clock=clock)
    clock.advance(25 * 3600)
    assert talk.go("Buyer: Accept", "Seller: Confirmation").done


# support


def test_a_desk_answers() -> None:
    talk = Told("support", "Customer: Question", "Agent: Answer", "Customer: Question", "Agent: Answer")
    assert talk.go("Customer: Thanks", "Agent: Closed").done


def test_who_waits_too_long_is_offered_a_call() -> None:
    talk = Told("support", "Customer: Question", "Agent: Late", "Desk: CallOffer")
    assert talk.go("Customer: Call to Agent", "Customer: Call to Desk").done
    talk = Told("support", "Customer: Question", "Agent: Late", "Desk: CallOffer", "Customer: Wait")
    assert talk.owes == {"Agent": {"Answer"}}


def test_an_agent_who_says_nothing_is_late_for_everybody() -> None:
    clock = ManualClock()
    talk = Told("support", "Customer: Question", clock=clock)
    clock.advance(600)
    assert not talk.pair.expired
    clock.advance(61)
    assert {late.role for late in talk.pair.expired} == {"Agent"}


def test_a_channel_is_retired_only_after_another_was_offered() -> None:
    talk = Told("support", "Customer: Question")
    assert talk.refuses("Agent: Retired to Customer")
    talk.go("Agent: OtherChannel", "Customer: Stay", "Agent: Retired to Customer", "Agent: Retired to Desk")
    assert talk.done


def test_a_long_conversation_goes_on_where_it_was_on_the_other_channel() -> None:
    talk = Told("support", "Customer: Question", "Agent: OtherChannel", "Customer: Move")
    assert talk.owes == {"Agent": {"Answer"}}  # the question is still open
    assert talk.go("Agent: Answer", "Customer: Thanks", "Agent: Closed").done


# survey


def test_every_answer_is_counted_and_so_is_none() -> None:
    talk = Told("survey", "Surveyor: Questionnaire", "Respondent: Answers", "Counter: Counted")
    talk.go("Surveyor: Questionnaire", "Respondent: NoAnswer", "Counter: Left")
    assert talk.go("Surveyor: Finished", "Respondent: NoMore").done


def test_nobody_answers_twice() -> None:
    talk = Told("survey", "Surveyor: Questionnaire", "Respondent: Answers")
    assert talk.refuses("Respondent: Answers")
    assert talk.go("Counter: Counted").refuses("Counter: Counted")


# activity and alert


def test_every_activity_is_noted_before_the_next() -> None:
    talk = Told("activity", "Shop: Activity", "Monitor: Noted", "Shop: Activity")
    assert talk.refuses("Shop: Activity")
    assert talk.go("Monitor: Noted", "Shop: Closing").done


def test_nothing_is_heard_of_a_customer_after_the_end() -> None:
    talk = Told("alert", "Monitor: Alert", "Monitor: Alert", "Monitor: Closed")
    assert talk.done
    assert talk.refuses("Monitor: Alert")


# watch


def test_three_ways_of_watching_do_not_wait_for_each_other() -> None:
    talk = Told("watch", "Viewer: Look to Archive", "Viewer: Look to Meter", "Viewer: Look to Alarm")
    talk.go("Meter: Figures", "Viewer: Ask", "Alarm: Overdue", "Meter: Figures", "Archive: History")
    talk.go("Alarm: Silent", "Alarm: Settled", "Viewer: Ask", "Alarm: NoMoreAlarms", "Archive: Unknown")
    assert talk.refuses("Alarm: Overdue")
    talk.go("Viewer: Enough", "Viewer: Leave to Meter", "Meter: Figures", "Meter: NoMoreFigures")
    assert talk.go("Viewer: Leave to Alarm").done


# marketplace

OFFERED = ("Buyer: Wanted", "Market: Request", "Supplier: Quote", "Clerk: Offer")


def test_a_request_becomes_an_order() -> None:
    talk = Told("marketplace", *OFFERED, "Buyer: Order", "Supplier: Invoice", "Buyer: Payment")
    assert talk.go("Buyer: Leave", "Market: Closed", "Supplier: NoMore").done


def test_a_supplier_without_a_quote_or_not_chosen_hears_the_next_request() -> None:
    talk = Told("marketplace", *OFFERED, "Buyer: Decline")
    talk.go("Buyer: Wanted", "Market: Request", "Supplier: NoQuote", "Clerk: NoOffer")
    assert talk.refuses("Buyer: Order")
    assert talk.go("Buyer: Leave", "Market: Closed", "Supplier: NoMore").done
