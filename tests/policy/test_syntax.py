"""What the parser says about a text that is not in the language."""

from __future__ import annotations

import pytest

from convpolicy.errors import ConvPolicyError, PolicySyntaxError
from convpolicy.policy.scribble import loads, parse, render


def refused(line: str, *, before: str = "  ") -> str:
    """Return what is said about a line in a policy of Buyer and Seller."""
    with pytest.raises(PolicySyntaxError) as error:
        loads(f"global protocol P(role Buyer, role Seller) {{\n{before}{line}\n}}\n", file="p.scr")
    return str(error.value)


def place_and_text(line: str) -> tuple[str, str, str]:
    """Return where the error is, the problem, and the hint."""
    head, *_, hint = refused(line).split("\n")
    file, number, column, problem = head.split(":", 3)
    assert file == "p.scr"
    return f"{number}:{column}", problem.strip(), hint.strip()


def test_a_keyword_written_wrongly() -> None:
    assert refused("Order form Buyer to Seller;") == (
        "p.scr:2:9: expected `from` or `(`, found `form`\n"
        "    2 |   Order form Buyer to Seller;\n"
        "      |         ^^^^\n"
        "  did you mean `from`?"
    )


def test_a_semicolon_left_out_is_missed_at_the_end_of_its_line() -> None:
    assert refused("Order from Buyer to Seller\n  Invoice from Seller to Buyer;") == (
        "p.scr:2:29: expected `;` or `,` after `Seller`\n"
        "    2 |   Order from Buyer to Seller\n"
        "      |                             ^\n"
        "  end the statement with `;`."
    )


def test_a_tab_takes_one_column() -> None:
    assert refused("Order to", before="\t") == (
        "p.scr:3:1: expected a role, found `}`\n"
        "    3 | }\n"
        "      | ^\n"
        "  there is a `}` too many, or something is left out before it."
    )
    assert refused("Order at Buyer;", before="\t").split("\n")[1:3] == [
        "    2 |  Order at Buyer;",
        "      |        ^^",
    ]


