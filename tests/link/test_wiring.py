"""A wiring: who speaks to whom over what, from pairs and from a file, and the policies that it carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from convpolicy.errors import WiringError
from convpolicy.link.bus import Bus
from convpolicy.link.memory import Faults, Memory
from convpolicy.link.pipeline import Pipeline
from convpolicy.link.tree import Tree
from convpolicy.link.wiring import Wiring, carriers
from convpolicy.policy import gallery
from convpolicy.policy.builder import roles
from convpolicy.verbs import Policy
from convpolicy.verify.links.carrier import Carrier, Players

A, B, C, D = roles("A", "B", "C", "D")
Buyer, Market, Supplier, Clerk, Seller = roles("Buyer", "Market", "Supplier", "Clerk", "Seller")

BUS = Bus("tcp://127.0.0.1:5555")
TREE = Tree("tcp://127.0.0.1:6000", root=Market)
PIPELINE = Pipeline({(A, B): "tcp://127.0.0.1:7001", (B, C): "tcp://127.0.0.1:7002"})


# ------------------------------------------------------------------------------------------------------- pairs


def test_a_link_that_answers_serves_both_directions() -> None:
    wiring = Wiring({(A, B): BUS})
    assert wiring.link(A, B) is wiring.link(B, A) is BUS
    assert wiring.between("B", "A") == Carrier(repr(BUS), ordered=True, answers=True, direct=True)
    met = Wiring({(A, B): Bus("tcp://127.0.0.1:5555", broker=True)}).between("A", "B")
    assert met is not None
    assert not met.direct, "a service bus listens for both"


def test_a_direction_may_have_a_link_of_its_own() -> None:
    back = Memory()
    wiring = Wiring({(A, B): BUS, (B, A): back})
    assert wiring.link(B, A) is back


def test_a_one_way_link_serves_one_direction() -> None:
    wiring = Wiring({(Market, Supplier): TREE})
    assert wiring.link(Market, Supplier) is TREE
    assert wiring.between("Supplier", "Market") is None
    with pytest.raises(WiringError) as refused:
        wiring.link(Supplier, Market)
    assert str(refused.value) == (
        "no link carries what Supplier says to Market; the wiring has (Market, Supplier).\n"
        "  Add one for (Supplier, Market)."
    )


def test_a_tree_reaches_each_player_and_a_pipeline_any_but_the_last() -> None:
    assert TREE.between("Market", "Supplier") == Carrier(repr(TREE), ordered=True, answers=False, players=Players.EACH)
    assert PIPELINE.between("A", "B") == Carrier(repr(PIPELINE), ordered=False, answers=False, players=Players.ANY)
    assert PIPELINE.between("B", "C") == Carrier(repr(PIPELINE), ordered=False, answers=False)
    assert PIPELINE.between("A", "C") is None


@pytest.mark.parametrize(
    ("links", "text"),
    [
        ({}, "a wiring without a link carries nothing.\n  Give it pairs of roles, each with a link."),
        ({(A, A): BUS}, "the wiring has a link from A to itself.\n  Name two different roles."),
        (
            {(Supplier, Market): TREE},
            (
                f"{TREE!r} carries nothing from Supplier to Market.\n"
                f"  Wire the pair to another link, or the link to another pair."
            ),
        ),
        (
            {(A, C): PIPELINE},
            f"{PIPELINE!r} carries nothing from A to C.\n  Wire the pair to another link, or the link to another pair.",
        ),
    ],
)
def test_what_is_no_wiring(links, text) -> None:
    with pytest.raises(WiringError) as refused:
        Wiring(links)
    assert str(refused.value) == text


def test_a_wiring_keeps_what_all_of_its_links_keep() -> None:
    assert Wiring({(A, B): BUS}).guarantees == BUS.guarantees
    mixed = Wiring({(A, B): BUS, (A, C): Memory(faults=Faults(reorder=0.5)), (Market, Supplier): TREE})
    assert (mixed.guarantees.ordered, mixed.guarantees.answers) == (False, False)
    assert mixed.url == "tcp://127.0.0.1:5555 memory tcp://127.0.0.1:6000"


def test_a_wiring_of_one_link_opens_it() -> None:
    memory = Memory()
    port = Wiring({(A, B): memory, (A, C): memory}).open(listen=True)
    port.close()


def test_a_wiring_of_several_links_has_no_end_of_its_own() -> None:
    with pytest.raises(WiringError, match=r"Open the link of two roles: wiring\.link\(sender, receiver\)\."):
        Wiring({(A, B): Memory(), (A, C): Memory()}).open(listen=True)


def test_what_a_wiring_looks_like() -> None:
    assert repr(Wiring({(A, B): BUS, (B, C): BUS})) == "<Wiring of (A, B) and (B, C)>"


# ------------------------------------------------------------------------------------------------------- files

MARKET = """
# The request goes out over a tree, quotes come back over a pipeline, the rest is settled over a bus.
[[link]]
from = "Buyer"
to = "Market"
bus = "tcp://127.0.0.1:5555"

