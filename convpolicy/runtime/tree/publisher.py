"""The root of a tree, without the waiting: it numbers, publishes, beats, and answers single readers.

A turn answers what readers have asked, sends what was said, and beats where it is time. Nothing a reader does
holds the root up: what a slow one does not take is dropped on the way to it, and asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from convpolicy.link.port import Address
from convpolicy.link.treeport import RootPort
from convpolicy.runtime.tree.census import Census
from convpolicy.runtime.tree.plan import Leaf
from convpolicy.runtime.tree.stream import Stream
from convpolicy.wire.frame import Malformed
from convpolicy.wire.tree import (
    Again,
    Bye,
    Downward,
    Here,
    Join,
    Later,
    Mismatch,
    Upward,
    down,
    prefix,
    read_request,
    stream_name,
    write,
)

__all__ = ["BEAT_EVERY", "Publisher"]

_log = logging.getLogger(__name__)

BEAT_EVERY = 1.0  # seconds: within this time a reader notices that the last messages are missing
LEAVING_BEAT = 0.1  # seconds between beats while the root waits for readers to have everything
DRAIN = 256  # requests answered in one turn


class Publisher:
    """Publishes on `port` to the `leaves` of the policy with this name, fingerprint and canonical text.

    `clock` gives seconds; `changed` is called when readers have come, gone, or heard everything.
    """

    def __init__(
        self,
        port: RootPort,
        leaves: Mapping[str, Leaf],
        *,
        policy: tuple[str, bytes, str],
        clock: Callable[[], float],
        changed: Callable[[], None],
        keep: int,
        keep_bytes: int,
        census: Census,
    ) -> None:
        self.counts = {"published": 0, "repairs": 0, "malformed": 0}
        self._port, self._leaves, self._policy = port, leaves, policy
        self._clock, self._changed = clock, changed
        self._keep, self._keep_bytes, self._census = keep, keep_bytes, census
        self._streams: dict[str, Stream] = {}
        self._dirty: set[str] = set()
        self._beats: dict[str, float] = {}  # when each stream's next heartbeat is due

    # ------------------------------------------------------------------------------------------- saying

    def open(self, topic: str, epoch: bytes) -> None:
        """Begin a conversation on a topic; readers of an earlier one enter the new one."""
        for role, leaf in self._leaves.items():
            name = stream_name(role, topic)
            stream = Stream(name, leaf, epoch, keep=self._keep, keep_bytes=self._keep_bytes)
            self._streams[name] = stream
            self._beats[name] = self._clock()

    def say(self, role: str, topic: str, label: int, payload: bytes) -> bool:
        """Say a message in the next turn; return whether so much has gathered that it went out at once."""
        return self.put(self._streams[stream_name(role, topic)], label, payload)

    def put(self, stream: Stream, label: int, payload: bytes, count: int = 1) -> bool:
        """Say a message on a stream, or so many of a label: see `Stream.say`; otherwise as `say`."""
        self._dirty.add(stream.name)
        if stream.say(label, payload, count):
            self._flush(stream)
            return True
        return False

    def end(self, topic: str, reason: str = "") -> None:
        """Say that nothing follows on a topic; readers hear of it at once, and then with every heartbeat."""
        for stream in self.streams(topic):
            if not stream.over:
                stream.end(reason)
                self._beats[stream.name] = self._clock()

    def close(self, topic: str) -> None:
        """Forget a topic."""
        for stream in self.streams(topic):
            del self._streams[stream.name], self._beats[stream.name]
            self._dirty.discard(stream.name)

    def streams(self, topic: str) -> list[Stream]:
        """Return the streams of a topic, one a leaf role."""
        names = (stream_name(role, topic) for role in self._leaves)
        return [self._streams[name] for name in names if name in self._streams]

    # --------------------------------------------------------------------------------------------- turn

    def turn(self) -> None:
        """Do everything that can be done now."""
        now = self._clock()
        for stream in self._subscribed(self._port.arrivals()):
            self._beats[stream.name] = now  # whoever has come learns at once where the stream is
        for address, frame in self._port.requests(DRAIN):
            self._request(address, frame, now)
        for name in tuple(self._dirty):
            self._flush(self._streams[name])
        for name, at in tuple(self._beats.items()):
            if now >= at:
                self._beat(self._streams[name], now)

    @property
    def due(self) -> float:
        """When the next turn is needed, at the latest."""
        return min(self._beats.values(), default=self._clock() + BEAT_EVERY)

    def _subscribed(self, beginnings: Iterable[bytes]) -> list[Stream]:
        known = {prefix(stream.name): stream for stream in self._streams.values()}
        return [known[beginning] for beginning in beginnings if beginning in known]

    def _flush(self, stream: Stream) -> None:
        for frame in stream.published():
            self.counts["published"] += frame.messages
            self._port.publish(down(stream.name, frame))
        self._dirty.discard(stream.name)

    def _beat(self, stream: Stream, now: float) -> None:
        self._port.publish(down(stream.name, stream.beat()))
        readers = len(stream.listeners)
        stream.forget(now)
        self._beats[stream.name] = now + (LEAVING_BEAT if stream.over else BEAT_EVERY)
        if len(stream.listeners) != readers:
            self._changed()

    # ---------------------------------------------------------------------------------------- answering

    def _request(self, address: Address, frame: bytes, now: float) -> None:
        try:
            request = read_request(frame)
        except Malformed as problem:
            self.counts["malformed"] += 1
            _log.warning("a request is not in the format: %s", problem)
            return
        full = self._census.connected(self._port.connection(address), request.stream, now)
        for answer in self._answers(request, now) if full is None else [full]:
            # A reader that is gone, or takes nothing now, asks again if it is there.
            self._port.answer(address, write(answer))

    def _answers(self, request: Upward, now: float) -> list[Downward]:
        stream = self._streams.get(request.stream)
        match request:
            case Join():
                return [self._admit(request, stream, now)]
            case Again() if stream is not None:
                self.counts["repairs"] += 1
                return stream.again(request)
            case Here() if stream is not None:
                if self._census.admits(request.reader, stream, self._streams.values(), now) is None:
                    stream.here(request, now)
                    self._changed()
            case Bye() if stream is not None:
                stream.leaves(request.reader)
                self._changed()
            case _:
                pass
        return []

    def _admit(self, request: Join, stream: Stream | None, now: float) -> Downward:
        name, fingerprint, text = self._policy
        if request.fingerprint != fingerprint:
            return Mismatch(request.stream, name, fingerprint, text)
        if stream is None:
            return Later(request.stream)
        full = self._census.admits(request.reader, stream, self._streams.values(), now)
        if full is not None:
            return full
        stream.asked(request, now)
        return stream.entry(request)
