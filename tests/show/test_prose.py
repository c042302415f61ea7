"""Machines in English: the exact texts, because a text is right when it reads right."""

from __future__ import annotations

import re

from hypothesis import given

from convpolicy import show
from convpolicy.machine import Direction, Machine, Move
from convpolicy.policy.builder import again, choice, labels, loop, par, roles, send, seq
from convpolicy.policy.model import Policy, Statement
from convpolicy.testing.strategies import policies
from convpolicy.verify.roles.projection import project

Buyer, Seller, Courier = roles("Buyer", "Seller", "Courier")
Order, Shipment, Invoice, Payment = labels("Order", "Shipment", "Invoice", "Payment")
Accept, Reject, Cancel, Receipt, Tick, End = labels("Accept", "Reject", "Cancel", "Receipt", "Tick", "End")

PURCHASE = seq(
    send(Buyer, Seller, Order),
    par(
        send(Seller, Buyer, Shipment),
        seq(send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment)),
    ),
)


def prose(body: Statement, role: object) -> str:
    return f"{project(Policy('P', body), str(role)):prose}"


def test_the_buyer_of_the_purchase() -> None:
    assert prose(PURCHASE, Buyer) == (
        "Buyer opens by sending Order. It must then be ready for Shipment and Invoice in either order; "
        "on Invoice it must send Payment."
    )


def test_the_seller_of_the_purchase() -> None:
    assert prose(PURCHASE, Seller) == (
        "Seller waits for Order. It must then send Shipment and Invoice in either order; "
        "after Invoice it must be ready for Payment."
    )


def test_one_thing_after_another() -> None:
    body = seq(send(Buyer, Seller, Order), send(Seller, Buyer, Invoice), send(Buyer, Seller, Payment))
    assert prose(body, Buyer) == "Buyer opens by sending Order. It must then be ready for Invoice, then send Payment."


def test_a_choice_and_peers() -> None:
    """With more than one peer, every message says whose it is."""
    body = choice(
        Seller,
        seq(send(Seller, Buyer, Accept), send(Seller, Courier, Order), send(Courier, Buyer, Shipment)),
        seq(send(Seller, Buyer, Reject), send(Seller, Courier, Cancel)),
    )
    assert prose(body, Seller) == (
        "Seller opens by sending Accept or Reject to Buyer; after Accept it must send Order to Courier; "
        "after Reject it must send Cancel to Courier."
    )
    assert prose(body, Buyer) == (
        "Buyer waits for Accept or Reject from Seller; on Accept it must be ready for Shipment from Courier; "
        "on Reject it is done."
    )
    assert prose(body, Courier) == (
        "Courier waits for Order or Cancel from Seller; on Order it must send Shipment to Buyer; on Cancel it is done."
    )


def test_a_choice_that_makes_no_difference_to_the_role() -> None:
    body = seq(choice(Buyer, send(Buyer, Seller, Accept), send(Buyer, Seller, Reject)), send(Seller, Buyer, Receipt))
    assert prose(body, Buyer) == "Buyer opens by sending Accept or Reject. It must then be ready for Receipt."


def test_a_choice_whose_ways_come_together() -> None:
    body = seq(
        choice(Buyer, seq(send(Buyer, Seller, Accept), send(Buyer, Seller, Payment)), send(Buyer, Seller, Reject)),
        send(Seller, Buyer, Receipt),
    )
    assert prose(body, Seller) == (
        "Seller waits for Accept or Reject; on Accept it must be ready for Payment. "
        "In either case it must then send Receipt."
    )


def test_a_loop_starts_over() -> None:
    stream = loop("X", choice(Seller, seq(send(Seller, Buyer, Tick), again("X")), send(Seller, Buyer, End)))
    assert (
        prose(stream, Seller) == "Seller opens by sending Tick or End; after Tick it starts over; after End it is done."
    )
    endless = loop("X", send(Seller, Buyer, Tick), send(Buyer, Seller, Receipt), again("X"))
    assert prose(endless, Buyer) == "Buyer waits for Tick. It must then send Receipt. It then starts over."


