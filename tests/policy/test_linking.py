"""Calls, type parameters, imports, and what is refused by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from convpolicy.errors import IllFormed, PolicyError, Unsupported
from convpolicy.policy.model import Call, Field, Label, Send, statements
from convpolicy.policy.scribble import load, loads, parse


def head(rest: str) -> str:
    return f"global protocol {rest}"


def sent(text: str, name: str = "P") -> list[str]:
    """Return the labels of a policy, in the order of the text."""
    return [str(label) for label in parse(text).policy(name).labels]


# --------------------------------------------------------------------------------------------- type parameters


def test_a_message_given_for_a_parameter_is_what_is_sent() -> None:
    text = head("P(role A, role B) { do Q<Yes(int)>(A, B); do Q<No()>(B, A); }") + (
        "aux global protocol Q<sig M>(role C, role D) { M from C to D; M() from D to C; }"
    )
    policy = loads(text)
    assert [(p.name, [str(s.label) for s in statements(p.body) if isinstance(s, Send)]) for p in policy.protocols] == [
        ("Q_No", ["No()", "M()"]),
        ("Q_Yes", ["Yes(int)", "M()"]),
    ]
    assert [s.protocol for s in statements(policy.body) if isinstance(s, Call)] == ["Q_Yes", "Q_No"]


def test_a_type_given_for_a_parameter_goes_through_further_calls() -> None:
    text = (
        head("P(role A, role B) { do Q<String>(A, B); }")
        + head("Q<type T>(role A, role B) { do R<X(T, list<T>)>(A, B); }")
        + head("R<sig S>(role A, role B) { S from A to B; }")
    )
    assert sent(text) == ["X(String, list<String>)"]


def test_a_parameter_that_is_given_nothing_stands_for_itself() -> None:
    assert sent(head("P<sig M, type T>(role A, role B) { M from A to B; X(T) from B to A; }")) == ["M()", "X(T)"]


def test_the_same_parameters_are_one_protocol() -> None:
    text = head("P(role A, role B) { do Q<Yes>(A, B); do Q<Yes()>(B, A); }") + (
        "aux global protocol Q<sig M>(role C, role D) { M from C to D; }"
    )
    assert [p.name for p in loads(text).protocols] == ["Q_Yes"]


def test_names_made_for_parameters_do_not_collide() -> None:
    text = head("P(role A, role B) { do Q<Yes>(A, B); do Q_Yes(A, B); }") + (
        "aux global protocol Q<sig M>(role C, role D) { M from C to D; }"
        "aux global protocol Q_Yes(role C, role D) { No from C to D; }"
    )
    assert [p.name for p in loads(text).protocols] == ["Q_Yes", "Q_Yes_2"]
    assert [str(label) for label in loads(text).labels] == ["No()", "Yes()"]


def test_parameters_that_grow_without_end_are_refused() -> None:
    text = head("P(role A, role B) { do Q<int>(A, B); }") + (
        "aux global protocol Q<type T>(role A, role B) { X(T) from A to B; do Q<list<T>>(A, B); }"
    )
    with pytest.raises(Unsupported, match="ever larger type parameters"):
        loads(text)


def test_a_wrong_number_of_parameters_is_noted_and_refused_when_loaded() -> None:
    text = (
        head("P(role A, role B) { do Q<Yes, No>(A, B); }")
        + "aux global protocol Q<sig M>(role C, role D) { M from C to D; }"
    )
    assert sent(text) == ["Yes()"]
    with pytest.raises(IllFormed) as refused:
        loads(text)
    assert str(refused.value).startswith("<text>:1:40: Q is given 2 types, and has 1\n")
    assert refused.value.hint == "its type parameters are `M`."


# ---------------------------------------------------------------------------------------------- other files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tree of modules, as Scribble lays them out: a module's name is its path below the top."""
    shop = tmp_path / "shop"
    (shop / "parts").mkdir(parents=True)
    (shop / "Main.scr").write_text(
        "module shop.Main; import shop.parts.Pay; import shop.parts.Pay as Other; import shop.Gone;"
        + head("P(role A, role B) { do shop.parts.Pay.Pay(A, B); do Other.Pay(B, A); }")
        + head("Q(role A, role B) { do shop.Gone.Gone(A, B); }")
        + head("R(role A, role B) { do shop.Gone.P(A, B); }")
        + head("S(role A, role B) { X(Other.Amount) from A to B; do shop.Main.P(A, B); }")
    )
    (shop / "parts" / "Pay.scr").write_text(
        "module shop.parts.Pay;"
        + head("Pay(role C, role D) { Payment from C to D; do P(D, C); }")
        + head("P(role C, role D) { Receipt from C to D; }")
    )
    return shop


def test_a_protocol_of_another_file_is_found_by_the_name_of_its_module(folder: Path) -> None:
    policy = load(folder / "Main.scr", "P")
    assert [label.name for label in policy.labels] == ["Receipt", "Payment"]
    assert [p.name for p in policy.protocols] == ["P_2", "Pay"]  # that module has a P of its own


