"""Conversations that go on over another link, in memory: what is lost on the way is sent again and counted once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from helpers import Actor, Reply, an_engine
from hypothesis import example, given
from hypothesis import strategies as st

from convpolicy import Faults, Memory, PeerLost, Policy, again, choice, label, labels, loop, roles, send, seq
from convpolicy.conversation import Conversation
from convpolicy.link.ends import Ends
from convpolicy.policy.model import Message
from convpolicy.runtime.bus.switch import RETURN, Switch
from convpolicy.runtime.engine import Engine
from convpolicy.runtime.moves import Asked
from convpolicy.runtime.peers.processes import Peer
from convpolicy.testing.clock import ManualClock

A, B, C = roles("A", "B", "C")
Ping, Pong, Note = label("Ping", number=int), label("Pong", number=int), label("Note", number=int)
Bye, Over = labels("Bye", "Over")

TWO = Policy(
    "Two",
    loop("X", choice(A, seq(send(A, B, Ping), send(B, A, Pong), again("X")), send(A, B, Bye))),
)
THREE = Policy(
    "Three",
    loop(
        "X",
        choice(
            A,
            seq(send(A, B, Ping), send(B, C, Note), send(C, A, Pong), again("X")),
            seq(send(A, B, Bye), send(B, C, Over)),
        ),
    ),
)
QUIET = Faults()


class Line(Memory):
    """A link in memory with a name of its own."""

    def __init__(self, name: str, faults: Faults) -> None:
        super().__init__(faults=faults)
        self._name = name

    @property
    def url(self) -> str:
        return self._name


class World:
    """Two links, processes on both of them, and whatever stands between; time moves only when a test moves it."""

    def __init__(self, faults: Faults = QUIET) -> None:
        self.clock = ManualClock()
        self.lines = [Line("fast", faults), Line("mail", faults)]
        self.new_id = random.Random(5).randbytes
        self.turning: list[Any] = []
        self.switches: list[Switch] = []

    def buses(self) -> None:
        """Put a bus on each link."""
        for line in self.lines:
            switch = Switch(line.open(listen=True), clock=self.clock, new_id=self.new_id, grace=0)
            self.switches.append(switch)
            self.turning.append(switch)

    def plays(self, policy: Policy, role: str, reply: Reply, *on: int, listens: bool = False) -> Actor:
        """Start a process that plays a role over some of the links."""
        port = Ends({number: self.lines[number].open(listen=listens) for number in on})
        engine, actor = an_engine(policy, role, reply, port, clock=self.clock, new_id=self.new_id)
        engine.peers.connect(self.clock())
        self.turning.append(engine)
        return actor

    def settle(self) -> None:
        for _ in range(100):
            for each in self.turning:
                each.turn()
            if not any(end.frames for line in self.lines for end in line._ends.values()):
                return

    def run(self, seconds: float) -> None:
        end = self.clock.now + seconds
        self.settle()
        while self.clock.now < end:
            self.clock.advance(0.25)
            self.settle()

    def until(self, true: Callable[[], object], seconds: float = 300.0) -> None:
        end = self.clock.now + seconds
        while not true():
            assert self.clock.now < end
            self.run(0.25)

    def connect(self) -> None:
        """Let everybody meet who listens where they go, whatever is lost."""
        engines = [each for each in self.turning if isinstance(each, Engine)]
        for _ in range(100):
            for engine in engines:
                engine.peers.connect(self.clock.now)
            self.run(0.5)
            if all(peer.hello for engine in engines for peer in engine.peers.servers):
                return

    def other(self, engine: Engine, number: int) -> Peer:
        """Let a process meet who listens on a link."""
        address = engine._port.reach(self.lines[number])
        for _ in range(100):
            peer = engine.peers.reach(address, self.clock.now)
            if peer.hello is not None:
                return peer
            self.run(0.5)
        raise AssertionError("nobody is there")

    def asks(self, engine: Engine, conversation: Conversation, number: int) -> Asked:
        """Ask everybody whether a conversation can go on over a link."""
        asked = engine.moves.ask(conversation, self.other(engine, number), lambda: None)
        self.answered(engine, conversation, asked)
        return asked

    def answered(self, engine: Engine, conversation: Conversation, asked: Asked) -> None:
        for _ in range(100):
            if asked.settled or conversation.id not in engine.conversations:
                return
            engine.moves.say(conversation, asked)
            self.run(0.5)
        raise AssertionError(f"{asked.roles} have to answer, and {asked.answers} have")

    def moves(self, actor: Actor, conversation: Conversation, number: int) -> None:
        """Move a conversation, as its opener does."""
        engine = actor.engine
        asked = self.asks(engine, conversation, number)
        assert set(asked.answers.values()) <= {""}
        engine.moves.go(conversation, asked)
        self.answered(engine, conversation, asked)
        engine.moves.done(conversation)

    def link(self, actor: Actor) -> str:
        """Over which link the only conversation of a process goes."""
        (conversation,) = actor.engine.conversations.values()
        return actor.engine.peers.url_of(next(iter({p.route for p in conversation.peers if p.route is not None})))


def asks(last: int) -> Reply:
    """A's side: the next number after each answer, and Bye after the last."""
    numbers = count(2)

    def reply(_message: object) -> list[object]:
        number = next(numbers)
        return [Ping(number=number) if number <= last else Bye()]

    return reply


