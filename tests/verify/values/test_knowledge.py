"""Who knows what: conditions that make sense, and that the roles which have to keep them can work out."""

from __future__ import annotations

import pytest

from convpolicy import NotImplementable, Policy, again, label, loop, roles, send, seq, variable
from convpolicy.verify.check import check
from convpolicy.verify.runs.graph import graph_of
from convpolicy.verify.values.knowledge import Knowledge


def policy(body: str, members: str = "role A, role B, role C") -> Policy:
    return Policy.loads(f"global protocol P({members}) {{\n{body}\n}}")


def flaws(body: str) -> list[str]:
    """Return what is said of the conditions of a policy, each with its place."""
    return [
        f"{f.at.line}:{f.at.column} {f.message}: {f.detail}" for f in Knowledge(graph_of(policy(body))).flaws if f.at
    ]


def who(body: str) -> dict[str, list[str]]:
    """Return who works out each condition."""
    knowledge = Knowledge(graph_of(policy(body)))
    assert knowledge.flaws == []
    return {str(formula.expression): sorted(able) for formula, able in knowledge.guards.values()}


def test_both_sides_keep_what_both_know() -> None:
    assert who("a(x: int{x > 0}) from A to B; b(y: int{y = x}) from B to A;") == {
        "x > 0": ["A", "B"],
        "y = x": ["A", "B"],
    }


def test_a_receiver_that_does_not_know_everything_takes_the_message_as_it_comes() -> None:
    assert who("a(x: int) from A to B; b(y: int{y = x}) from B to C;") == {"y = x": ["B"]}


def test_what_is_said_to_several_is_known_to_all_of_them() -> None:
    body = "a(x: int) from A to B, C; b(y: int{y = x}) from B to C; c({y = a.x && x = b.y}) from C to B;"
    assert who(body) == {"y = x": ["B", "C"], "y = a.x && x = b.y": ["B", "C"]}


def test_a_sender_must_know_every_value_in_its_condition() -> None:
    (flaw,) = flaws("a(x: int) from A to B;\nb(y: int{y > x}) from C to A;")
    assert flaw == (
        "3:14 C cannot know whether it may send b: its condition is `y > x`, and `x` is known to A and B only; "
        "have it said in a message before"
    )


def test_the_last_message_counts_and_whoever_did_not_hear_it_knows_nothing() -> None:
    (flaw,) = flaws("a(x: int) from A to B; a(x: int) from B to C;\nb({x > 0}) from A to B;")
    assert flaw.startswith(
        "3:4 A cannot know whether it may send b: its condition is `x > 0`, and `x` is known to B and C"
    )


def test_after_a_choice_only_what_every_branch_has_said_is_known() -> None:
    both = "choice at A { a(x: int) from A to B; } or { b(x: int) from A to B; }\nc({x > 0}) from B to A;"
    assert who(both) == {"x > 0": ["A", "B"]}
    one = "choice at A { a(x: int) from A to B; } or { b(z: int) from A to B; }\nc({x > 0}) from B to A;"
    assert flaws(one) == [
        "3:4 the condition of c speaks of `x`: no message that has certainly come before has it, and no loop carries it"
    ]
    unlike = "choice at A { a(x: int) from A to B; } or { b(x: str) from A to B; }\nc({x > 0}) from B to A;"
    assert "no message that has certainly come before has it" in flaws(unlike)[0]


def test_branches_of_a_par_know_nothing_of_each_other_and_all_is_known_after_it() -> None:
    during = "a(x: int) from A to B; par { b(x: int) from A to B; } and { c({x > 0}) from B to A; }"
    assert len(flaws(during)) == 1
    after = "par { a(x: int) from A to B; } and { b(y: int) from B to A; } c({x > y}) from A to B;"
    assert who(after) == {"x > y": ["A", "B"]}
    both = "par { a(x: int) from A to B; } and { b(x: int) from B to A; } c({x > 0}) from A to B;"
    assert len(flaws(both)) == 1, "nobody could say which of the two came last"


def test_a_loop_may_have_changed_what_was_known_before_it() -> None:
    body = "a(x: int) from A to B; rec X { b({x > 0}) from A to B; a(x: int) from B to C; continue X; }"
    assert "`x` is known to B only" in flaws(body)[0], "B heard both"


def test_names_that_make_no_sense_are_said_with_what_was_meant() -> None:
    (flaw,) = flaws("a(count: int{cuont > 0}) from A to B;")
    assert flaw == (
        "2:14 the condition of a speaks of `cuont`: did you mean `count`? no message that has certainly come before "
        "has it, and no loop carries it"
    )
    assert "conditions are about bool, int, decimal, float and str" in flaws("a(x: uuid{x = x}) from A to B;")[0]
    assert flaws("a(x: int{x + 1}) from A to B;") == [
        "2:12 the condition of a makes no sense: `x + 1` is int, and must be bool"
    ]
    assert flaws('a(x: int{x = "1"}) from A to B;') == [
        '2:12 the condition of a makes no sense: `x = "1"` compares int with str'
    ]