[[link]]
from = "Market"
to = "Supplier"
tree = "tcp://127.0.0.1:6000"

[[link]]
from = "Supplier"
to = "Clerk"
pipeline = "tcp://127.0.0.1:7001"
broker = true

[[link]]
from = "Clerk"
to = "Buyer"
pipeline = "tcp://127.0.0.1:7002"

[[link]]
from = "Buyer"
to = "Supplier"
bus = "tcp://127.0.0.1:5555"
"""


def test_a_wiring_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "wiring.toml"
    file.write_text(MARKET, encoding="utf-8")
    wiring = Wiring.load(file)
    assert repr(wiring.link(Market, Supplier)) == "Tree('tcp://127.0.0.1:6000', root=Market)"
    assert wiring.link(Buyer, Market) is wiring.link(Supplier, Buyer)  # one address, one bus
    assert wiring.link(Supplier, Clerk) is wiring.link(Clerk, Buyer)  # one goes on where the other ends: one pipeline
    assert repr(wiring.link(Supplier, Clerk)) == "<Pipeline Supplier → Clerk → Buyer>"


def test_links_in_memory_are_one_by_name() -> None:
    text = "".join(
        f'[[link]]\nfrom = "{one}"\nto = "{other}"\nmemory = "{name}"\n'
        for one, other, name in [("A", "B", "here"), ("A", "C", "here"), ("B", "C", "there")]
    )
    wiring = Wiring.loads(text)
    assert wiring.link(A, B) is wiring.link(A, C)
    assert wiring.link(A, B) is not wiring.link(B, C)


def test_two_chains_are_two_pipelines_in_whatever_order_they_are_written() -> None:
    stages = [("B", "C"), ("X", "Y"), ("A", "B"), ("Y", "Z")]
    text = "".join(
        f'[[link]]\nfrom = "{one}"\nto = "{other}"\npipeline = "tcp://127.0.0.1:{7000 + port}"\n'
        for port, (one, other) in enumerate(stages)
    )
    wiring = Wiring.loads(text)
    assert wiring.link(A, B) is wiring.link(B, C)
    assert {repr(link) for link in wiring.links.values()} == {"<Pipeline A → B → C>", "<Pipeline X → Y → Z>"}


def test_a_tree_says_how_many_rounds_a_leaf_hears_at_most() -> None:
    text = f'{LINK}tree = "tcp://127.0.0.1:6000"\nat_most = [3, 604_800]\n'
    link = Wiring.loads(text).link(A, B)
    assert isinstance(link, Tree)
    assert link.at_most == (3, 604_800)


LINK = '[[link]]\nfrom = "A"\nto = "B"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[[link]]\nfrom: A\n",
            (
                "w.toml:2:5: Expected '=' after a key in a key/value pair\n"
                "    2 | from: A\n"
                "      |     ^\n"
                '  A wiring is TOML: [[link]], and below it lines such as  from = "Buyer"'
            ),
        ),
        (
            f"{LINK}bux = 'tcp://127.0.0.1:5555'\n",
            (
                "w.toml:4:1: a link has no `bux`\n"
                "    4 | bux = 'tcp://127.0.0.1:5555'\n"
                "      | ^^^\n"
                "  did you mean `bus`? A link has `from`, `to`, and one of bus, tree, pipeline or memory."
            ),
        ),
        (
            f"{LINK}tree = 'tcp://127.0.0.1:6000'\nat_most = 3\n",
            (
                "w.toml:5:1: `at_most` is a number and a time\n"
                "    5 | at_most = 3\n"
                "      | ^^^^^^^\n"
                "  Write how many rounds in how many seconds:  at_most = [3, 604_800]"
            ),
        ),
        (
            f"{LINK}memory = 'x'\nat_most = [3, 7]\n",
            (
                "w.toml:5:1: a memory has no `at_most`\n"
                "    5 | at_most = [3, 7]\n"
                "      | ^^^^^^^\n"
                "  Leave it out, or use a tree."
            ),
        ),
        (
            f"{LINK}bus = 'a'\n",
            (
                "w.toml:4:1: 'a' is not an address.\n"
                "    4 | bus = 'a'\n"
                "      | ^^^\n"
                "  Use one such as tcp://127.0.0.1:5555, ipc:///path/to/socket or inproc://name."
            ),
        ),
        (
            f"{LINK}memory = 'x'\n\n  {LINK}memory = 'x'\n",
            "w.toml:6:3: (A, B) is wired twice\n    6 |   [[link]]\n      |   ^^^^^^^^\n  Leave one of the two out.",
        ),
        (
            '[[link]]\nfrom = "A"\nbus = "tcp://127.0.0.1:5555"\n',
            'w.toml:1:1: this link has no `to`\n    1 | [[link]]\n      | ^^^^^^^^\n  Say which role:  to = "Buyer"',
        ),
        (
            f'{LINK}bus = "tcp://127.0.0.1:5555"\nmemory = "x"\n',
            (
                "w.toml:5:1: this pair has bus and memory\n"
                '    5 | memory = "x"\n'
                "      | ^^^^^^\n"
                "  Give it one of bus, tree, pipeline or memory."
            ),
        ),
        (
            LINK,
            (
                "w.toml:1:1: this pair has no link\n"
                "    1 | [[link]]\n"
                "      | ^^^^^^^^\n"
                "  Give it one of bus, tree, pipeline or memory."
            ),
        ),
        (
            f"{LINK}bus = 5555\n",
            'w.toml:4:1: `bus` is a text\n    4 | bus = 5555\n      | ^^^\n  Write it in quotes:  bus = "…"',
        ),
    ],
)
def test_what_is_wrong_with_a_file_and_where(text: str, said: str) -> None:
    with pytest.raises(WiringError) as refused:
        Wiring.loads(text, file="w.toml")
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "w.toml: there is no link"),
        ("link = 5", "w.toml: there is no link"),
        ("link = [5]", "w.toml: a link is a table"),
        ("[links]\n", "w.toml: a wiring has no `links`"),
        ('link = [{from = "A", to = "A", memory = "x"}]', "w.toml: A is wired to itself"),
        ('[[link]]\nfrom = "A B"\nto = "A"\nmemory = "x"', "w.toml:2:1: `from` is not a role name"),
        (
            f'{LINK}pipeline = "tcp://127.0.0.1:7001"\n[[link]]\nfrom = "B"\nto = "A"\npipeline = "tcp://127.0.0.1:7002"',
            "w.toml:4:1: a pipeline goes round in a circle",
        ),
        ("x", "w.toml: Expected '=' after a key in a key/value pair (at end of document)"),
    ],
)
def test_every_other_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(WiringError) as refused:
        Wiring.loads(text, file="w.toml")
    assert str(refused.value).startswith(said)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "wiring.toml"
    file.write_bytes(b"\xff")
    with pytest.raises(WiringError, match=r"is not UTF-8 text: .*\n  Save it as UTF-8\."):
        Wiring.load(file)


# ---------------------------------------------------------------------------------------------------- policies


def test_the_marketplace_needs_all_three_patterns() -> None:
    marketplace = Policy.load(gallery.path("marketplace"))
    assert marketplace.check(over=Wiring.loads(MARKET))
    report = marketplace.check(over=Wiring.loads(MARKET.rpartition("[[link]]")[0]))
    assert not report
    assert [finding.message for finding in report.errors] == [
        "no link carries Order, Payment and Decline from Buyer to Supplier",
        "no link carries Invoice from Supplier to Buyer",
    ]


def test_one_link_for_a_whole_policy() -> None:
    purchase = Policy.load(gallery.path("purchase"))
    assert purchase.check(over=BUS)
    assert purchase.check(over=Memory(faults=Faults(reorder=0.5)))  # a conversation puts its messages right
    report = purchase.check(over=Tree("tcp://127.0.0.1:6000", root=Seller))
    assert [(finding.role, finding.property) for finding in report.errors] == [
        ("Seller", "wiring"),
        ("Buyer", "wiring"),
    ]
    assert "would go against a one-way link" in report.errors[0].message
    assert "has no join point" in report.errors[1].message


def test_the_links_of_a_policy_and_of_strangers() -> None:
    found = carriers(Wiring({(A, B): BUS, (C, D): BUS}), [A, B])
    assert set(found) == {("A", "B"), ("B", "A"), ("C", "D")}


def test_over_nothing_the_report_is_the_same() -> None:
    purchase = Policy.load(gallery.path("purchase"))
    assert purchase.check(over=BUS) == purchase.check() == purchase.check(over=None)