def echoes(message: object) -> list[object]:
    assert isinstance(message, Message)
    if message.label == "Ping":
        return [Pong(number=message["number"])]
    return []


def passes_on(message: object) -> list[object]:
    assert isinstance(message, Message)
    return [Note(number=message["number"]) if message.label == "Ping" else Over()]


def notes(message: object) -> list[object]:
    assert isinstance(message, Message)
    return [Pong(number=message["number"])] if message.label == "Note" else []


def silent(_message: object) -> list[object]:
    return []


def begins(actor: Actor) -> Conversation:
    conversation = actor.engine.open()
    conversation.owner = actor
    actor.say(conversation, Ping(number=1))
    return conversation


def numbers(actor: Actor) -> list[int]:
    return [message["number"] for message in actor.heard if isinstance(message, Message) and message.fields]


def faults(most: float = 0.25) -> st.SearchStrategy[Faults]:
    """Links that lose frames; up to `most` of them come twice, or before another one."""
    some = st.floats(0, most)
    return st.builds(Faults, drop=st.floats(0, 0.25), duplicate=some, reorder=some, seed=st.integers(0, 1000))


# ------------------------------------------------------------------------------------- between two, directly


def test_a_conversation_goes_on_over_the_other_link_when_the_first_is_dead() -> None:
    world = World()
    b = world.plays(TWO, "B", silent, 0, 1, listens=True)
    a = world.plays(TWO, "A", asks(3), 0)
    world.run(1)
    conversation = begins(a)
    world.settle()
    assert world.link(a) == world.link(b) == "fast"
    world.lines[0].carry = lambda *_: Memory.carry(world.lines[0], b"", b"nobody", b"")  # type: ignore[method-assign]
    (at_b,) = b.engine.conversations.values()
    b.say(at_b, Pong(number=1))  # is lost
    world.run(0.5)
    b.reply = echoes
    world.moves(a, conversation, 1)
    world.until(lambda: a.finishes and b.finishes)
    assert numbers(b) == numbers(a) == [1, 2, 3]


def test_a_process_that_has_not_got_the_conversation_is_no_place_to_go_to() -> None:
    world = World()
    world.plays(TWO, "B", silent, 0, listens=True)
    world.plays(TWO, "B", silent, 1, listens=True)
    a = world.plays(TWO, "A", asks(3), 0)
    world.run(1)
    conversation = begins(a)
    world.run(1)
    target = world.other(a.engine, 1)
    assert target.hello is not None
    assert target.hello.nonce != conversation.peers[1].route.hello.nonce  # `moving` refuses by this


def test_a_stranger_does_not_move_a_conversation() -> None:
    world = World()
    b = world.plays(TWO, "B", silent, 0, 1, listens=True)
    a = world.plays(TWO, "A", asks(3), 0)
    thief = world.plays(TWO, "A", asks(3), 0)
    world.run(1)
    conversation = begins(a)
    world.run(1)
    stolen = thief.engine._new(conversation.id, thief.engine.part)
    stolen.owner = thief
    thief.engine._adopt(stolen, next(iter(thief.engine.peers)))
    asked = thief.engine.moves.ask(stolen, world.other(thief.engine, 1), lambda: None)
    thief.engine.moves.say(stolen, asked)
    thief.engine.moves.go(stolen, asked)
    thief.engine.moves.say(stolen, asked)
    world.run(1)
    assert not asked.answers
    assert world.link(b) == "fast"


def test_an_old_move_that_comes_late_changes_nothing() -> None:
    world = World()
    b = world.plays(TWO, "B", silent, 0, 1, listens=True)
    a = world.plays(TWO, "A", asks(3), 0)
    world.run(1)
    conversation = begins(a)
    world.run(1)
    engine = a.engine
    first = world.asks(engine, conversation, 1)
    engine.moves.go(conversation, first)
    world.answered(engine, conversation, first)
    engine.moves.done(conversation)
    world.moves(a, conversation, 0)
    assert world.link(b) == "fast"
    engine.moves.say(conversation, first)
    world.run(1)
    assert world.link(a) == world.link(b) == "fast"


@example(Faults(drop=0.25, duplicate=0.25, reorder=0.0, seed=347), [1.5])  # the next message came before the Move
@given(faults(), st.lists(st.floats(0, 4), max_size=4))
def test_whatever_is_lost_and_whenever_it_moves_everything_comes_once(faults: Faults, pauses: list[float]) -> None:
    world = World(faults)
    b = world.plays(TWO, "B", echoes, 0, 1, listens=True)
    a = world.plays(TWO, "A", asks(12), 0)
    world.connect()
    conversation = begins(a)
    for number, pause in enumerate(pauses):
        world.run(pause)
        if conversation.id in a.engine.conversations:
            world.moves(a, conversation, 1 - number % 2)
    world.until(lambda: a.finishes and b.finishes, 900)
    assert numbers(b) == numbers(a) == list(range(1, 13))