def test_what_a_protocol_says_is_not_known_to_the_one_that_calls_it() -> None:
    text = """
    global protocol P(role A, role B) { x(n: int) from A to B; do Q(A, B); y({n > 0}) from B to A; }
    aux global protocol Q(role A, role B) { z(n: int) from B to A; }
    """
    knowledge = Knowledge(graph_of(Policy.loads(text)))
    assert knowledge.flaws == []
    ((formula, _),) = knowledge.guards.values()
    (source,) = formula.sources
    assert source.slot == (1, "n"), "it is its own `n` that the condition is about"


# --------------------------------------------------------------------------------------------- what loops carry


def test_a_loop_carries_a_value_for_the_roles_that_it_names() -> None:
    body = "rec X [n<A, B>: int = 0] { a(x: int{x = n}) from A to B; continue X [n + 1]; }"
    assert who(body) == {"x = n": ["A", "B"]}
    alone = "rec X [n<A>: int = 0] { a(x: int{x = n}) from A to B; continue X [x + 1]; }"
    assert who(alone) == {"x = n": ["A"]}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("rec X [n<B>: int = 0] { a(x: int{x = n}) from A to B; continue X; }", "A cannot know whether it may send a"),
        ("rec X [n<C>: int = 0] { a(x: int) from A to B; continue X [x]; }", "C cannot work out what `n` becomes"),
        ("rec X [n<D>: int = 0] { a from A to B; continue X; }", "`D`, which `n` is known to, is not a role of P"),
        ("rec X [n<A>: uuid = 0] { a from A to B; continue X; }", "`n` is uuid"),
        ("rec X [n<A>: int = true] { a from A to B; continue X; }", "what `n` becomes makes no sense"),
        ("rec X [n<A>: int{m > 0} = 1] { a from A to B; continue X; }", "the condition of `n` speaks of `m`"),
        ("rec X [n<A>: int{n} = 1] { a from A to B; continue X; }", "the condition of `n` makes no sense"),
    ],
)
def test_what_a_loop_cannot_carry(body: str, problem: str) -> None:
    assert any(problem in flaw for flaw in flaws(body)), flaws(body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            "b from A to C; rec X [n<C>: int = 0] { a from A to B; continue X [n + 1]; }",
            "C cannot keep up with `n`",
        ),
        (
            "rec X [n<A>: int = 0] { par { a from A to B; } and { b from B to A; } continue X [n + 1]; }",
            "A cannot keep up with `n`",
        ),
        (
            "choice at A { a(x: int{x > 0}) from A to B; b from A to B; } or { a(x: int{x < 0}) from A to B; }",
            "A cannot tell which condition its a has to keep",
        ),
    ],
)
def test_what_a_role_cannot_do_although_it_knows_every_value(body: str, problem: str) -> None:
    report = check(policy(body, "role A, role B" if " C" not in body else "role A, role B, role C"))
    assert any(finding.message == problem for finding in report.errors), str(report)
    assert not report


def test_the_text_of_a_refusal() -> None:
    with pytest.raises(NotImplementable) as refused:
        p = policy("a(x: int) from A to B;\n  b(y: int{y > x}) from B to C;\n  c({y > x}) from C to A;")
        p.project(p.roles[0])
    assert str(refused.value) == (
        "P cannot be used as it is: 1 error\n"
        "<text>:4:10: C cannot know whether it may send c\n"
        "    4 |   c({y > x}) from C to A;\n"
        "      |          ^ its condition is `y > x`, and `x` is known to A and B only; "
        "have it said in a message before"
    )


def test_the_same_in_python() -> None:
    A, B = roles("A", "B")
    tick = label("tick", number=int)
    limit = variable("n", int, A, B, start="0", where="n >= 0")
    built = Policy("P", loop("X", send(A, B, tick, where="number = n"), again("X", "n + 1"), carrying=(limit,)))
    text = """
    global protocol P(role A, role B) {
      rec X [n<A, B>: (n: int{n >= 0}) = 0] { tick(number: int{number = n}) from A to B; continue X [n + 1]; }
    }
    """
    assert built == Policy.loads(text)
    assert built.fingerprint == Policy.loads(text).fingerprint
    assert Policy.loads(f"{built:scribble}") == built
    plain = Policy("P", loop("X", send(A, B, tick), again("X")))
    assert len({built.fingerprint, plain.fingerprint}) == 2
    assert Policy("Q", seq(send(A, B, tick, where="number = 1"))) != Policy("Q", seq(send(A, B, tick)))
