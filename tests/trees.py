"""A newsletter, as the tests of trees read it, and a tree in memory that loses, repeats and reorders."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from convpolicy import Policy, Role, Tree, again, choice, loop, send, seq
from convpolicy.link.port import Address, Delivery
from convpolicy.link.treeport import LeafPort, RootPort
from convpolicy.runtime.gap import Gap
from convpolicy.runtime.part import Part
from convpolicy.runtime.tree.census import Census
from convpolicy.runtime.tree.follower import Follower
from convpolicy.runtime.tree.inbox import Enter, Heard, Inbox, Over
from convpolicy.runtime.tree.line import Line
from convpolicy.runtime.tree.plan import Plan, plan
from convpolicy.runtime.tree.publisher import Publisher
from convpolicy.runtime.tree.subscriber import Subscriber
from convpolicy.testing.clock import ManualClock
from convpolicy.verify.roles.projection import project
from convpolicy.wire.tree import prefix, stream_name


class Edition(NamedTuple):
    number: int


class Farewell(NamedTuple):
    words: str


class Opening(NamedTuple):
    market: str


class Price(NamedTuple):
    cents: int


class Closing(NamedTuple):
    market: str


Publisher_ = Role[Edition | Farewell, Any]("Publisher")
Reader = Role[Any, Edition | Farewell]("Reader")

# One edition after another, until the publisher says farewell.
newsletter = Policy(
    "Newsletter",
    loop(
        "Next",
        choice(
            Publisher_,
            seq(send(Publisher_, Reader, Edition), again("Next")),
            send(Publisher_, Reader, Farewell),
        ),
    ),
)

Exchange = Role[Opening | Price | Closing, Any]("Exchange")
Trader = Role[Any, Opening | Price | Closing]("Trader")

# Days of trading: a day is a round of its own, and nobody enters in the middle of one.
ticker = Policy(
    "Ticker",
    loop(
        "Day",
        seq(
            send(Exchange, Trader, Opening),
            loop(
                "More",
                choice(
                    Exchange,
                    seq(send(Exchange, Trader, Price), again("More")),
                    seq(send(Exchange, Trader, Closing), again("Day")),
                ),
            ),
        ),
    ),
)


class Page(NamedTuple):
    number: int


Writer = Role[Page | Farewell, Any]("Writer")
Friend = Role[Any, Page | Farewell]("Friend")

# A letter has three pages and a farewell, and is read from its first page.
letter = Policy(
    "Letter",
    loop("Letter", *[send(Writer, Friend, Page)] * 3, send(Writer, Friend, Farewell), again("Letter")),
)


class Faults(NamedTuple):
    """How often a frame is dropped, repeated, or overtaken by the next one."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


class Net:
    """A tree in memory: one root at a time, and leaves; frames wait until they are read."""

    def __init__(self, faults: Faults | None = None, seed: int = 0) -> None:
        self.faults, self.random = faults or Faults(), random.Random(seed)
        self.root: MemoryRoot | None = None
        self.leaves: list[MemoryLeaf] = []

    def put(self, queue: list[Any], frame: Any) -> None:
        chance = self.random.random
        if chance() < self.faults.drop:
            return
        place = len(queue) - 1 if queue and chance() < self.faults.reorder else len(queue)
        queue.insert(place, frame)
        if chance() < self.faults.duplicate:
            queue.append(frame)


class MemoryRoot(RootPort):
    def __init__(self, net: Net) -> None:
        self.net, self.url = net, "memory"
        self.asked: list[tuple[Address, bytes]] = []
        self.subscribed: set[bytes] = set()
        net.root = self

    def attach(self, descriptor: Callable[[int], None]) -> None: ...

    def readable(self) -> bool:
        return bool(self.asked)

    def close(self) -> None:
        self.net.root = None

    def publish(self, frame: bytes) -> None:
        for leaf in self.net.leaves:
            if any(frame.startswith(beginning) for beginning in leaf.following):
                self.net.put(leaf.heard, frame)

    def arrivals(self) -> set[bytes]:
        found, self.subscribed = self.subscribed, set()
        return found

    def requests(self, limit: int) -> list[tuple[Address, bytes]]:
        found, self.asked = self.asked[:limit], self.asked[limit:]
        return found

    def answer(self, address: Address, frame: bytes) -> Delivery:
        self.net.put(self.net.leaves[int(address)].answered, frame)
        return Delivery.SENT