# ------------------------------------------------------------------------------------- between service buses


def three(world: World, *, last: int = 3, b_on: tuple[int, ...] = (0, 1)) -> tuple[Actor, list[Actor], list[Actor]]:
    """Two buses, one player of A, and two of each other role."""
    world.buses()
    b = [world.plays(THREE, "B", passes_on, *b_on) for _ in range(2)]
    c = [world.plays(THREE, "C", notes, 0, 1) for _ in range(2)]
    a = world.plays(THREE, "A", asks(last), 0)
    world.run(1)
    return a, b, c


def of_all(actors: list[Actor]) -> Iterator[list[int]]:
    """What each player heard, of those who heard anything."""
    return (numbers(actor) for actor in actors if actor.heard)


def test_everybody_goes_to_the_other_bus_and_the_first_one_may_die() -> None:
    world = World()
    a, b, c = three(world)
    a.reply = silent
    conversation = begins(a)
    world.run(0.5)
    world.moves(a, conversation, 1)
    assert {world.link(actor) for actor in (a, *b, *c) if actor.heard} == {"mail"}
    world.switches[0].peers._port.close()
    world.turning.remove(world.switches[0])
    world.run(60)
    a.say(conversation, Ping(number=2))
    a.reply = asks(1)  # Bye
    world.until(lambda: a.finishes)
    assert list(of_all(b)) == list(of_all(c)) == [[1, 2]]


def test_the_bus_that_was_left_forgets_the_conversation_and_it_can_come_back() -> None:
    world = World()
    a, b, _ = three(world)
    a.reply = silent
    conversation = begins(a)
    world.run(0.5)
    world.moves(a, conversation, 1)
    world.run(RETURN + 2)
    assert [switch.statistics()["open"] for switch in world.switches] == [0, 1]
    world.moves(a, conversation, 0)
    a.say(conversation, Ping(number=2))
    world.run(1)
    assert numbers(a) == [1, 2]
    a.say(conversation, Bye())
    world.until(lambda: a.finishes)
    assert list(of_all(b)) == [[1, 2]]


def test_a_role_that_is_not_connected_there_keeps_the_conversation_where_it_is() -> None:
    world = World()
    a, _, _ = three(world, b_on=(0,))
    a.reply = silent
    conversation = begins(a)
    world.run(0.5)
    asked = world.asks(a.engine, conversation, 1)
    assert asked.answers == {1: "it is not connected there", 2: ""}
    a.engine.moves.done(conversation)
    world.run(RETURN + 1)
    a.say(conversation, Ping(number=2))
    world.run(1)
    assert numbers(a) == [1, 2]


def test_while_a_conversation_moves_no_role_of_it_is_given_out_twice() -> None:
    world = World()
    a, b, c = three(world)
    for each in b:
        each.reply = silent
    a.reply = silent
    conversation = begins(a)
    world.run(0.5)
    asked = world.asks(a.engine, conversation, 1)  # C is not known to anybody yet
    (at_b,) = [actor for actor in b if actor.heard]
    (there,) = at_b.engine.conversations.values()
    at_b.say(there, Note(number=1))
    world.settle()
    assert not any(actor.heard for actor in c)
    a.engine.moves.go(conversation, asked)
    world.answered(a.engine, conversation, asked)
    world.until(lambda: numbers(a) == [1])
    assert list(of_all(c)) == [[1]]


def test_a_player_that_is_lost_after_the_move_is_reported_by_the_other_bus() -> None:
    world = World()
    a, b, _ = three(world)
    a.reply = silent
    conversation = begins(a)
    world.run(0.5)
    world.moves(a, conversation, 1)
    (at_b,) = [actor for actor in b if actor.heard]
    world.turning.remove(at_b.engine)
    world.run(15)
    assert isinstance(conversation.error, PeerLost)


@given(faults(0.0), st.lists(st.floats(0, 4), max_size=4))  # a connection to a bus keeps its order
@example(Faults(drop=0.05, seed=231), [0.25])  # B has finished when it is told to follow, and its Forget was lost
@example(Faults(drop=0.15625, seed=84), [0.25])  # the other bus is asked about it before it is told who plays in it
@example(Faults(drop=0.15625, seed=209), [0.25])
def test_between_buses_too_everything_comes_once_and_to_one_player(faults: Faults, pauses: list[float]) -> None:
    world = World(faults)
    a, b, c = three(world, last=8)
    world.connect()
    conversation = begins(a)
    for number, pause in enumerate(pauses):
        world.run(pause)
        if conversation.id in a.engine.conversations:
            world.moves(a, conversation, 1 - number % 2)
    world.until(lambda: a.finishes, 900)
    expected = list(range(1, 9))
    assert list(of_all(b)) == list(of_all(c)) == [expected]
    assert numbers(a) == expected
