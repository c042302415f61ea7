"""A network that does what it is told: the links of simulated processes.

Whoever connects has a connection, which carries frames both ways, in their order and with a short delay each, unless a
fault says otherwise. When a connection breaks, what was under way on it is lost; the end that connects makes another
one by and by, as ZeroMQ does without saying so, and keeps what it is given meanwhile. The end that listens knows a
connection by its address, and is told when a frame has nowhere to go.
"""

from __future__ import annotations

import contextvars
import itertools
from collections import deque
from collections.abc import Callable, Iterator

from convpolicy.errors import LinkError
from convpolicy.link.port import LISTENER, Address, Delivery, Guarantees, Link, Port
from convpolicy.testing.simulation.faults import IN_A_ROW, LATE, LIES, Fault, Plan
from convpolicy.testing.simulation.lies import altered
from convpolicy.testing.simulation.loop import Loop
from convpolicy.testing.simulation.moments import Moments
from convpolicy.testing.simulation.process import PROCESS, Process
from convpolicy.testing.simulation.wire import Wire

__all__ = ["Network", "SimulatedLink"]

NEAR, FAR = 0.0005, 0.020  # seconds that a frame takes
AGAIN = 0.05, 1.5  # seconds until a connection is tried again
SILENT = 11.0  # seconds until a connection to a machine that fails is given up
CAPACITY = 512  # frames that may be under way on one connection, each way


