"""A conversation that writes itself down takes nothing for ordinary that is not."""

from __future__ import annotations

import pytest
from helpers import purchase
from msgspec import Raw

from convpolicy.conversation import Envelope
from convpolicy.journal.replay import new
from convpolicy.runtime.part import Part
from convpolicy.verify.roles.projection import project

TABLE = Part(purchase, project(purchase, "Seller")).table
BUYER, SELLER = TABLE.roles.index("Buyer"), TABLE.role


@pytest.mark.parametrize("sender", [-1, SELLER, 2, 200], ids=["less", "itself", "more", "many"])
def test_what_is_said_in_the_name_of_another_role_or_of_none_is_not_heard(sender: int) -> None:
    conversation = new(TABLE, bytes(16), 0.0)
    label = next(iter(conversation.node.plain))
    said = Envelope(bytes(16), BUYER, SELLER, 1, 0, label, Raw(b"\x92\xa5chair\x02"))
    said.sender = sender
    assert conversation.hear(said, 0.0) is None
    said.sender = BUYER
    assert conversation.hear(said, 0.0) is not None
