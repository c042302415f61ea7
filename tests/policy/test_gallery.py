"""The policies that come with convpolicy."""

from __future__ import annotations

import pytest

from convpolicy.errors import PolicyError
from convpolicy.policy import gallery
from convpolicy.policy.scribble import load


def test_every_policy_of_the_gallery_can_be_loaded() -> None:
    assert "purchase" in gallery.names()
    for name in gallery.names():
        assert load(gallery.path(name)).roles


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(PolicyError) as refused:
        gallery.path("purchse")
    assert str(refused.value).startswith(
        "there is no policy `purchse` in the gallery\n  did you mean `purchase`? The gallery has "
    )