class Network:
    """Every link of a run. `wire` sees every frame, when it is handed over and when it arrives.

    `happens` is told of every fault, and of the frame that it hits; `moments` of what processes do.
    """

    def __init__(
        self,
        loop: Loop,
        plan: Plan,
        wire: Wire,
        happens: Callable[[Fault, bytes], None],
        moments: Moments,
    ) -> None:
        self.loop, self.plan, self.wire, self._happens, self.moments = loop, plan, wire, happens, moments
        self.listening: dict[str, SimulatedPort] = {}
        self.connecting: dict[SimulatedPort, None] = {}
        self.closed_ways: dict[tuple[str, str], float] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._lost: dict[tuple[str, str], int] = {}
        self._addresses = itertools.count(1)
        self.context = contextvars.Context()  # of nobody: a frame travels on when its sender has died

    def link(self, address: str, *, broker: bool = False) -> SimulatedLink:
        """Return the link to an address."""
        return SimulatedLink(self, address, broker=broker)

    def after(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        """Have something happen that no process does."""
        self.loop.call_later(seconds, function, *arguments, context=self.context)

    # ------------------------------------------------------------------------------------- connections

    def connect(self, port: SimulatedPort) -> None:
        """Make a connection, if somebody listens."""
        listener = self.listening.get(port.at)
        if port.connection is not None or not port.open or listener is None:
            return
        number = next(self._addresses)
        connection = port.connection = _Connection(self, number.to_bytes(8, "big"), port, listener)
        listener.connections[connection.address] = connection
        while port.queued:
            connection.carry(port, port.queued.popleft())

    def reconnect(self, port: SimulatedPort) -> None:
        """Make another connection soon."""
        number = next(self._addresses)
        self.after(self.plan.chance.between(*AGAIN, "again", port.process.name, number), self.connect, port)

    def cut(self, name: str) -> bool:
        """Break the connections of a process; return whether it had any."""
        hit = [port.connection for port in self.connecting if name in port.ends]
        for connection in hit:
            if connection is not None:
                connection.cut()
        return any(hit)

    def close_way(self, sender: str, receiver: str, seconds: float) -> None:
        """Let nothing through from one process to another for a while."""
        self.closed_ways[sender, receiver] = self.loop.time() + seconds

    # ------------------------------------------------------------------------------------------ frames

    def travels(self, sender: str, receiver: str, frame: bytes) -> Iterator[tuple[float, bool, bytes]]:
        """Yield when a frame arrives, whether it keeps its place, and its bytes: once, twice or never."""
        way, plan, now = (sender, receiver), self.plan, self.loop.time()
        number = self._numbers[way] = self._numbers.get(way, 0) + 1
        where = f"{sender}→{receiver}"
        if self.closed_ways.get(way, 0.0) > now or self._drops(way, where, number, frame):
            return
        at = now + plan.chance.between(NEAR, FAR, "takes", where, number)
        delay = plan.frame("delay", where, number, LATE)
        frame = self._told(where, number, frame)
        if delay is not None:
            self._happens(delay, frame)
            at += delay.value
        overtaken = plan.frame("reorder", where, number)
        if overtaken is not None:
            self._happens(overtaken, frame)
            at += FAR
        yield at, overtaken is None, frame
        twice = plan.frame("duplicate", where, number)
        if twice is not None:
            self._happens(twice, frame)
            yield at, True, frame

    def _told(self, where: str, number: int, frame: bytes) -> bytes:
        """Return a frame as it is, or with a lie in its place."""
        for kind in LIES:
            lie = self.plan.frame(kind, where, number)
            other = None if lie is None else altered(frame, self.plan.chance.stream(kind, where, number), kind)
            if lie is not None and other is not None:
                self._happens(lie, frame)
                self.wire.lies(frame, other)
                return other
        return frame

    def _drops(self, way: tuple[str, str], where: str, number: int, frame: bytes) -> bool:
        fault = self.plan.frame("drop", where, number)
        if fault is None or self._lost.get(way, 0) >= IN_A_ROW:
            self._lost[way] = 0
            return False
        self._lost[way] = self._lost.get(way, 0) + 1
        self._happens(fault, frame)
        return True


class _Connection:
    """One connection, from the end that made it to the end that listens."""

    def __init__(self, network: Network, address: Address, near: SimulatedPort, far: SimulatedPort) -> None:
        self.network, self.address = network, address
        self.near, self.far = near, far
        self.whole = True
        self._under_way = {near: 0, far: 0}
        self._last = {near: 0.0, far: 0.0}

    def carry(self, sender: SimulatedPort, frame: bytes) -> Delivery:
        """Take a frame from one of the two ends."""
        receiver = self.far if sender is self.near else self.near
        if self._under_way[sender] + len(receiver.frames) >= CAPACITY:
            return Delivery.BUSY
        if sender.process.plays:
            self.network.wire.passed(sender.process, frame)
        self.network.moments.tells(sender.process.name, frame)
        names = sender.process.name, receiver.process.name
        for arrives, keeps, what in self.network.travels(*names, frame):
            at = max(arrives, self._last[sender]) if keeps else arrives
            self._last[sender] = max(at, self._last[sender]) if keeps else self._last[sender]
            self._under_way[sender] += 1
            self.network.after(at - self.network.loop.time(), self._arrive, sender, receiver, what)
        return Delivery.SENT

    def _arrive(self, sender: SimulatedPort, receiver: SimulatedPort, frame: bytes) -> None:
        self._under_way[sender] -= 1
        if self.whole and receiver.open:
            receiver.frames.append((LISTENER if sender is self.far else self.address, frame))
            receiver.wake()

    def cut(self) -> None:
        """Break: what is under way is lost, and the end that connects makes another connection."""
        if self.whole:
            self.whole = False
            self.far.connections.pop(self.address, None)
            self.near.connection = None
            if self.near.open:
                self.network.reconnect(self.near)


class SimulatedLink(Link):
    """A link of a simulated process: the one that opens it is the one that runs."""

    def __init__(self, network: Network, address: str, *, broker: bool) -> None:
        self._network, self._address, self._broker = network, address, broker

    @property
    def url(self) -> str:
        """The address."""
        return f"simulated://{self._address}"

    @property
    def guarantees(self) -> Guarantees:
        """Frames travel both ways, and keep their order unless a fault says otherwise."""
        return Guarantees(ordered=True, answers=True)

    @property
    def broker(self) -> bool:
        """Whether a service bus listens there."""
        return self._broker

    def open(self, *, listen: bool) -> SimulatedPort:
        """Open one end. Raises LinkError outside a simulated process, and where somebody listens already."""
        process = PROCESS.get()
        if process is None:
            raise LinkError(f"{self.url} is in a simulation.\n  Open it in the program of a simulated process.")
        listen = listen and not self._broker  # everybody comes to a service bus
        return SimulatedPort(self._network, self.url, self._address, process, listen=listen)

    def __repr__(self) -> str:
        return f"SimulatedLink({self._address})"


class SimulatedPort(Port):
    """One open end, of a process."""

    def __init__(self, network: Network, url: str, at: str, process: Process, *, listen: bool) -> None:
        self.url, self.at, self.process = url, at, process
        self.servers = () if listen else (LISTENER,)
        self.frames: deque[tuple[Address, bytes]] = deque()
        self.queued: deque[bytes] = deque()
        self.connections: dict[Address, _Connection] = {}  # of the end that listens
        self.connection: _Connection | None = None  # of the end that connects
        self.open = True
        self._network = network
        self._wake: Callable[[], None] = lambda: None
        process.owns(self._die)
        if listen:
            self._listen()
        else:
            network.connecting[self] = None
            network.connect(self)

    def _listen(self) -> None:
        if self.at in self._network.listening:
            raise LinkError(f"{self.url} is in use.\n  Only one may listen there.")
        self._network.listening[self.at] = self
        for port in self._network.connecting:
            if port.at == self.at:
                self._network.reconnect(port)

    @property
    def ends(self) -> tuple[str, ...]:
        """The processes that the connection is between."""
        return (self.process.name, self.connection.far.process.name) if self.connection else (self.process.name,)

    def attach(self, wake: Callable[[], None], descriptor: Callable[[int], None]) -> None:
        del descriptor
        self._wake = wake

    def wake(self) -> None:
        """Wake whoever is attached, in its own process."""
        self.process.context.run(self._wake)

    def drain(self, limit: int) -> list[tuple[Address, bytes]]:
        taken = [self.frames.popleft() for _ in range(min(limit, len(self.frames)))]
        for _, frame in taken:
            self._network.wire.arrived(self.process, frame)
        if taken:
            self.process.step("takes frames")
        return taken

    def transmit(self, address: Address, frame: bytes) -> Delivery:
        if not self.open or not self.process.alive:
            return Delivery.SENT  # of the dead, to nobody
        self.process.step("is about to send")
        delivery = self._hand_over(address, frame)
        self.process.step(f"has sent {len(frame)} bytes: {delivery.value}")
        return delivery

    def _hand_over(self, address: Address, frame: bytes) -> Delivery:
        connection = self.connections.get(address) if self.listens else self.connection
        if connection is not None:
            return connection.carry(self, frame)
        if self.listens:
            return Delivery.GONE
        if len(self.queued) >= CAPACITY:
            return Delivery.BUSY
        self.queued.append(frame)
        return Delivery.SENT

    def renew(self, address: Address) -> None:
        del address  # there is one connection
        if self.connection is not None and self.process.alive:
            self.connection.cut()
            self._network.moments.differs(self.process.name)

    def readable(self) -> bool:
        return bool(self.frames)

    def close(self) -> None:
        if self.process.alive:
            self._close(lose=False)

    def _die(self) -> None:
        self._close(lose=True)

    def _close(self, *, lose: bool) -> None:
        """Close; what was handed over still arrives, unless it is lost with the process."""
        if not self.open:
            return
        self.open = False
        self._network.connecting.pop(self, None)
        if self._network.listening.get(self.at) is self:
            del self._network.listening[self.at]
        connections = [*self.connections.values(), *([self.connection] if self.connection else [])]
        for connection in connections:
            if lose and self.process.silent:
                self._network.after(SILENT, connection.cut)
            else:
                wait = (
                    self._network.plan.chance.number("flushes", self.process.name, self.process.life) if lose else 1.0
                )
                self._network.after(2 * FAR * wait, connection.cut)
