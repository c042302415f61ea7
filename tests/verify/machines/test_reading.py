"""kmc's two notations: what they mean, and what is said of a text that is in neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from systems import systems

from convpolicy.errors import IllFormed, PolicyError, PolicySyntaxError
from convpolicy.verify.machines.local import LocalAutomaton
from convpolicy.verify.machines.reading import Notation, notation_of, read_machine, read_machines

FSM = """\
-- a question
.outputs
.state graph
idle 1 ! ask<int> waiting
waiting 1 ? answer idle
waiting 1 ? /* or */ no done
.marking idle
.end
.outputs
.state graph
q0 0 ? ask<int> q1
q1 0 ! answer q0
q1 0 ! no q2
.marking q0
.end
"""
TYPES = """\
A: rec t. B!ask<int>; {B?answer; t, B?no; end}   -- the same
B: rec t. A?ask<int>; {A!answer; t, A!no; end}
"""


def moves(automaton: LocalAutomaton) -> list[str]:
    return [f"{source} {move} {target}" for source, move, target in automaton.edges]


def test_a_list_of_moves() -> None:
    first, second = read_machines(FSM).values()
    assert (first.role, second.role) == ("0", "1")
    assert moves(first) == ["0 1!ask<int> 1", "1 1?answer 0", "1 1?no 2"]
    assert (first.names, first.finals) == (("idle", "waiting", "done"), {2})


def test_local_types_mean_the_same() -> None:
    first, second = read_machines(TYPES).values()
    assert (first.role, second.role) == ("A", "B")
    assert moves(first) == ["0 B!ask<int> 1", "1 B?answer 0", "1 B?no 2"]
    assert first.finals == {2}
    assert moves(second) == ["0 A?ask<int> 1", "1 A!answer 0", "1 A!no 2"]


def test_the_notation_is_guessed() -> None:
    assert notation_of(FSM) is Notation.FSM
    assert notation_of(TYPES) is Notation.TYPES
    assert notation_of("A: rec x.end") is Notation.TYPES


@pytest.mark.parametrize(
    ("text", "expected", "finals"),
    [
        ("A: end", [], {0}),
        ("A: rec x . rec y . {B!a; x, B!b; y}", ["0 B!a 0", "0 B!b 0"], set()),
        ("A: {B!a; end, {B!b; end, rec x. C!c; x}}", ["0 B!a 1", "0 B!b 2", "0 C!c 3", "3 C!c 3"], {1, 2}),
        ("A: {B?a; end, end}", ["0 B?a 1"], {0, 1}),
        ("A: B!a; rec x. {B!b; x, end}", ["0 B!a 1", "1 B!b 1"], {1}),
        ("A:B!rec1;end", ["0 B!rec1 1"], {1}),
    ],
)
def test_loops_choices_and_ends(text: str, expected: list[str], finals: set[int]) -> None:
    (automaton,) = read_machines(text).values()
    assert moves(automaton) == expected
    assert automaton.finals == finals


def test_a_long_type_is_no_deep_one() -> None:
    (automaton,) = read_machines(f"A: {'B!a; ' * 5_000}end").values()
    assert len(automaton.edges) == 5_000
    with pytest.raises(IllFormed, match="choices are nested too deeply here"):
        read_machines(f"A: {'{' * 200}end{'}' * 200}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("A: B!x end", "m:1:8: expected `;`, found `end`\n    1 | A: B!x end\n      |        ^^^"),
        ("A: {B!x; end; B?y; end}", "m:1:13: expected `,` or `}`, found `;`"),
        ("A: B!x;\n", "m:2:1: expected a message such as `Seller!order;`, `{`, `rec`, `end` or a variable"),
        ("A: B!x; end\nA: end", "m:2:1: `A` is described twice"),
        ("A: B!x; t", "m:1:9: the recursion variable `t` is not bound"),
        ("A: rec t. {B!x; t, t}", "m:1:20: `t` comes back before anything has happened"),
        ("A B", "m:1:3: expected `:`, found `B`"),
        ("", "m:1:1: expected a role, found the end of the file"),
        ("A: B!x; end /* a", "m:1:13: this comment is never closed"),
        ("A: B!x; end $", "m:1:13: `$` means nothing here"),
        (".outputs\n.state graph\nq0 1 order q1\n.marking q0\n.end", "m:3:6: expected `!` or `?`, found `order`"),
        (".outputs\n.state graph\n.end", "m:3:1: expected a move such as `q0 1 ! order q1`, or `.marking`"),
        (".state graph", "m:1:1: expected `.outputs`, found `.state`"),
        (".outputs\n.state graph\nq0 1 ! order\n.marking q0\n.end", "m:4:1: expected the state that this leads to"),
    ],
)
def test_errors_show_the_place(text: str, complaint: str) -> None:
    with pytest.raises((PolicySyntaxError, IllFormed)) as refused:
        read_machines(text, "m")
    assert str(refused.value).startswith(complaint)


def test_a_notation_can_be_given() -> None:
    with pytest.raises(PolicySyntaxError, match=r"expected `\.outputs`, found `A`"):
        read_machines(TYPES, notation=Notation.FSM)


@given(systems(roles=4))
def test_what_is_written_down_is_read_back(system: dict[str, LocalAutomaton]) -> None:
    numbers = {role: str(number) for number, role in enumerate(system)}
    text = "\n".join(as_fsm(automaton, numbers) for automaton in system.values() if automaton.edges)
    if len([automaton for automaton in system.values() if automaton.edges]) == len(system):
        for given_one, read in zip(system.values(), read_machines(text).values(), strict=True):
            assert [len(read.edges), len(read.finals)] == [len(given_one.edges), len(given_one.finals)]
            named = [f"{read.name(e.source)} {e.move} {read.name(e.target)}" for e in read.edges]
            assert named == [f"q{e.source} {numbered(str(e.move), numbers)} q{e.target}" for e in given_one.edges]


def as_fsm(automaton: LocalAutomaton, numbers: dict[str, str]) -> str:
    lines = [
        f"q{source} {numbers[move.peer]} {move.direction} {move.label} q{target}"
        for source, move, target in automaton.edges
    ]
    return "\n".join([".outputs", ".state graph", *lines, ".marking q0", ".end"])


def numbered(move: str, numbers: dict[str, str]) -> str:
    return numbers[move[0]] + move[1:]


NUMBERED = """.outputs
.state graph
a 1 ! Ask b
b 1 ? Answer c
.marking a
.end
.outputs
.state graph
a 0 ? Ask b
b 2 ! Answer c
.marking a
.end
"""


def test_a_numbered_machine_is_that_of_the_role_in_its_place() -> None:
    machine = read_machine(NUMBERED, ["A", "B"], "A")
    assert machine == read_machine("A: B!Ask<int>; B?Answer; end", ["A", "B"], "A")
    assert [str(move) for move in machine.enabled(0)] == ["B!Ask"]
    with pytest.raises(PolicyError, match="there is no role number 2\n  .* 0 is A, 1 is B."):
        read_machine(NUMBERED, ["A", "B"], "B")
    with pytest.raises(PolicyError, match="<text> has no machine of C\n  It has those of A and B."):
        read_machine(NUMBERED, ["A", "B", "C"], "C")
