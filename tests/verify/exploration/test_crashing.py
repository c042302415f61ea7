"""Policies that say what happens when a role stops: what is accepted, what is refused, and that no crash breaks it.

The law at the end compares verdicts on random policies with every crash at every moment, run by machines that know
nothing of the conditions. `CONVPOLICY_EXAMPLES` sets the number of policies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convpolicy.errors import IllFormed
from convpolicy.machine import CRASH, Direction, Machine, Move, move_of, symbol_of
from convpolicy.policy.builder import choice, crash, labels, roles, send, seq
from convpolicy.policy.model import AnyRole, Policy, Statement
from convpolicy.policy.scribble import loads
from convpolicy.verify.check import check
from convpolicy.verify.decide import By, Limits, decide, machines_of
from convpolicy.verify.evidence.report import Report, Verdict
from convpolicy.verify.exploration.crashing import explore_crashes, replay_crashes
from convpolicy.verify.exploration.explore import Kind, Step
from convpolicy.verify.roles.projection import project
from convpolicy.verify.runs.graph import END, graph_of

# The protocols of Barwell, Hou, Yoshida and Zhou, ECOOP 2023, from their tool Teatrino.
PING_PONG = """
global protocol PingPong(role P, role Q) {
  rec Again {
    choice at P {
      ping from P to Q;
      choice at Q { pong from Q to P; continue Again; } or { crash from Q to P; }
    } or { crash from P to Q; }
  }
}"""

LOGGER = """
global protocol Logger(role L, role Client, reliable role I) {
  rec Again {
    choice at L {
      pulse from L to I;
      choice at Client { start from Client to I; start from I to L; ok from I to Client; continue Again; }
      or { stop from Client to I; ok from I to Client; stop from I to L; }
      or { put(String) from Client to I; put(String) from I to L; continue Again; }
      or {
        get from Client to I; get from I to L;
        choice at L { put(String) from L to I; put(String) from I to Client; continue Again; }
        or { crash from L to I; fatal from I to Client; }
      } or { crash from Client to I; fatal from I to L; }
    } or {
      crash from L to I;
      choice at Client { start from Client to I; ko from I to Client; }
      or { stop from Client to I; ok from I to Client; }
      or { put(String) from Client to I; continue Again; }
      or { get from Client to I; fatal from I to Client; }
      or { crash from Client to I; }
    }
  }
}"""

OAUTH = """
global protocol OAuth(role Cl, role A, reliable role S) {
  choice at Cl {
    start from Cl to S; redirect from S to Cl;
    choice at Cl {
      login from Cl to A;
      choice at A {
        Authorisation from A to Cl;
        choice at Cl {
          password from Cl to A;
          choice at A {
            ko from A to Cl;
            choice at Cl { ko from Cl to S; received from S to Cl; quit from S to A; }
            or { crash from Cl to S; quit from S to A; }
          } or {
            ok from A to Cl;
            choice at Cl {
              ok from Cl to S; get from S to A;
              choice at A { put from A to S; put from S to Cl; } or { crash from A to S; fatal from S to Cl; }
            } or { crash from Cl to S; quit from S to A; }
          } or {
            crash from A to Cl;
            choice at Cl { fatal from Cl to S; } or { crash from Cl to S; quit from S to A; }
          }
        } or { crash from Cl to A; crash from Cl to S; quit from S to A; }
      } or {
        crash from A to Cl;
        choice at Cl { fatal from Cl to S; } or { crash from Cl to S; quit from S to A; }
      }
    } or { crash from Cl to A; crash from Cl to S; quit from S to A; }
  } or { crash from Cl to S; crash from Cl to A; quit from S to A; }
}"""


def replayed(policy: Policy) -> Report:
    report = check(policy)
    for finding in report.findings:
        assert finding.witness is not None
        assert finding.witness.replay(policy), finding
    return report


# ------------------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("text", [PING_PONG, LOGGER, OAUTH])
def test_the_protocols_of_the_paper_are_implementable(text: str) -> None:
    report = replayed(loads(text))
    assert report, str(report)
    assert report.rule == By.CRASHES


def test_without_a_crash_branch_a_policy_is_checked_as_before() -> None:
    text = "global protocol Plain(role P, reliable role Q) { a from P to Q; b from Q to P; }"
    report = check(loads(text))
    assert report
    assert report.rule == By.CONDITIONS


def test_who_stops_does_not_see_it_and_who_waits_does() -> None:
    machines = machines_of(graph_of(loads(PING_PONG)))
    assert all(move.label != CRASH or move.peer == "Q" for row in machines["P"].moves.values() for move in row)
    first = machines["Q"].enabled(machines["Q"].start)
    assert first == (Move(Direction.RECEIVE, "P", "ping"), Move(Direction.RECEIVE, "P", CRASH))
    assert machines["Q"].name(0) == "awaits_ping_or_crash"


def test_a_third_role_learns_it_by_a_message() -> None:
    policy = loads("""
        global protocol Relay(role P, reliable role Q, reliable role R) {
          choice at P { a from P to Q; b from Q to R; } or { crash from P to Q; c from Q to R; }
        }""")
    assert replayed(policy)
    machine = project(policy, "R")
    assert {move.label for move in machine.enabled(machine.start)} == {"b", "c"}


# -------------------------------------------------------------------------------------------- what is refused


def refused(text: str) -> str:
    report = replayed(loads(text, file="crash.scr"))
    assert not report
    return str(report)


def test_a_message_without_a_crash_branch_is_named() -> None:
    text = refused("""