def test_a_module_may_also_lie_beside_the_file(folder: Path) -> None:
    (folder / "Near.scr").write_text("import shop.Main; " + head("N(role A, role B) { do shop.Main.P(A, B); }"))
    assert [label.name for label in load(folder / "Near.scr").labels] == ["Receipt", "Payment"]


def test_the_own_module_and_types_of_others_need_no_file(folder: Path) -> None:
    assert [str(label) for label in load(folder / "Main.scr", "S").labels] == ["X(Amount)", "Receipt()", "Payment()"]


def test_an_import_that_is_not_there_is_refused_where_it_is_used(folder: Path) -> None:
    with pytest.raises(Unsupported) as refused:
        load(folder / "Main.scr", "Q")
    assert refused.value.construct == "import shop.Gone"
    assert refused.value.at is not None
    assert (refused.value.at.line, refused.value.at.width) == (1, len("import"))
    assert refused.value.hint.startswith("there is no file ")


def test_where_an_import_is_not_there_a_protocol_of_this_file_stands_in_for_checking(folder: Path) -> None:
    module = parse((folder / "Main.scr").read_text(), str(folder / "Main.scr"))
    assert [str(ignored).split(": ", 1)[1].split("\n")[0] for ignored in module.policy("R").ignored] == [
        "`import shop.Gone` is not supported yet"
    ]
    with pytest.raises(Unsupported, match=r"import shop\.Gone"):
        load(folder / "Main.scr", "R")


def test_a_text_without_a_file_imports_nothing() -> None:
    with pytest.raises(Unsupported, match=r"import shop\.Pay"):
        loads("import shop.Pay; " + head("P(role A, role B) { do shop.Pay.Pay(A, B); }"))


# ----------------------------------------------------------------------------------- refused, or noted, by name


@pytest.mark.parametrize(
    ("text", "construct", "place"),
    [
        ("local protocol P(self A, role B) { X to B; }", "local protocol", "1:16"),
        (head("P(role A; new role B) { }"), "new role", "1:27"),
        (head("P(role A, role B as C) { }"), "as C", "1:37"),
        (head('P(role A) (x: int) @"(0)" { }'), "a protocol with values", "1:27"),
        (
            head("P(role A, role B) {\n nested protocol Q(role C) { } A calls Q<X>(A); }"),
            "calls with types",
            "2:41",
        ),
        (head("P(role A, role B) {\n do X: P(A, B); }"), "do X: …", "2:2"),
        (head("P(role A, role B) {\n do P(A as C, B as D); }"), "A as C", "2:7"),
        (head("P(role A, role B) {\n X from A; }"), "receive without a receiver", "2:2"),
        (head("P(role A, role B) {\n X to B; }"), "send without a sender", "2:2"),
        (head("P(role A, role B) {\n other.X from A to B; }"), "other.X", "2:2"),
    ],
)
def test_what_is_read_but_not_supported_is_refused_by_name(text: str, construct: str, place: str) -> None:
    with pytest.raises(Unsupported) as refused:
        parse(text).policy("P")
    assert refused.value.construct == construct
    assert refused.value.hint
    line, column = place.split(":")
    assert (refused.value.line, refused.value.column) == (int(line), int(column))


def test_the_text_of_a_refusal() -> None:
    with pytest.raises(Unsupported) as refused:
        loads(head("P(role A, role B) {\n  wrap A to B;\n}"), file="p.scr")
    assert str(refused.value) == (
        "p.scr:2:3: `wrap` is not supported yet\n"
        "    2 |   wrap A to B;\n"
        "      |   ^^^^\n"
        "  encryption is a matter of the link, not of the policy: take the statement away."
    )


@pytest.mark.parametrize(
    ("text", "construct", "place"),
    [
        ("X(Game@B) from A to B;", "Game@B", "2:4"),
        ("Y(Other@A) from B to A;", "Other@A", "2:4"),
    ],
)
def test_what_says_nothing_of_who_sends_what_can_be_checked_but_not_loaded(
    text: str, construct: str, place: str
) -> None:
    whole = head(f"P(role A, role B) {{\n {text} }}")
    (ignored,) = parse(whole).policy("P").ignored
    assert isinstance(ignored, Unsupported)
    assert (ignored.construct, f"{ignored.line}:{ignored.column}") == (construct, place)
    with pytest.raises(Unsupported) as refused:
        loads(whole)
    assert refused.value.construct == construct


def test_a_refined_field_is_its_sort() -> None:
    policy = parse(head("P(role A, role B) { X(x: int{x > 0}, Game@B) from A to B; }")).policy()
    assert policy.labels == (Label("X", (Field("x", "int"), Field("", "Game"))),)


def test_a_protocol_that_is_declared_twice_is_refused_when_loaded() -> None:
    text = head("P(role A, role B) { X from A to B; }\n") + head("P(role A, role B) { }")
    assert sent(text) == ["X()"]
    with pytest.raises(PolicyError) as refused:
        loads(text)
    assert str(refused.value) == (
        "<text>:2:17: the protocol P is declared twice\n"
        "    2 | global protocol P(role A, role B) { }\n"
        "      |                 ^\n"
        "  give one of them another name. The first is at <text>:1:17."
    )