class MemoryLeaf(LeafPort):
    def __init__(self, net: Net) -> None:
        self.net, self.url = net, "memory"
        self.heard: list[bytes] = []
        self.answered: list[bytes] = []
        self.following: set[bytes] = set()
        self.number = len(net.leaves)
        net.leaves.append(self)

    def attach(self, descriptor: Callable[[int], None]) -> None: ...

    def readable(self) -> bool:
        return bool(self.heard or self.answered)

    def close(self) -> None:
        self.following.clear()

    def follow(self, stream: str) -> None:
        self.following.add(prefix(stream))
        if self.net.root is not None:
            self.net.root.subscribed.add(prefix(stream))

    def unfollow(self, stream: str) -> None:
        self.following.discard(prefix(stream))

    def published(self, limit: int) -> list[bytes]:
        found, self.heard = self.heard[:limit], self.heard[limit:]
        return found

    def answers(self, limit: int) -> list[bytes]:
        found, self.answered = self.answered[:limit], self.answered[limit:]
        return found

    def ask(self, frame: bytes) -> Delivery:
        if self.net.root is not None:
            self.net.put(self.net.root.asked, (b"%d" % self.number, frame))
        return Delivery.SENT


class Ringing(Net):
    """The same, for an event loop: whoever has something to read is woken."""

    def __init__(self, faults: Faults | None = None, seed: int = 0) -> None:
        super().__init__(faults, seed)
        self.bells: list[int] = []

    def ring(self) -> None:
        for bell in self.bells:
            os.eventfd_write(bell, 1)

    def put(self, queue: list[Any], frame: Any) -> None:
        super().put(queue, frame)
        self.ring()


class _Bell:
    """A descriptor that is readable once something has come."""

    def __init__(self, net: Ringing) -> None:
        self._net = net
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        net.bells.append(self._bell)

    def silence(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)

    def attach(self, descriptor: Callable[[int], None]) -> None:
        descriptor(self._bell)

    def close(self) -> None:
        self._net.bells.remove(self._bell)
        os.close(self._bell)


class RingingRoot(MemoryRoot):
    def __init__(self, net: Ringing) -> None:
        super().__init__(net)
        self.subscribed = {beginning for leaf in net.leaves for beginning in leaf.following}
        self._bell = _Bell(net)

    def attach(self, descriptor: Callable[[int], None]) -> None:
        self._bell.attach(descriptor)

    def readable(self) -> bool:
        self._bell.silence()
        return super().readable() or bool(self.subscribed)

    def close(self) -> None:
        super().close()
        self._bell.close()


class RingingLeaf(MemoryLeaf):
    def __init__(self, net: Ringing) -> None:
        super().__init__(net)
        self._ringing, self._bell = net, _Bell(net)

    def attach(self, descriptor: Callable[[int], None]) -> None:
        self._bell.attach(descriptor)

    def readable(self) -> bool:
        self._bell.silence()
        return super().readable()

    def follow(self, stream: str) -> None:
        super().follow(stream)
        self._ringing.ring()

    def close(self) -> None:
        super().close()
        self._bell.close()


class MemoryTree(Tree):
    """A tree in memory, for endpoints: give it to the root and to the leaves."""

    def __init__(self, root: Role[Any, Any], faults: Faults | None = None, seed: int = 0) -> None:
        super().__init__("inproc://memory", root=root)
        self._net = Ringing(faults, seed)

    def open_root(self) -> RootPort:
        return RingingRoot(self._net)

    def open_leaf(self) -> LeafPort:
        return RingingLeaf(self._net)


class Root:
    """The newsletter's publisher, or another root, on a tree in memory."""

    def __init__(self, press: Press) -> None:
        self.press = press
        self.port = MemoryRoot(press.net)
        part = press.part
        self.publisher = Publisher(
            self.port,
            press.plan.leaves,
            policy=(part.policy, part.fingerprint, press.policy.canonical),
            clock=press.clock,
            changed=lambda: None,
            keep=press.keep,
            keep_bytes=1_000_000,
            census=Census(press.readers, press.fan_out),
        )
        self.epoch = press.random.randbytes(16)
        self.said: list[object] = []
        self.publisher.open("", self.epoch)

    def say(self, message: object) -> None:
        names = [symbol.label for symbol in self.press.part.machine.symbols]
        label = names.index(type(message).__name__)
        self.said.append(message)
        self.publisher.say(self.press.leaf_role, "", label, self.press.part.codecs[label].pack(message))