global protocol Relay(role P, role Q, role R) {
  choice at P { a from P to Q; b from Q to R; } or { crash from P to Q; c from Q to R; }
}""")
    assert "crash.scr:3:32: R waits for ever for b when Q has stopped" in text
    assert "add a branch `or { crash from Q to R; … }`, or declare `reliable role Q`" in text
    assert "P→Q a · Q stops · stuck: R waits for b from Q or c from Q, and Q has stopped" in text


def test_a_third_role_that_is_not_told_is_named() -> None:
    text = refused("""
global protocol Blind(role P, reliable role Q, reliable role R) {
  choice at P { a from P to Q; b from Q to R; } or { crash from P to Q; }
}""")
    assert "R cannot tell the branches of `choice at P` apart" in text
    assert "on a it must receive b from Q; on the crash of P it receives nothing" in text


def test_a_crash_that_two_roles_notice_in_any_order_is_found_by_exploration() -> None:
    text = refused("""
global protocol AnyOrder(role P, reliable role Q, reliable role R) {
  choice at P { a from P to Q; choice at P { b from P to R; z from R to Q; } or { crash from P to R; x from R to Q; } }
  or { crash from P to Q; c from Q to R; }
}""")
    assert "P stops · Q goes on without P · Q→R c · R goes on without P · R can never take c from Q" in text


def test_a_role_that_would_have_to_stop() -> None:
    text = refused("global protocol Lone(role P, reliable role Q) { a from Q to P; crash from P to Q; }")
    assert "P would have to stop here" in text
    assert "put it beside a message" in text


def test_one_who_has_stopped_says_nothing_any_more() -> None:
    text = refused("""
global protocol Ghost(role P, reliable role Q) {
  choice at P { a from P to Q; } or { crash from P to Q; b from P to Q; }
}""")
    assert "the conversation gets stuck" in text


def test_too_many_crashes_are_not_called_proved() -> None:
    decision = decide(graph_of(loads(LOGGER)), Limits(crashes=50))
    assert decision.verdict is Verdict.EXPLORED
    assert decision.by is By.EXPLORATION_OF_CRASHES


def test_what_the_conditions_do_not_decide_is_not_called_proved() -> None:
    text = """
