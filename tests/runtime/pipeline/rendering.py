"""The pipelines that the tests run, and their engines in memory: a test decides on time, deaths and faults."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple, Never

import msgspec

from convpolicy import Faults, Memory, Policy, Role, send, seq
from convpolicy.link.pipeline import Pipeline
from convpolicy.runtime.part import Part
from convpolicy.runtime.pipeline.bench import Piece
from convpolicy.runtime.pipeline.lots import Goods, Parcel, Said, bits, task_of
from convpolicy.runtime.pipeline.sink import Delivery, SinkEngine
from convpolicy.runtime.pipeline.source import SourceEngine
from convpolicy.runtime.pipeline.worker import WorkerEngine
from convpolicy.testing.clock import ManualClock
from convpolicy.verify.roles.projection import project


class Frame(NamedTuple):
    number: int


class Scaled(NamedTuple):
    number: int


class Image(NamedTuple):
    number: int


Source = Role[Frame, Never]("Source")
Worker = Role[Image, Frame]("Worker")
Scaler = Role[Scaled, Frame]("Scaler")
Painter = Role[Image, Scaled]("Painter")
Sink = Role[Never, Image]("Sink")

render = Policy("Render", seq(send(Source, Worker, Frame), send(Worker, Sink, Image)))
film = Policy("Film", seq(send(Source, Scaler, Frame), send(Scaler, Painter, Scaled), send(Painter, Sink, Image)))

STAGES = {"Render": (Source, Worker, Sink), "Film": (Source, Scaler, Painter, Sink)}


def pipeline(policy: Policy = render, faults: Faults | None = None, **settings: Any) -> Pipeline:
    chain = STAGES[policy.name]
    return Pipeline({pair: Memory(faults=faults) for pair in pairwise(chain)}, **settings)


class Hand:
    """A worker's process, which may hang at its tasks, be stopped for a while, or die."""

    def __init__(self, rig: Rig, role: str) -> None:
        self.rig, self.role = rig, role
        self.port = rig.via.ends(role)
        self.engine = WorkerEngine(
            rig.part(role), rig.via, self.port, clock=rig.clock, new_id=rig.chance.randbytes,
            work=self.work, drop=self.drop,
        )  # fmt: skip
        self.doing: list[Piece] = []
        self.stopped = self.hangs = False

    def work(self, pieces: list[Piece]) -> None:
        self.doing += pieces

    def drop(self, piece: Piece, mask: int) -> None:
        if not piece.mask and piece in self.doing:
            self.doing.remove(piece)

    def turn(self) -> None:
        if self.stopped:
            return
        doing, self.doing = ([], self.doing) if self.hangs else (self.doing, [])
        for piece in doing:
            for bit, parcel in piece.goods.of(piece.mask).parcels():
                self.does(piece, bit, parcel)
        self.engine.turn()

    def does(self, piece: Piece, bit: int, parcel: Parcel) -> None:
        if task_of(piece.lot, bit) in self.rig.poison:
            self.engine.failed(piece, bit, "no such frame")
        else:
            said = [Said(number, said.payload) for number, said in enumerate(parcel)]
            self.engine.finished(piece, Goods.of_parcel(bit, said))

    def die(self) -> None:
        self.port.close()
        self.rig.hands.remove(self)


class Rig:
    """A source, workers and a sink. `handled` counts what the sink's handler has taken, by task."""

    def __init__(self, policy: Policy = render, *, workers: int = 2, faults: Faults | None = None, **settings: Any):
        self.policy, self.clock, self.chance = policy, ManualClock(), random.Random(7)
        self.via = pipeline(policy, faults, **settings)
        self.poison: set[int] = set()
        self.sour: Counter[int] = Counter()  # how often the sink's handler fails at a task
        self.handled: Counter[int] = Counter()
        self._ends: list[Any] = []
        self.source = self._engine(SourceEngine, "Source")
        self.sink = self._engine(SinkEngine, "Sink", handle=self.handle)
        self.hands: list[Hand] = []
        for role in self.via.roles[1:-1]:
            for _ in range(workers):
                self.hire(role)

    def part(self, role: str) -> Part:
        return Part(self.policy, project(self.policy, role))

    def _engine(self, kind: Any, role: str, **more: Any) -> Any:
        port = self.via.ends(role)
        return kind(self.part(role), self.via, port, clock=self.clock, new_id=self.chance.randbytes, **more)

    def hire(self, role: str) -> Hand:
        hand = Hand(self, role)
        self.hands.append(hand)
        return hand

    def restart_sink(self) -> None:
        self.sink.post.port.close()
        self.sink = self._engine(SinkEngine, "Sink", handle=self.handle)

    def handle(self, delivery: Delivery) -> None:
        for bit in bits(delivery.mask):
            task = task_of(delivery.item.lot, bit)
            if self.sour[task] > 0:
                self.sour[task] -= 1
                self.sink.failed(delivery, bit, "the disk is full")
            else:
                self.handled[task] += 1
                self.sink.counted(delivery, bit)

    def put(self, count: int) -> None:
        for number in range(count):
            self.source.tasks.add((0,), msgspec.Raw(msgspec.msgpack.encode([[number]])))

    def turns(self, count: int = 1) -> None:
        for _ in range(count):
            for engine in (self.source, self.sink, *self.hands):
                engine.turn()

    def run(self, seconds: float) -> None:
        """Let time pass, in steps of a quarter of a second, with turns in between."""
        for _ in range(int(seconds * 4)):
            self.turns(3)
            self.clock.advance(0.25)

    def finish(self, within: float = 600.0) -> None:
        """Close the batch, and let time pass until it is over."""
        self.source.closing = True
        for _ in range(int(within)):
            if self.source.closed is not None or self.source.error is not None:
                return
            self.run(1.0)
        raise AssertionError(f"not over after {within:g} s: {self.source.tasks}")

    def ensure_each_ended_once(self) -> None:
        """Every task was counted once, or was set aside and never counted."""
        tasks, closed = self.source.tasks, self.source.closed
        assert self.source.error is None
        aside = {task.task for task in tasks.quarantined}
        assert len(aside) == len(tasks.quarantined), "set aside twice"
        assert self.handled.keys() | aside == set(range(1, tasks.total + 1)), "lost"
        assert not self.handled.keys() & aside, "counted and set aside"
        assert set(self.handled.values()) <= {1}, "counted twice"
        assert closed.done == tasks.done == len(self.handled)