def test_a_loop_that_is_not_at_the_beginning_is_a_paragraph() -> None:
    body = seq(
        send(Buyer, Seller, Order),
        loop("X", choice(Seller, seq(send(Seller, Buyer, Tick), again("X")), send(Seller, Buyer, End))),
        send(Buyer, Seller, Receipt),
    )
    assert prose(body, Buyer) == (
        "1. Buyer opens by sending Order. It then goes on at 2.\n"
        "2. Buyer must be ready for Tick or End; on Tick it goes back to 2; on End it must send Receipt."
    )


def test_ways_that_come_together_where_others_do_too() -> None:
    """Both options lead back to the beginning, where the conversation also starts: that is no new sentence."""
    body = loop(
        "X",
        choice(
            Seller,
            seq(send(Seller, Buyer, Accept), send(Buyer, Seller, Payment), again("X")),
            seq(send(Seller, Buyer, Reject), again("X")),
        ),
    )
    assert prose(body, Buyer) == (
        "Buyer waits for Accept or Reject; on Accept it must send Payment, then start over; on Reject it starts over."
    )


def test_ways_that_come_together_unless_the_role_stops() -> None:
    order, cancel, pay = (Move(Direction.SEND, "Seller", label) for label in ("Order", "Cancel", "Payment"))
    machine = Machine.of("Buyer", {0: {order: 1, cancel: 2}, 1: {pay: 2}, 2: {pay: 3}}, {0, 3})
    assert f"{machine:prose}" == (
        "1. Buyer may stop, or send Order or Cancel to Seller; after Order it must send Payment to Seller, "
        "then go on at 2; after Cancel it goes on at 2.\n"
        "2. Buyer must send Payment to Seller. It is then done."
    )


def test_a_role_that_may_never_be_needed() -> None:
    body = choice(Buyer, seq(send(Buyer, Seller, Order), send(Seller, Courier, Shipment)), send(Buyer, Seller, Cancel))
    assert prose(body, Courier) == "Courier may stop, but must be ready for Shipment from Seller."
    assert prose(body, Seller) == (
        "Seller waits for Order or Cancel from Buyer; on Order it must send Shipment to Courier; on Cancel it is done."
    )


def test_a_role_that_may_stop_or_go_on() -> None:
    machine = Machine.of("Buyer", {0: {Move(Direction.SEND, "Seller", "Order"): 1}}, {0, 1})
    assert f"{machine:prose}" == "Buyer may stop, or send Order to Seller."


def test_a_role_without_a_part() -> None:
    policy = Policy("P", send(Buyer, Seller, Order), (Buyer, Seller, Courier))
    assert f"{project(policy, Courier):prose}" == "Courier has nothing to do."


def test_sends_and_receives_side_by_side() -> None:
    body = par(
        send(Buyer, Seller, Order),
        send(Seller, Buyer, Tick),
        seq(send(Buyer, Seller, Payment), send(Seller, Buyer, Receipt)),
    )
    assert prose(body, Buyer) == (
        "Buyer must send Order, be ready for Tick and send Payment, in any order; "
        "after Payment it must be ready for Receipt."
    )


def test_a_branch_with_a_choice_and_something_after_the_par() -> None:
    body = seq(
        par(
            choice(Seller, send(Seller, Buyer, Accept), seq(send(Seller, Buyer, Reject), send(Buyer, Seller, Cancel))),
            send(Seller, Buyer, Tick),
        ),
        send(Buyer, Seller, Receipt),
    )
    assert prose(body, Buyer) == (
        "Buyer must be ready for either Accept or Reject and Tick in either order; on Reject it must send Cancel. "
        "It must then send Receipt."
    )