global protocol Either(role P, reliable role Q, reliable role R) {
  choice at P { a from P to R; } or { b from Q to R; } or { crash from P to R; }
}"""
    report = replayed(loads(text))
    assert not report
    assert report.verdict is not Verdict.IMPLEMENTABLE
    assert "P and Q may both go first" in str(report)
    many = " ".join(f"and {{ m{n} from Q to R; n{n} from R to Q; o{n} from Q to R; }}" for n in range(7))
    body = f"a from P to R; par {{ c from Q to R; }} {many} continue X;"
    wide = f"rec X {{ choice at P {{ {body} }} or {{ crash from P to R; }} }}"
    policy = loads(f"global protocol W(role P, reliable role Q, reliable role R) {{ {wide} }}")
    decision = decide(graph_of(policy), Limits(crashes=50))
    assert decision.verdict is Verdict.EXPLORED


# -------------------------------------------------------------------------------------------- the exploration


def stop(role: str) -> Step:
    return Step(role, Move(Direction.SEND, role, CRASH))


def test_what_was_sent_is_received_before_the_crash_is_noticed() -> None:
    machines = machines_of(graph_of(loads(PING_PONG)))
    ping, noticed = Move(Direction.RECEIVE, "P", "ping"), Step("Q", Move(Direction.RECEIVE, "P", CRASH))
    sent = Step("P", Move(Direction.SEND, "Q", "ping"))
    assert not replay_crashes(machines, [noticed])
    assert not replay_crashes(machines, [sent, stop("P"), noticed])
    assert replay_crashes(machines, [sent, stop("P"), Step("Q", ping), Step("Q", Move(Direction.SEND, "P", "pong"))])
    assert not replay_crashes(machines, [stop("P"), sent])
    assert str(stop("P")) == "P stops"
    assert str(noticed) == "Q goes on without P"


def test_without_anybody_who_stops_it_is_a_plain_search() -> None:
    machines = machines_of(graph_of(loads(PING_PONG)))
    search = explore_crashes(machines, (), 1)
    assert search.failure is None
    assert search.exact
    with pytest.raises(ValueError, match="the bound is 0"):
        explore_crashes(machines, (), 0)


def test_a_role_that_is_not_ready_for_a_crash_gets_stuck() -> None:
    machines = machines_of(graph_of(loads("global protocol Plain(role P, role Q) { a from P to Q; b from Q to P; }")))
    failure = explore_crashes(machines, ("P",), 1).failure
    assert failure is not None
    assert failure.kind is Kind.DEADLOCK
    assert failure.text == "P stops · stuck: Q waits for a from P, and P has stopped"


# -------------------------------------------------------------------------------------------------- the law


EXAMPLES = int(os.environ.get("CONVPOLICY_EXAMPLES", "2400"))
NAMES = roles("P", "Q", "R")
LABELS = labels("a", "b", "c")


@st.composite
def crashing(draw: st.DrawFn) -> Policy:
    """Random policies without loops in which every message of a role that may stop has a crash branch beside it."""
    count = draw(st.integers(2, 3))
    reliable = tuple(role for role in NAMES[:count] if draw(st.integers(0, 2)) == 0)

    def block(size: int, alive: tuple[AnyRole, ...]) -> Statement:
        speakers = [role for role in alive if size]
        if not speakers:
            return seq()
        sender = draw(st.sampled_from(speakers))
        receiver = draw(st.sampled_from([role for role in NAMES[:count] if role != sender]))
        branches = [
            seq(send(sender, receiver, LABELS[number]), block(size - 1, alive))
            for number in range(draw(st.integers(1, 2)))
        ]
        if sender not in reliable:
            others = tuple(role for role in NAMES[:count] if role not in (sender, receiver))
            noticed = (receiver, *(others if draw(st.booleans()) else ()))
            left = tuple(role for role in alive if role != sender)
            branches.append(seq(crash(sender, at=noticed), block(size - 1, left)))
        return choice(sender, *branches) if len(branches) > 1 else branches[0]

    body = block(draw(st.integers(1, 4)), NAMES[:count])
    return Policy("P", body, NAMES[:count], reliable=reliable)


class Histories(NamedTuple):
    """What the roles that live have done, and who has stopped."""

    stopped: frozenset[str]
    done: tuple[tuple[str, tuple[Move, ...]], ...]

    def without(self, stopped: frozenset[str]) -> Histories:
        return Histories(stopped, tuple(pair for pair in self.done if pair[0] not in stopped))


def allowed(policy: Policy) -> set[Histories]:
    """Return the whole conversations that the policy allows, as each role that lives sees them."""
    graph = graph_of(policy)

    def runs(position: int, stopped: frozenset[str], done: dict[str, tuple[Move, ...]]) -> Iterator[Histories]:
        if position == END:
            yield Histories(stopped, tuple(done.items())).without(stopped)
        for target in graph.silent.get(position, ()):
            yield from runs(target, stopped, done)
        for exchange in graph.exchanges.get(position, ()):
            gone = stopped | {exchange.symbol.sender} if exchange.symbol.label == CRASH else stopped
            moves = {role: move for role in done if (move := move_of(role, exchange.symbol))}
            after = {role: (*old, moves[role]) if role in moves else old for role, old in done.items()}
            yield from runs(exchange.target, gone, after)

    return set(runs(graph.start, frozenset(), dict.fromkeys(graph.roles, ())))


def completed(machines: Mapping[str, Machine], stopping: tuple[str, ...]) -> set[Histories]:
    """Return how the machines can end, whoever stops when, over channels without a bound."""
    names = tuple(machines)
    start = (tuple((name, machines[name].start, ()) for name in names), frozenset[str](), frozenset())
    found: set[Histories] = set()
    seen, todo = {start}, [start]
    for here in todo:
        sides, stopped, queues = here
        following = list(_moves(machines, here))
        if not following:
            found.add(Histories(stopped, tuple((n, h) for n, _, h in sides if n not in stopped)))
        for name in stopping:
            if name not in stopped:
                left = frozenset(item for item in queues if item[0][1] != name)
                following.append((sides, stopped | {name}, left))
        new = [after for after in following if after not in seen]
        seen.update(new)
        todo += dict.fromkeys(new)
        if len(todo) > 20_000:
            return set()
    return found


def _moves(machines, here):
    sides, stopped, queues = here
    for place, (name, state, history) in enumerate(sides):
        for move, target in machines[name].moves[state].items() if name not in stopped else ():
            after = _queues(dict(queues), stopped, name, move)
            if after is not None:
                side = (name, target, (*history, move))
                yield (*sides[:place], side, *sides[place + 1 :]), stopped, after


def _queues(queues, stopped, role, move):
    sender, receiver, label, _ = symbol_of(role, move)
    queue = queues.pop((sender, receiver), ())
    if label == CRASH:
        return frozenset(queues.items()) if not queue and sender in stopped else None
    if move.direction is Direction.SEND:
        queue = () if receiver in stopped else (*queue, label)
    elif queue[:1] == (label,):
        queue = queue[1:]
    else:
        return None
    if queue:
        queues[sender, receiver] = queue
    return frozenset(queues.items())


def judge(policy: Policy) -> None:
    """Whatever was accepted ends, whoever stops, as the policy says; what was refused for getting stuck does."""
    report = replayed(policy)
    graph = graph_of(policy)
    if not graph.crashes:
        return
    whole = {entry.without(entry.stopped) for entry in allowed(policy)}
    faithful = all(
        any(run.stopped <= end.stopped and run.without(end.stopped) == end for run in whole)
        for end in completed(machines_of(graph), graph.stopping)
    )
    stuck = explore_crashes(machines_of(graph), graph.stopping, 6).failure is not None
    if report:
        assert not stuck
        assert faithful
    elif not any(finding.property == "fair-progress" for finding in report.findings):
        assert stuck or not faithful


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(crashing())
def test_a_verdict_is_right_whoever_stops(policy: Policy) -> None:
    judge(policy)


@pytest.mark.slow
@pytest.mark.timeout(0)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(crashing())
def test_a_verdict_is_right_whoever_stops_at_length(policy: Policy) -> None:
    judge(policy)


# --------------------------------------------------------------------------------------------- what would mend it

RELAY = """
global protocol Relay(role Source, role Relay, reliable role Sink) {
  choice at Source { Data() from Source to Relay; Data() from Relay to Sink; }
  or { crash from Source to Relay; Nothing() from Relay to Sink; }
}"""
ASKED = """
global protocol Asked(role Asker, role Giver, reliable role Other) {
  Ask() from Asker to Giver;
  choice at Giver { Give() from Giver to Asker; Unneeded() from Asker to Other; }
  or { crash from Giver to Asker; Ask() from Asker to Other; Give() from Other to Asker; }
}"""


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (
            RELAY,
            (
                "beside `Data from Relay to Sink;` (line 3) and `Nothing from Relay to Sink;` (line 4), "
                "add `or { crash from Relay to Sink; }`"
            ),
        ),
        (ASKED, "declare `reliable role Asker`"),
    ],
)
def test_a_branch_that_is_missing_is_proposed_where_it_helps_and_else_a_reliable_role(text: str, fix: str) -> None:
    first, *_ = check(loads(text)).errors
    assert first.property == "crash-branch"
    assert first.fix is not None
    assert first.fix.text == fix
    assert check(first.fix.policy)


def test_crash_branches_do_not_go_together_with_connections_and_nested_protocols_yet() -> None:
    connecting = """
    explicit global protocol P(role A, reliable role B) {
      connect A to B;
      choice at A { X() from A to B; } or { crash from A to B; }
    }"""
    with pytest.raises(IllFormed, match="P connects roles, and has crash branches"):
        loads(connecting)
    crashing = "choice at A { X() from A to B; } or { crash from A to B; }"
    outside = f"""
    nested protocol N(role C, role D) {{ Y() from C to D; }}
    global protocol P(role A, reliable role B) {{ A calls N(A, B); {crashing} }}"""
    inside = f"""
    nested protocol N(role A, reliable role B) {{ {crashing} }}
    global protocol P(role A, role B) {{ A calls N(A, B); }}"""
    for text, name in ((outside, "P"), (inside, "N")):
        with pytest.raises(IllFormed, match=f"{name} has crash branches, and has to do with nested protocols"):
            loads(text)