@pytest.mark.parametrize(
    ("line", "place", "problem", "hint"),
    [
        (
            "chioce at Buyer { } or { }",
            "2:10",
            "expected `from` or `(`, found `at`",
            "did you mean `choice` instead of `chioce`?",
        ),
        (
            "contineu X;",
            "2:12",
            "expected `from` or `(`, found `X`",
            "did you mean `continue` instead of `contineu`?",
        ),
        (
            "choice at Buyer { } orr { }",
            "2:27",
            "expected `from` or `(`, found `{`",
            "did you mean `or` instead of `orr`?",
        ),
        (
            "Order from Buyer too Seller;",
            "2:20",
            "expected `to`, found `too`",
            "did you mean `to`?",
        ),
        (
            "Order fromBuyer to Seller;",
            "2:9",
            "expected `from` or `(`, found `fromBuyer`",
            "did you mean `from`?",
        ),
        (
            "Order from to Seller;",
            "2:17",
            "expected `to`, found `Seller`",
            "a message is written `Label(field: sort) from A to B;`.",
        ),
        (
            "Order(sku str) from Buyer to Seller;",
            "2:13",
            "expected `,` or `)`, found `str`",
            "a field is written `name: sort`, as in `sku: str`.",
        ),
        (
            "choice Buyer { }",
            "2:10",
            "expected `at`, found `Buyer`",
            "a choice is written `choice at A { … } or { … }`.",
        ),
        (
            "choice at Buyer { } and { }",
            "2:23",
            "expected a statement or `}`, found `and`",
            "parallel branches are written `par { … } and { … }`.",
        ),
        (
            "rec { A from Buyer to Seller; }",
            "2:7",
            "expected a recursion variable, found `{`",
            "a loop is written `rec X { … continue X; }`.",
        ),
        (
            "interruptible Prices { A from Buyer to Seller; } with { Stop by Buyer; }",
            "2:24",
            "expected `:`, found `{`",
            "a block is named with a colon, as in `interruptible Prices: { … } with { … }`.",
        ),
        (
            "interruptible Prices: A from Buyer to Seller;",
            "2:25",
            "expected `{`, found `A`",
            "a block that may be interrupted is written `interruptible { … } with { Label by A; }`.",
        ),
        (
            "interruptible { A from Buyer to Seller; } with { Stop from Buyer; }",
            "2:57",
            "expected `by`, `,` or `(`, found `from`",
            "a block that may be interrupted is written `interruptible { … } with { Label by A; }`.",
        ),
        (
            "do (Buyer, Seller);",
            "2:6",
            "expected the name of a protocol, found `(`",
            "a call is written `do Other(A, B);`.",
        ),
        (
            "A from Buyer to Seller within;",
            "2:32",
            "expected a time such as `30s`, found `;`",
            "a time limit is written `within 30s`, before the `;`.",
        ),
        (
            "A from Buyer to Seller within 30;",
            "2:33",
            "`30` is not a time",
            "its unit has to be one of ms, s, m, min, h and d.",
        ),
        (
            "A from Buyer to Seller within 3.0.1s;",
            "2:33",
            "`3.0.1s` is not a time",
            "write a number and a unit, such as `30s` or `0.5s`.",
        ),
        ("A from Buyer to Seller; }", "3:1", "expected a protocol, found `}`", "a protocol is written"),
        ("$ from Buyer to Seller;", "2:3", "`$` means nothing here", "take it away."),
        ("/* note", "2:3", "this comment is never closed", "close it with `*/`."),
        ("(* (* note *)", "2:3", "this comment is never closed", "close it with `*)`."),
        (
            'A from Buyer to Seller; @"note',
            "2:28",
            "this string is never closed",
            'close it with `"` on the same line.',
        ),
        ("choice at Buyer { A from Buyer to Seller;", "1:44", "this `{` is never closed", "close it with `}`."),
    ],
)
def test_what_is_said(line: str, place: str, problem: str, hint: str) -> None:
    said = place_and_text(line)
    assert said[:2] == (place, problem)
    assert said[2].startswith(hint)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("globl protocol P(role A) { }", "1:1: expected a protocol, found `globl`\n…\n  did you mean `global`?"),
        ("global protocol P(rol A) { }", "1:19: expected `role`, `;` or `)`, found `rol`\n…\n  did you mean `role`?"),
        ("global protocol", "1:8: the text ends here, but the name of a protocol is expected\n…"),
        ("global protocol P(role A", "1:18: this `(` is never closed\n…\n  close it with `)`."),
        (
            "global protocol P(role 1) { }",
            "1:24: `1` cannot name a role\n…\n  use letters, digits and _, a letter first.",
        ),
        ("import x", "1:8: the text ends here, but `;` is expected\n…"),
    ],
)
def test_heads_of_protocols(text: str, said: str) -> None:
    with pytest.raises(PolicySyntaxError) as error:
        loads(text)
    head, _, hint = said.partition("\n…\n")
    assert str(error.value).startswith(f"<text>:{head.removesuffix(chr(10) + '…')}")
    assert str(error.value).endswith(hint)


@pytest.mark.parametrize(("opening", "closing"), [("rec X { ", "} "), ("X(a: list<", ">"), ("X(", ")")])
def test_what_is_nested_too_deeply_is_refused_at_its_place(opening: str, closing: str) -> None:
    text = f"global protocol P(role A, role B) {{\n{opening * 5000}{closing * 5000}}}"
    with pytest.raises(PolicySyntaxError, match=r"<text>:2:\d+: brackets are nested too deeply here"):
        parse(text)


def test_a_hundred_levels_are_not_too_deep() -> None:
    text = f"global protocol P(role A, role B) {{ {'rec X { ' * 98} X from A to B; {'} ' * 98} }}"
    assert loads(render(loads(text))) == loads(text)


def test_the_place_is_in_the_attributes() -> None:
    with pytest.raises(ConvPolicyError) as error:
        parse("global protocol P(role A, role B) {\n  Order form A to B;\n}", "p.scr")
    found = error.value
    assert isinstance(found, PolicySyntaxError)
    assert (found.file, found.line, found.column) == ("p.scr", 2, 9)
