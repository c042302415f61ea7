"""A bus asks after conversations that it has known for long: nobody may be in them any more."""

from __future__ import annotations

import pytest
from helpers import NINE, Invoice, Payment, buys, sells
from town import Town, begins, silent

from convpolicy import Faults
from convpolicy.runtime.bus.inquiry import ROUND, Inquiry
from convpolicy.wire.frame import Unknown


@pytest.mark.parametrize("seed", range(2))
def test_a_player_that_takes_only_so_many_is_free_again_whatever_was_lost(seed: int) -> None:
    town = Town(faults=Faults(drop=0.2, seed=seed))
    town.player("Seller", sells, at_most=2)
    _, buying = town.player("Buyer", buys, vacant_after=600.0)
    town.run(5.0)
    for count in range(1, 13):
        begins(buying)
        town.run(4 * ROUND)
        assert buying.finishes == count
    town.run(5 * ROUND)
    assert town.switch.statistics()["open"] == 0


def test_what_anybody_is_in_is_not_over() -> None:
    town = Town()
    _, selling = town.player("Seller", silent)
    _, buying = town.player("Buyer", buys)
    begins(buying)
    town.run(10 * ROUND)
    (conversation,) = selling.engine.conversations.values()
    selling.say(conversation, Invoice(NINE))
    town.run(1.0)
    assert selling.heard[-1] == Payment(NINE)
    assert (town.switch.statistics()["open"], buying.errors, selling.errors) == (1, [], [])


def test_it_is_over_when_all_who_are_in_it_have_said_that_they_do_not_know_it() -> None:
    town = Town()
    town.player("Seller", silent)
    _, buying = town.player("Buyer", buys)
    id = begins(buying).id  # noqa: A001
    town.run(1.0)
    inquiry, (buyer, seller) = Inquiry(town.switch.bound, 0.0), town.switch.bound[id].players
    assert buyer is not None
    assert seller is not None
    assert not inquiry.is_over(seller, Unknown(id, 1, 1))
    assert not inquiry.is_over(seller, Unknown(id, 0, 0)), "it does not speak for the buyer"
    assert not inquiry.is_over(seller, Unknown(id, 7, 7))
    assert inquiry.is_over(buyer, Unknown(id, 0, 0))
    list(inquiry.due(ROUND))
    assert not inquiry.is_over(buyer, Unknown(id, 0, 0)), "what was said in another round does not count"