class Leaf:
    """A leaf on a tree in memory, which takes what it has heard when it is told to."""

    def __init__(self, press: Press, *, in_a_line: bool = False, **settings: Any) -> None:
        self.press = press
        self.port = MemoryLeaf(press.net)
        self.subscriber = Subscriber(
            self.port,
            root=press.plan.root,
            mismatch=lambda _answer: (_ for _ in ()).throw(AssertionError()),
            clock=press.clock,
            lost_after=press.lost_after,
        )
        wanted: dict[str, Any] = {"waiting": 10_000, "slow": "resnapshot", "at_most": None, **settings}
        self.inbox: Inbox | Line = Inbox(press.plan.leaves[press.leaf_role], give_up=self.give_up, **wanted)
        if in_a_line:
            self.inbox = Line(waiting=wanted["waiting"], slow=wanted["slow"], give_up=self.give_up)
        self.follower = Follower(
            stream_name(press.leaf_role, ""), press.random.randbytes(16), press.part.fingerprint, self.inbox, 0.0
        )
        self.follower.heard_at = press.clock()
        self.subscriber.follow(self.follower, self)
        self.taken: list[Enter | Heard | Gap | Over] = []
        self.errors: list[Exception] = []

    def give_up(self, first: int, why: Any) -> None:
        self.follower.resnapshot(first, why)

    def changed(self) -> None: ...

    def failed(self, error: Exception) -> None:
        self.errors.append(error)

    def take(self, count: int = 1_000_000) -> None:
        """Take up to so many events, checking that each message is what was said under its number."""
        while count and (head := self.inbox.head) is not None:
            if self.taken and self.taken[-1] is head:
                return
            if isinstance(self.inbox, Line) and isinstance(head, Heard):
                head = self.inbox.divide(head)
            self.taken.append(head)
            self.inbox.pop()
            count -= 1

    @property
    def messages(self) -> list[object]:
        codecs = self.press.part.codecs
        runs = [event.run for event in self.taken if isinstance(event, Heard)]
        return [codecs[run.label].unpack(bytes(payload)) for run in runs for payload in run.each()]

    @property
    def gaps(self) -> list[Gap]:
        return [event for event in self.taken if isinstance(event, Gap)]


class Press:
    """A policy laid over a tree in memory, a clock that only the test moves, and everybody who takes part."""

    def __init__(
        self,
        policy: Policy = newsletter,
        root: Any = Publisher_,
        leaf: Any = Reader,
        *,
        faults: Faults | None = None,
        seed: int = 0,
        keep: int = 1_000,
        lost_after: float = 30.0,
        readers: int = 1_000,
        fan_out: int = 1_000,
    ) -> None:
        self.readers, self.fan_out = readers, fan_out
        self.policy, self.leaf_role, self.keep, self.lost_after = policy, leaf.name, keep, lost_after
        self.plan: Plan = plan(policy, Tree("inproc://memory", root=root))
        self.part = Part(policy, project(policy, root))
        self.clock, self.random = ManualClock(), random.Random(seed)
        self.net = Net(faults, seed)
        self.root = Root(self)
        self.leaves: list[Leaf] = []

    def leaf(self, **settings: Any) -> Leaf:
        self.leaves.append(Leaf(self, **settings))
        return self.leaves[-1]

    def turns(self) -> None:
        for _ in range(100):
            if self.net.root is not None:
                self.root.publisher.turn()
            for leaf in self.leaves:
                leaf.subscriber.turn()
            waits = any(leaf.follower.held for leaf in self.leaves)
            if not waits and not any(
                port.readable() for port in (self.root.port, *(leaf.port for leaf in self.leaves))
            ):
                return

    def run(self, seconds: float) -> None:
        """Let time pass, with turns every tenth of a second."""
        self.turns()
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.turns()

    def restart(self) -> None:
        """Kill the root and start another one: nothing that it knew is left, and what was on its way is lost."""
        self.root.port.close()
        self.root = Root(self)
        for leaf in self.leaves:
            for beginning in leaf.port.following:
                self.root.port.subscribed.add(beginning)


def account(leaf: Leaf, said: dict[bytes, list[object]]) -> None:
    """Check a leaf's account: behind each entry every number comes once, in order, as a message or in a gap.

    `said` has what each epoch of the root has said.
    """
    epoch, after = b"", 0
    codecs = leaf.press.part.codecs
    pending: Gap | None = None
    for event in leaf.taken:
        match event:
            case Enter():
                if event.epoch == epoch:
                    assert event.seq == after, "an entry goes on where the gap ends"
                else:
                    assert epoch == b"" or (pending is not None and pending.last is None), "a new epoch is told of"
                epoch, after, pending = event.epoch, event.seq, None
            case Heard():
                assert event.seq == after + 1
                for payload in event.run.each():
                    assert codecs[event.run.label].unpack(bytes(payload)) == said[epoch][after]
                    after += 1
            case Gap():
                assert event.first == after + 1
                assert event.last is None or event.last >= event.first
                after, pending = event.last or after, event
            case Over():
                assert after == len(said[epoch]), "the tail is in the account"
            case _:
                raise AssertionError(event)


def texts(events: Iterable[object]) -> str:
    """Show messages and gaps in a line, for a test to compare."""
    return " ".join(
        f"[{e.first}-{e.last} {e.why}]" if isinstance(e, Gap) else str(e.number)  # type: ignore[attr-defined]
        for e in events
    )
