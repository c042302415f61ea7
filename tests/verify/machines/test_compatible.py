"""k-multiparty compatibility: each verdict by its rule, the conditions word for word, and what a verdict promises."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, assume, given, settings
from literal_kmc import Literal
from systems import systems, written

from convpolicy.machine import Direction, Machine, Move
from convpolicy.policy.model import Policy
from convpolicy.testing.strategies import policies
from convpolicy.verify.check import check
from convpolicy.verify.exploration.explore import Kind, explore, replay
from convpolicy.verify.machines.compatible import compatible
from convpolicy.verify.machines.local import LocalAutomaton
from convpolicy.verify.machines.reading import read_machines
from convpolicy.verify.machines.safety import Because, Conditions, Safety, SafetyReport
from convpolicy.verify.roles.projection import project

EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "0"))
SMALL = 1_000  # configurations: what one example may cost

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def many(usual: int) -> settings:
    return settings(patient, max_examples=EXAMPLES or usual)


def of(text: str, k: int | None = None, up_to: int | None = None) -> SafetyReport:
    return compatible(written(text), k, up_to=up_to)


# ------------------------------------------------------------------------------------------------- by rule


def test_what_never_needs_more_room_is_safe_because_everything_was_visited() -> None:
    answer = of("A: B!ask; B?answer; end  B: A?ask; A!answer; end")
    assert (answer.verdict, answer.because, answer.k) == (Safety.SAFE, Because.VISITED, 1)
    assert answer.conditions == Conditions(exact=True, obi=True, sibi=True, cibi=True, exhaustive=True, safe=True)
    assert (answer.csa, answer.directed, answer.configurations, answer.transitions) == (True, True, 5, 4)
    assert answer
    assert answer.failure is None


def test_an_endless_sender_is_safe_by_the_theorem() -> None:
    answer = of("A: rec t. B!tick; t  B: rec t. A?tick; t")
    assert (answer.verdict, answer.because, answer.k) == (Safety.SAFE, Because.COMPATIBLE, 1)
    assert not answer.conditions.exact


def test_the_least_bound_is_found() -> None:
    """Both send twice before they take anything, again and again."""
    text = "A: rec t. B!a; B!a; B?b; B?b; t  B: rec t. A!b; A!b; A?a; A?a; t"
    assert (of(text, 1).verdict, of(text, 1).conditions.exhaustive) == (Safety.EXPLORED, False)
    assert (of(text).verdict, of(text).k, of(text).because) == (Safety.SAFE, 2, Because.COMPATIBLE)
    assert of(text, 3).k == 3
    assert of(text, 2, 4).k == 2


def test_a_message_that_is_never_taken_is_unsafe_and_shown() -> None:
    answer = of("A: B!x; B!y; end  B: A?x; end")
    assert (answer.verdict, answer.because, answer.k) == (Safety.UNSAFE, Because.FAILURE, 1)
    assert answer.failure is not None
    assert answer.failure.text == "A→B x · B takes x · A→B y · B can never take y from A"
    assert answer.failure.kind is Kind.UNEXPECTED
    assert not answer


def test_a_message_is_left_when_all_is_over() -> None:
    """B stops where it could still take y."""
    answer = of("A: C!x; B!y; end  C: A?x; B!z; end  B: C?z; {A?y; end, end}")
    assert answer, "B need not stop"
    left = of("A: {B!x; end, C!go; B!y; end}  B: {A?x; end, end}  C: {A?go; end, end}")
    assert left.verdict is Safety.UNSAFE


def test_a_message_that_no_state_ahead_takes_is_seen_before_it_is_over() -> None:
    answer = of("A: B!x; B!y; end  B: A?x; C!z; end  C: B?z; end")
    assert answer.failure is not None
    assert (answer.failure.kind, answer.failure.reason) == (Kind.UNEXPECTED, "B can never take y from A")


def test_stuck_is_unsafe() -> None:
    answer = of("A: B?x; B!y; end  B: A?y; A!x; end")
    assert answer.failure is not None
    assert (answer.failure.kind, answer.failure.text) == (
        Kind.DEADLOCK,
        "stuck: A waits for x from B; B waits for y from A",
    )


def test_who_waits_for_ever_while_others_go_on_is_unsafe() -> None:
    answer = of("A: rec t. B!x; t  B: rec t. A?x; t  C: A?z; end")
    assert (answer.verdict, answer.because) == (Safety.UNSAFE, Because.EXHAUSTIVE)
    assert answer.failure is not None
    assert answer.failure.text == "C waits for z from A for ever, though others may go on"


def test_a_message_that_could_be_taken_but_never_is_has_a_certain_failure() -> None:
    """B takes z first, which C never sends: nothing is held back, C goes round with D."""
    answer = of("A: B!x; end  B: C?z; A?x; end  C: rec t. D!u; D?v; t  D: rec t. C?u; C!v; t")
    assert (answer.verdict, answer.because) == (Safety.UNSAFE, Because.FAILURE)
    assert answer.failure is not None
    assert answer.failure.text == "B waits for z from C for ever, though others may go on"


def test_a_bound_that_is_too_small_is_never_called_a_failure() -> None:
    """With room for one each waits for the other to make room."""
    text = "A: B!a; B!a; B?b; B?b; end  B: A!b; A!b; A?a; A?a; end"
    tight = of(text, 1)
    assert (tight.verdict, tight.because) == (Safety.EXPLORED, Because.BOUND)
    assert (tight.conditions.safe, tight.to_json()["witness"]) == (False, None)
    assert "not 1-exhaustive: a message from A to B may never have room, after A→B a" in str(tight)
    assert of(text, 2)


def test_senders_that_race_are_not_decided_until_the_race_is_seen() -> None:
    """Whoever is faster decides what C does, and it takes room for two to be wrong."""
    answer = of("A: C!a; end  B: C!b; end  C: {A?a; B?b; end, B?b; A?a; end}")
    assert (answer.verdict, answer.because) == (Safety.SAFE, Because.VISITED)
    assert (answer.conditions.sibi, answer.conditions.cibi) == (False, False)


CHAINED = """
A: {C!go; end, B!go; end}
C: {A?go; B!late; end, B?late; end}
B: {A?go; C!late; end, C?late; end}
"""


def test_chained_inputs_are_those_that_come_only_after_what_was_taken() -> None:
    answer = of("A: B!x; end  B: {A?x; C!y; C?z; end, C?z; A?x; end}  C: B?y; B!z; end")
    assert (answer.conditions.sibi, answer.conditions.cibi) == (False, True)
    assert of(CHAINED).conditions[2:4] == (True, True)


def test_with_reduced_output_independence_the_theorem_holds_too() -> None:
    """B's choice is between a channel that may be full and one that is not; taken in order it never is."""
    answer = of("B: rec t. {A!x; t, C!y; A!z; end}  A: rec t. {B?x; t, B?z; end}  C: B?y; end", 2)
    assert (answer.verdict, answer.because, answer.conditions.obi) == (Safety.SAFE, Because.REDUCED, False)