def test_a_branch_that_loops_is_a_paragraph() -> None:
    body = seq(
        par(
            loop("X", choice(Seller, seq(send(Seller, Buyer, Tick), again("X")), send(Seller, Buyer, End))),
            send(Seller, Buyer, Shipment),
        ),
        send(Buyer, Seller, Receipt),
    )
    assert prose(body, Buyer) == (
        "1. Buyer must follow 2 and be ready for Shipment, in either order. "
        "It must then send Receipt. It is then done.\n"
        "2. Buyer must be ready for Tick or End; on Tick it goes back to 2; on End it has nothing more to do there."
    )


def test_what_follows_a_branch_that_could_always_go_on() -> None:
    """One Tick may be the last, or not: so the Receipt may come where a Tick may."""
    body = seq(
        par(
            loop("X", choice(Seller, send(Seller, Buyer, Tick), seq(send(Seller, Buyer, Tick), again("X")))),
            send(Seller, Buyer, Shipment),
        ),
        send(Seller, Buyer, Receipt),
    )
    assert prose(body, Seller) == (
        "1. Seller must send Tick and Shipment in either order; after Tick it goes on at 2. It then goes on at 3.\n"
        "2. Seller may leave this branch, or send Tick; after Tick it goes back to 2.\n"
        "3. Seller must send Receipt or Tick; after Receipt it is done; after Tick it goes back to 3."
    )


def test_a_branch_in_which_the_role_may_not_be_needed() -> None:
    told = choice(
        Seller, seq(send(Seller, Courier, Order), send(Courier, Buyer, Shipment)), send(Seller, Courier, Cancel)
    )
    assert prose(par(told, send(Seller, Buyer, Invoice)), Buyer) == (
        "Buyer must be ready for perhaps Shipment from Courier and Invoice from Seller in either order."
    )


def test_a_branch_in_which_the_role_may_not_be_needed_before_something_else() -> None:
    told = choice(
        Seller, seq(send(Seller, Courier, Order), send(Courier, Buyer, Shipment)), send(Seller, Courier, Cancel)
    )
    assert prose(seq(par(told, send(Seller, Buyer, Invoice)), send(Seller, Buyer, Receipt)), Buyer) == (
        "Buyer must be ready for perhaps Shipment from Courier and Invoice from Seller in either order. "
        "It must then be ready for Receipt from Seller."
    )


def test_time_limits_bind_the_sender() -> None:
    body = seq(send(Buyer, Seller, Order), send(Buyer, Seller, Payment, within=30))
    assert prose(body, Buyer) == "Buyer opens by sending Order. It must then send Payment within 30 s."
    assert prose(body, Seller) == "Seller waits for Order. It must then be ready for Payment."


def test_a_wide_par_is_told_in_the_sum_of_its_branches() -> None:
    wide = Policy("W", par(*(seq(*(send(Buyer, Seller, labels(f"M{n}_{k}")[0]) for k in range(3))) for n in range(8))))
    machine = project(wide, Buyer)
    assert "after M7_0 it must send M7_1, then send M7_2" in f"{machine:prose}"
    assert len(machine._keys) < 1_000  # of 65,536


def test_a_stuck_state_is_said() -> None:
    machine = Machine.of("Buyer", {0: {Move(Direction.SEND, "Seller", "Order"): 1}}, set())
    assert f"{machine:prose}" == (
        "Buyer opens by sending Order to Seller. It is then stuck: it has nothing to do, and may not stop."
    )


def test_what_is_very_long_is_cut_off() -> None:
    order, cancel = Move(Direction.SEND, "Seller", "Order"), Move(Direction.SEND, "Seller", "Cancel")
    back = {n: {order: n + 1, cancel: n // 2} for n in range(2_000)}
    lines = f"{Machine.of('Buyer', back, {2_000}):prose}".splitlines()
    assert lines[-1].endswith("… and more: the machine is longer than this.")
    assert len(lines) == 301


@given(policies(size=10))
def test_every_message_of_the_role_is_mentioned(policy: Policy) -> None:
    for role in policy.roles:
        machine = project(policy, role)
        text = show.render(machine, "prose")
        words = set(re.findall(r"\w+", text))
        assert {move.label for row in machine.moves.values() for move in row} <= words
        assert "…" not in text
