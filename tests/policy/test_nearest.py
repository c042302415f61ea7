"""Did you mean?"""

from __future__ import annotations

from convpolicy.policy.nearest import did_you_mean, nearest


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("buyre", ["Seller", "Buyer"]) == "Buyer"
    assert nearest("SELLER", ["Seller", "Buyer"]) == "Seller"


def test_a_name_that_is_like_none_gets_no_hint() -> None:
    assert nearest("Bank", ["Seller", "Buyer"]) is None
    assert not did_you_mean("Bank", ["Seller", "Buyer"])
    assert did_you_mean("Sellr", ["Seller"]) == "did you mean `Seller`? "