def test_mixed_states_and_two_ways_are_no_session_automata() -> None:
    """The theorem is for session automata only; what was visited whole is decided all the same."""
    mixed = of("A: {B!x; B?y; end, B?y; B!x; end}  B: A!y; A?x; end")
    assert (mixed.csa, mixed.directed, mixed.verdict, mixed.because) == (False, False, Safety.SAFE, Because.VISITED)
    torn = of("A: B!x; {B!y; end, B!z; end}  B: {A?x; A?y; end, A?x; A?z; end}")
    assert (torn.csa, torn.verdict) == (False, Safety.UNSAFE)
    endless = of("A: rec t. {B!x; t, B?y; t}  B: rec t. {A?x; t, A!y; t}")
    assert (endless.csa, endless.verdict, endless.because) == (False, Safety.EXPLORED, Because.BOUND)
    assert "not session automata" in str(endless)


def test_a_machine_may_stop_where_it_is_final_although_it_could_receive() -> None:
    take = Move(Direction.RECEIVE, "B", "x")
    listener = Machine.of("A", {0: {take: 0}}, {0})
    assert compatible({"A": listener, "B": Machine.of("B", {}, {0})})
    assert compatible({"A": Machine.of("A", {0: {take: 0}}, set()), "B": Machine.of("B", {}, {0})}).failure is not None


def test_a_role_that_is_not_given_does_nothing() -> None:
    answer = of("A: X!hello; end")
    assert answer.roles == ("A", "X")
    assert answer.failure is not None
    assert answer.failure.reason == "X can never take hello from A"


def test_groups_that_share_no_channel_are_added_and_not_multiplied() -> None:
    pair = "{0}: {1}!x; {1}?y; end  {1}: {0}?x; {0}!y; end "
    answer = of("".join(pair.format(*names) for names in ("AB", "CD", "EF")))
    assert (answer.configurations, answer.transitions) == (15, 12)
    assert of(pair.format("A", "B") + "C: D!x; end  D: E?x; end  E: end").verdict is Safety.UNSAFE


def test_past_the_limit_nothing_is_claimed_except_what_was_seen() -> None:
    counting = "A: rec t. B!x; t  B: rec t. A?x; t"
    answer = compatible(written(counting), 4, limit=3)
    assert (answer.verdict, answer.because) == (Safety.EXPLORED, Because.TOO_MANY)
    assert answer.conditions == Conditions(exact=False)
    assert compatible(written(counting), 3, up_to=9, limit=3).k == 3, "more room only makes more of them"
    wrong = "A: B!y; rec t. B!x; t  B: rec t. A?x; t"
    assert compatible(written(wrong), 4, limit=3).verdict is Safety.UNSAFE


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    compatible(written("A: B!x; end  B: A?x; end"), 2, progress=lambda k, visited: told.append((k, visited)))
    assert told == [(2, 0)]


@pytest.mark.parametrize(("k", "up_to", "limit"), [(0, None, 9), (-1, None, 9), (3, 2, 9), (None, 0, 9), (1, 1, 0)])
def test_bounds_that_make_no_sense_are_refused(k: int | None, up_to: int | None, limit: int) -> None:
    with pytest.raises(ValueError, match="start at 1 or more"):
        compatible(written("A: end"), k, up_to=up_to, limit=limit)


# -------------------------------------------------------------------------------------------------- in words


def test_an_answer_says_verdict_rule_run_and_sizes() -> None:
    assert str(of("A: B!x; B!y; end  B: A?x; end")) == (
        "unsafe: B can never take y from A\n"
        "  rule: a run goes wrong, however much room the channels have\n"
        "  witness: A→B x · B takes x · A→B y · B can never take y from A\n"
        "  2 machines, k = 1: 4 configurations, 3 transitions"
    )


def test_json_has_the_fields_that_programs_read() -> None:
    assert of("A: B!x; end  B: end").to_json() == {
        "verdict": "unsafe",
        "k": 1,
        "csa": True,
        "directed": True,
        "obi": True,
        "sibi": True,
        "cibi": True,
        "exhaustive": True,
        "safe": False,
        "configurations": 2,
        "transitions": 1,
        "witness": "A→B x · B can never take x from A",
    }


# --------------------------------------------------------------------------------------------------- laws


@given(systems())
@many(80)
def test_the_conditions_are_those_of_the_definitions(system: dict[str, LocalAutomaton]) -> None:
    for k in (1, 2):
        answer = compatible(system, k, limit=100)
        assume(answer.conditions.exhaustive is not None)
        literal = Literal(system, k)
        _, obi, sibi, _, exhaustive, safe = answer.conditions
        assert (obi, sibi) == (literal.obi(), literal.sibi())
        assert (exhaustive, safe) == (literal.exhaustive(), literal.safe())


@given(systems(size=4, loops=False))
@many(120)
def test_chained_inputs_are_those_of_the_definition(system: dict[str, LocalAutomaton]) -> None:
    for k in (1, 2):
        assert compatible(system, k).conditions.cibi == Literal(system, k).cibi()


@given(systems(roles=4))
@many(250)
def test_a_verdict_holds_with_more_room(system: dict[str, LocalAutomaton]) -> None:
    answer = compatible(system, up_to=2, limit=SMALL)
    assume(answer.verdict is not Safety.EXPLORED)
    for k in (answer.k + 1, answer.k + 2):
        wider = compatible(system, k, limit=SMALL)
        if wider.conditions.exhaustive is not None:
            assert wider.conditions.safe is (answer.verdict is Safety.SAFE)


@given(systems(roles=4))
@many(120)
def test_what_is_safe_has_no_failure_for_the_plain_search_either(system: dict[str, LocalAutomaton]) -> None:
    answer = compatible(system, up_to=2, limit=SMALL)
    machines = {role: automaton.machine() for role, automaton in system.items()}
    found = [explore(machines, k, limit=SMALL).failure for k in (answer.k, answer.k + 1)]
    if answer.verdict is Safety.SAFE:
        assert found == [None, None]
    elif found[0] is not None:
        assert answer.verdict is Safety.UNSAFE


@given(systems(roles=4))
@many(120)
def test_a_witness_replays_and_is_as_short_as_that_of_the_plain_search(system: dict[str, LocalAutomaton]) -> None:
    answer = compatible(system, up_to=2, limit=SMALL)
    assume(answer.failure is not None)
    assert answer.failure is not None
    machines = {role: automaton.machine() for role, automaton in system.items()}
    assert replay(machines, answer.failure.trace)
    plain = explore(machines, answer.k, limit=SMALL).failure
    if plain is not None:
        assert len(answer.failure.trace) == len(plain.trace)


@given(policies(roles=(2, 3), size=6, par=False))
@many(40)
def test_machines_of_a_policy_that_can_be_followed_are_compatible(policy: Policy) -> None:
    assume(check(policy))
    assert compatible({role.name: project(policy, role) for role in policy.roles}, limit=SMALL)


@given(systems())
@many(60)
def test_a_system_stays_what_it_is_beside_another(system: dict[str, LocalAutomaton]) -> None:
    alone = compatible(system, 2, limit=SMALL)
    beside = compatible({**system, **read_machines("X: rec t. Y!x; t  Y: rec t. X?x; t")}, 2, limit=SMALL)
    assert beside.verdict is alone.verdict
    assert beside.conditions[1:] == alone.conditions[1:]
